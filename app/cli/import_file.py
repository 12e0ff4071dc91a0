"""Strict reader of import files: CSV with a header (RFC 4180) or newline-delimited JSON, UTF-8, one row per line.

A file with any damage is refused as a whole before rows are sent: after an unclosed quote, following rows would be read
as part of a field. Errors name line, row and column, never a value. Reads one line at a time.
"""

import csv
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

from app.api.strict_json import NotStrictJson, loads
from app.errors import VaultgraphError
from app.providers.registry import import_token_fields

REQUIRED: Final = ("external_id", "provider", "customer_ref")
SHOWN: Final = ("last4", "holder_name")
CARD: Final = ("expiry", "brand", "bin")
ACCOUNT: Final = ("account_type", "routing_number")
TOKENS: Final = tuple(import_token_fields())
COLUMNS: Final = (*REQUIRED, *TOKENS, "last4", "expiry", "brand", "holder_name", "bin", *ACCOUNT)
REASON_COLUMNS: Final = ("row", "code", "message")
"""Extra columns of a rejects file, ignored on import."""
WITHHELD: Final = "[put the token back]"
"""Replaces the token in a rejects file."""

_LONGEST_LINE: Final = 65_536
_LONGEST: Final = {**dict.fromkeys(TOKENS, 4_096), "message": 4_096}
_LONGEST_OTHER: Final = 255
_DEPTH: Final = 8
_FIELD: Final = re.compile(r'"(?:[^"]|"")*+"(?=,|$)|[^",]*+(?=,|$)')
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_BOM: Final = b"\xef\xbb\xbf"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_FORMULA: Final = frozenset("=+-@\t\r\uff1d\uff0b\uff0d\uff20")


@dataclass(frozen=True, slots=True)
class FileShape:
    """The columns that a file may have, and those that its header must have."""

    columns: Sequence[str]
    required: Sequence[str] = ()


IMPORT: Final = FileShape(COLUMNS, REQUIRED)


class ImportRefused(VaultgraphError):
    """The file cannot be imported; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Position in the file. `line` counts from 1; so does `row`, without blank lines; row 0 is the header."""

    path: Path
    line: int
    row: int

    def refused(self, rule: str, column: int = 0, names: Sequence[str] = ()) -> ImportRefused:
        """`column` counts from 1; 0 is the whole row. `names` are the header's columns."""
        words = [f"{self.path}: line {self.line}", f"row {self.row}" if self.row else "the header"]
        if column:
            name = names[column - 1] if column <= len(names) else ""
            words.append(f"column {column} ({name})" if name else f"column {column}")
        return ImportRefused(f"{', '.join(words)}: {rule}")


def measure(path: Path, shape: FileShape = IMPORT) -> tuple[str, int]:
    """The file's SHA-256 and its number of rows. Raises ImportRefused if any part cannot be read."""
    count = sum(1 for _ in rows_of(path, shape))
    digest = sha256()
    with _opened(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest(), count


def rows_of(path: Path, shape: FileShape = IMPORT) -> Generator[dict[str, str], None, None]:
    """The rows, one at a time, as a dict by column. Raises ImportRefused."""
    with _opened(path) as file:
        try:
            is_json = path.suffix.lower() in (".ndjson", ".jsonl")
            yield from _json_rows(path, file, shape) if is_json else _csv_rows(path, file, shape)
        except OSError as error:
            raise ImportRefused(f"{path}: {error.strerror}") from None


def _opened(path: Path) -> BinaryIO:
    try:
        if not path.is_file():
            raise ImportRefused(f"{path}: not a regular file")
        return path.open("rb")
    except OSError as error:
        raise ImportRefused(f"{path}: {error.strerror}") from None


# ---- CSV --------------------------------------------------------------------------------------------------


def _csv_rows(path: Path, file: BinaryIO, shape: FileShape) -> Iterator[dict[str, str]]:
    names: list[str] | None = None
    for place, raw in _lines(path, file, first_row=0):
        values = _fields(place, raw, names or ())
        if names is None:
            names = _checked_header(place, values, shape)
            is_rejects = "code" in names and "message" in names
            continue
        if len(values) != len(names):
            is_more = len(values) > len(names)
            rule = f"has {len(values)} fields but the header names {len(names)} columns"
            raise place.refused(rule, len(names) + 1 if is_more else len(values) + 1, names)
        for column, (name, value) in enumerate(zip(names, values, strict=True), start=1):
            if fault := _fault_of(name, value):
                raise place.refused(fault, column, names)
        row = {name: unquoted(value) if is_rejects else value for name, value in zip(names, values, strict=True)}
        yield {name: value for name, value in row.items() if name not in REASON_COLUMNS}
    if names is None:
        raise ImportRefused(f"{path}: the file is empty; its first line names the columns")


def _checked_header(place: _Place, names: list[str], shape: FileShape) -> list[str]:
    known = (*shape.columns, *REASON_COLUMNS)
    for column, name in enumerate(names, start=1):
        if name not in known:
            raise place.refused(f"is not known; valid columns are {', '.join(shape.columns)}", column)
        if name in names[: column - 1]:
            raise place.refused("is named twice", column, names)
    if missing := [name for name in shape.required if name not in names]:
        raise place.refused(f"the file lacks the columns: {', '.join(missing)}")
    return names


def _fields(place: _Place, raw: bytes, names: Sequence[str]) -> list[str]:
    """Split a line. Rejects errors that `csv` accepts or reports without a column."""
    line = _text(place, raw, names)
    if found := _UNPRINTABLE.search(line):
        rule = "holds a carriage return that ends no line" if found[0] == "\r" else "holds a control character"
        raise place.refused(rule, _last_column(line[: found.start()]), names)
    _check_quotes(place, line, names)
    try:
        (values,) = csv.reader([line], strict=True)
    except (csv.Error, ValueError):
        raise place.refused("is not valid CSV") from None
    return values


def _check_quotes(place: _Place, line: str, names: Sequence[str]) -> None:
    start, column = 0, 1
    while True:
        match = _FIELD.match(line, start)
        if match is None:
            raise place.refused(_wrong_quote(line, start), column, names)
        if match.end() == len(line):
            return
        start, column = match.end() + 1, column + 1


def _wrong_quote(line: str, start: int) -> str:
    if not line.startswith('"', start):
        return "has a quote inside a field that does not begin with one"
    if re.compile(r'"(?:[^"]|"")*+"').match(line, start):
        return "goes on after its closing quote"
    return "has no closing quote in its line; a field cannot hold a line break"


# ---- JSON -------------------------------------------------------------------------------------------------


def _json_rows(path: Path, file: BinaryIO, shape: FileShape) -> Iterator[dict[str, str]]:
    is_empty = True
    for place, raw in _lines(path, file, first_row=1):
        is_empty = False
        _text(place, raw, None)
        try:
            found = loads(raw, max_depth=_DEPTH)
        except NotStrictJson as fault:
            raise place.refused(str(fault)) from None
        if not isinstance(found, dict):
            raise place.refused("is not a JSON object")
        yield dict(_json_values(place, found, shape))
    if is_empty:
        raise ImportRefused(f"{path}: the file is empty")


def _json_values(place: _Place, found: Mapping[str, object], shape: FileShape) -> Iterator[tuple[str, str]]:
    for column, (name, value) in enumerate(found.items(), start=1):
        if name not in shape.columns:
            raise place.refused(f"is not known; valid columns are {', '.join(shape.columns)}", column)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise place.refused("is neither text nor a whole number", column, list(found))
        if rule := _fault_of(name, str(value)):
            raise place.refused(rule, column, list(found))
        yield name, str(value)


# ---- lines and fields -------------------------------------------------------------------------------------


def _lines(path: Path, file: BinaryIO, *, first_row: int) -> Iterator[tuple[_Place, bytes]]:
    """The non-blank lines without their LF or CRLF."""
    number, row = 0, first_row
    while raw := file.readline(_LONGEST_LINE + 1):
        number += 1
        place = _Place(path, number, row)
        if number == 1:
            if raw.startswith(_UTF16):
                raise place.refused("is not UTF-8: save the file as UTF-8")
            raw = raw.removeprefix(_BOM)
        if len(raw) > _LONGEST_LINE:
            rule = f"is longer than {_LONGEST_LINE} bytes"
            raise place.refused(rule, _last_column(raw.decode("utf-8", "replace")))
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        if raw.strip(b" \t\r"):
            yield place, raw
            row += 1


def _last_column(line: str) -> int:
    start, column = 0, 1
    while (match := _FIELD.match(line, start)) is not None and match.end() < len(line):
        start, column = match.end() + 1, column + 1
    return column


def _text(place: _Place, raw: bytes, names: Sequence[str] | None) -> str:
    """`names` are the columns, None if there are none. Raises ImportRefused."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        column = 0 if names is None else _last_column(raw[: error.start].decode("utf-8"))
        raise place.refused("is not UTF-8: save the file as UTF-8", column, names or ()) from None


def _fault_of(name: str, value: str) -> str | None:
    longest = _LONGEST.get(name, _LONGEST_OTHER)
    if len(value) > longest:
        return f"is longer than {longest} characters"
    if _UNPRINTABLE.search(value):
        return "holds a control character"
    return None


# ---- spreadsheets -----------------------------------------------------------------------------------------


def quoted(value: str) -> str:
    """Quote a value for a spreadsheet cell: a formula, or a value that starts with an apostrophe, gets an apostrophe,
    so that `unquoted` restores it exactly. Source: OWASP, "CSV Injection".
    """
    is_formula = not _FORMULA.isdisjoint((value[:1], value.lstrip()[:1]))
    return f"'{value}" if is_formula or value.startswith("'") else value


def unquoted(value: str) -> str:
    return value.removeprefix("'")
