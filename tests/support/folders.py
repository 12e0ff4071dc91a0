"""Folders for sockets, whose paths may have 107 bytes at most."""

import tempfile
from pathlib import Path

_LONGEST_BASE = 60


def short_folder(prefix: str) -> Path:
    """A new folder for temporary files; in ``/tmp`` where the system's own one has a long path."""
    base = Path(tempfile.gettempdir())
    return Path(tempfile.mkdtemp(prefix=prefix, dir=base if len(str(base)) < _LONGEST_BASE else "/tmp"))
