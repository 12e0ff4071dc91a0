"""A consistent copy of a SQLite store while processes use it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from app.store import sqlite
from app.store.errors import StoreUnavailable

_PART: Final = ".part"


def back_up(source: Path, target: Path) -> None:
    """Write a copy of the SQLite file to `target`, readable only by its owner, which appears once complete and checked.

    VACUUM INTO reads one snapshot while others write; the backup API would start again with each of their commits.
    Blocks. Raises FileExistsError, OSError, or StoreUnavailable.
    """
    if target.exists():
        raise FileExistsError(target)
    part = target.with_name(f"{target.name}{_PART}")
    part.unlink(missing_ok=True)  # of a back-up that was interrupted
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        with closing(sqlite.connect(str(source))) as raw:
            raw.execute("VACUUM INTO ?", (str(part),))
        with closing(sqlite3.connect(part)) as copy:
            if copy.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                raise StoreUnavailable("the copy is damaged")
        _sync(part)
        os.link(part, target)  # unlike a rename, never replaces a file
        _sync(target.parent)
    except sqlite3.Error as error:
        raise StoreUnavailable(type(error).__name__) from None
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """SQLite does not sync what VACUUM INTO writes."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
