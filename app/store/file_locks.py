"""Locks between processes that share a SQLite file: each is one byte of a file beside it.

The kernel releases them when a process ends. Open file description locks (Linux): with POSIX's, two stores in one
process would not exclude each other, and closing one would release the other's.
"""

import fcntl
import os
import struct
from typing import Final

from app.store.errors import StoreUnavailable

IS_SUPPORTED: Final = hasattr(fcntl, "F_OFD_SETLK")
_FLOCK: Final = struct.Struct("@hhqqi0q")  # fcntl.h: type, whence, start, length, process (0)
_POSITIONS: Final = 2**62


class FileLocks:
    """Does not block: a caller that gets no lock tries again."""

    def __init__(self, file: str) -> None:
        self._path = f"{file}-locks"
        self._fd: int | None = None

    def try_lock(self, key: int) -> bool:
        """Raises StoreUnavailable."""
        try:
            self._open()
            try:
                self._set(fcntl.F_WRLCK, key)
            except (BlockingIOError, PermissionError):  # held: EAGAIN or EACCES
                return False
        except OSError as error:
            raise StoreUnavailable(type(error).__name__) from None
        return True

    def unlock(self, key: int) -> None:
        if self._fd is not None:  # closing has released all
            self._set(fcntl.F_UNLCK, key)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        if self._fd is None:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._fd

    def _set(self, kind: int, key: int) -> None:
        fcntl.fcntl(self._open(), fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, key % _POSITIONS, 1, 0))
