"""Folders for sockets, whose paths may have at most 107 bytes."""

import tempfile
from pathlib import Path

_LONGEST_BASE = 60


def short_folder(prefix: str) -> Path:
    """A new temporary folder; in ``/tmp`` if the system's temporary path is too long."""
    base = Path(tempfile.gettempdir())
    return Path(tempfile.mkdtemp(prefix=prefix, dir=base if len(str(base)) < _LONGEST_BASE else "/tmp"))
