"""The progress of a reconciliation: findings as they are made, and after each page where to go on.

Lines of JSON. A run that is interrupted goes on after the last complete page; what it found within an incomplete page
is kept, and not repeated.
"""

import fcntl
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from app.cli.open_store import CommandFailed

_FORMAT: Final = 1
Row = dict[str, Any]


class ProgressFile:
    """Opened for one run at a time. `after` is the last customer of the last complete page; `counts` are the totals up
    to there."""

    def __init__(self, path: Path, options: Mapping[str, Any], counts: Row, *, restart: bool) -> None:
        """Raises CommandFailed if another run uses the file, or an unfinished one had other options."""
        self.path = path
        self.after = ""
        self.counts = counts
        header = {"vaultgraph_reconcile": _FORMAT, **options}
        try:
            made = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            self._file = os.fdopen(made, "r+b")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandFailed(f"another run uses {path}: name another file with --progress-file") from None
        except OSError as error:
            raise CommandFailed(f"{path}: {error.strerror}") from None
        first = self._file.readline()
        if first and not restart:
            if _parsed(first) != header:
                self._file.close()
                raise CommandFailed(f"{path} is of a run with other options, or no progress file: see --restart")
            self._resume()
        else:
            self._file.seek(0)
            self._file.truncate()
            self._write(header)

    @property
    def is_resumed(self) -> bool:
        return bool(self.after)

    def _resume(self) -> None:
        end = self._file.tell()
        for line in self._file:
            row = _parsed(line)
            if row is None:  # cut off by a crash
                break
            end += len(line)
            if "after" in row:
                self.after, self.counts = row["after"], row["counts"]
        self._file.seek(end)
        self._file.truncate()

    def add(self, findings: Collection[Row]) -> None:
        """Store a page's findings before any of them is applied. Each has a `key`."""
        for one in findings:
            self._write({"finding": one})
        self._flush()

    def applied(self, key: str, *, is_done: bool) -> None:
        """Stored with the end of the page; after a crash before it, `applied` is unknown."""
        self._write({"applied": key, "is_done": is_done})

    def finish_page(self, after: str, counts: Row) -> None:
        self._write({"after": after, "counts": counts})
        self._flush()

    def findings(self) -> Iterator[Row]:
        """All findings of complete pages, each with `applied`: None if that is unknown. Holds one page at a time."""
        page: dict[str, Row] = {}
        with self.path.open("rb") as file:
            for line in file:
                row = _parsed(line) or {}
                if "finding" in row:
                    page.setdefault(row["finding"]["key"], {**row["finding"], "applied": None})
                elif "applied" in row:
                    page[row["applied"]]["applied"] = row["is_done"]
                elif "after" in row:
                    yield from page.values()
                    page = {}

    def remove(self) -> None:
        """The run is complete and reported."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        self._file.close()

    def _write(self, row: Mapping[str, Any]) -> None:
        self._file.write(orjson.dumps(row) + b"\n")

    def _flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def _parsed(line: bytes) -> Row | None:
    if not line.endswith(b"\n"):
        return None
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
