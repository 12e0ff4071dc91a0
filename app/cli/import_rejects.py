"""The file of rows that were not imported, for spreadsheets and for another import after correction."""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from app.cli.import_file import COLUMNS, TOKENS, WITHHELD, ImportRefused, quoted
from app.vault.pan import looks_like_card_number

_MOST_FILES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not imported, and why. Repeats the row without its token and possible card numbers."""

    row: int
    values: Mapping[str, str]
    code: str
    message: str

    def cells(self, columns: Sequence[str] = COLUMNS) -> list[str]:
        shown = {name: self.values.get(name, "") for name in columns}
        shown = {name: "" if looks_like_card_number(value) else value for name, value in shown.items()}
        for token in TOKENS:
            if self.values.get(token, "").strip():
                shown[token] = WITHHELD
        return [str(self.row), *(quoted(value) for value in shown.values()), self.code, quoted(self.message)]


class RejectsFile:
    """Created with its first row; never overwrites an existing file."""

    def __init__(self, path: Path, columns: Sequence[str] = COLUMNS) -> None:
        self._path = path
        self._columns = columns
        self._file: IO[str] | None = None

    @classmethod
    def beside(
        cls, source: Path, asked: Path | None, *, is_repeat: bool, columns: Sequence[str] = COLUMNS
    ) -> "RejectsFile":
        """The rejects file of `source`, at `asked` or the default path. If that file exists, a repeated import takes
        another name and a first one is refused. Raises ImportRefused.
        """
        path = asked or source.with_name(f"{source.name}.rejects.csv")
        if path.exists() and path.samefile(source):
            raise ImportRefused(f"--rejects names the file that is to be imported: {path}")
        if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
            raise ImportRefused(f"--rejects: no file can be made in {path.parent}")
        if not os.path.lexists(path):
            return cls(path, columns)
        if is_repeat and path.is_file():
            for number in range(2, _MOST_FILES):
                other = path.with_name(f"{path.stem}.{number}{path.suffix}")
                if not os.path.lexists(other):
                    return cls(other, columns)
        raise ImportRefused(f"{path} is there already: move it away, or name another file with --rejects")

    @property
    def written(self) -> Path | None:
        """The path of the file, if any rows were written."""
        return None if self._file is None else self._path

    def write(self, rejects: Iterable[Reject]) -> None:
        """Raises ImportRefused if the file cannot be created or written."""
        rows = [reject.cells(self._columns) for reject in rejects]
        if not rows:
            return
        try:
            if self._file is None:
                made = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                self._file = os.fdopen(made, "w", encoding="utf-8", newline="")
                csv.writer(self._file).writerow(("row", *self._columns, "code", "message"))
            csv.writer(self._file).writerows(rows)
            self._file.flush()
        except OSError as error:
            raise ImportRefused(f"{self._path}: {error.strerror}") from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
