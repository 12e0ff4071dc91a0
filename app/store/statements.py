"""SQL that is written once and runs on SQLite and PostgreSQL, and the mapping of rows to records.

A statement's text is translated at import: `:name` is a parameter, ``IN :names`` compares with a list, and SQLite
gets no ``FOR UPDATE``, since it locks the whole file for a write, and no ``COLLATE "C"``: it compares bytes anyway.
Every statement may use `:tenant`. Values may be text, numbers, booleans, aware datetimes, dictionaries (JSON), lists
(only for ``IN``) and `Json`.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Final, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import DecodeError
from msgspec.json import Decoder, Encoder

T = TypeVar("T")
Row = tuple[Any, ...]
Convert = Callable[[Any], Any]

_PARAMETER: Final = re.compile(r"(?<![\w:]):(\w+)")
_LIST: Final = re.compile(r"\b(NOT )?IN :(\w+)")
_encode: Final = Encoder().encode
_decode: Final = Decoder().decode
_ONLY_POSTGRESQL: Final = re.compile(r"\s+(?:FOR UPDATE(?: SKIP LOCKED)?|COLLATE \"C\")")


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON value that is not an object."""

    value: Any


class Statement:
    """A statement without a result. In the text, ``{name}`` stands for one of the `parts`.

    `sqlite` and `postgresql` are the translated texts.
    """

    __slots__ = ("postgresql", "sqlite")

    def __init__(self, text: str, **parts: str) -> None:
        text = text.format(**parts)
        self.sqlite: Final = _LIST.sub(_in_json_list, _ONLY_POSTGRESQL.sub("", text))
        self.postgresql: Final = _PARAMETER.sub(r"%(\1)s", _LIST.sub(_in_array, text.replace("%", "%%")))


class Query(Statement, Generic[T]):
    """A statement that returns rows. `to_record` makes a `kind` of each by the order of the columns.

    `kind` is a dataclass, a NamedTuple, the type of a single column, or `tuple` for the row itself. In the text,
    ``{columns}`` stands for the columns of `kind`; a field that is itself a dataclass has its own, as ``{field}``,
    prefixed with ``field.``. NULL is None, or the field's default if that is made by a factory.
    """

    __slots__ = ("to_record",)

    def __init__(self, kind: type[T], text: str, **parts: str) -> None:
        self.to_record: Final[Callable[[Row], T]] = record_maker(kind)
        super().__init__(text, columns=columns_of(kind), **_prefixed(kind), **parts)


def _in_json_list(found: re.Match[str]) -> str:
    return f"{found[1] or ''}IN (SELECT value FROM json_each(:{found[2]}))"


def _in_array(found: re.Match[str]) -> str:
    return f"{'<> ALL' if found[1] else '= ANY'}(:{found[2]})"


def to_json(value: Any) -> str:
    try:
        return _encode(value).decode()
    except UnicodeEncodeError:  # a lone surrogate from a vault: the standard library escapes it
        return json.dumps(value)


# ---- rows to records -----------------------------------------------------------------------------------------


def _hints(kind: Any) -> dict[str, Any]:
    """The types of the stored fields by name; empty for the type of a single column."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return {field.name: hints[field.name] for field in fields(kind) if field.metadata.get("is_stored", True)}
    return get_type_hints(kind) if hasattr(kind, "_fields") else {}


def _columns(kind: Any) -> list[str]:
    found: list[str] = []
    for name, hint in _hints(kind).items():
        inner = _without_none(hint)
        found += _columns(inner) if is_dataclass(inner) else [name]
    return found


def columns_of(kind: Any, prefix: str = "") -> str:
    return ", ".join(f"{prefix}{column}" for column in _columns(kind))


def _prefixed(kind: type[Any]) -> dict[str, str]:
    inner = {name: _without_none(hint) for name, hint in _hints(kind).items()}
    return {name: columns_of(hint, f"{name}.") for name, hint in inner.items() if is_dataclass(hint)}


def record_maker(kind: Any) -> Callable[[Row], Any]:
    hints = _hints(kind)
    if kind is tuple:
        return _row
    if not hints:
        single = _conversion(kind)
        return _first if single is None else lambda row: single(row[0])
    names = tuple(hints)
    defaults = frozenset(
        field.name for field in (fields(kind) if is_dataclass(kind) else ()) if field.default_factory is not MISSING
    )
    conversions: list[tuple[str, Convert]] = []
    nested: list[tuple[int, int, Callable[[Row], Any], bool]] = []
    for place, (name, hint) in enumerate(hints.items()):
        inner = _without_none(hint)
        if is_dataclass(inner):
            nested.append((place, len(_columns(inner)), record_maker(inner), inner is not hint))
        elif (convert := _conversion(inner)) is not None:
            conversions.append((name, convert))

    def to_record(row: Row) -> Any:
        if nested:
            row = _with_nested(row, nested)
        values = dict(zip(names, row, strict=True))
        for name, convert in conversions:
            value = values[name]
            if value is not None:
                values[name] = convert(value)
            elif name in defaults:
                del values[name]
        return kind(**values)

    return to_record


# ---- records to parameters -----------------------------------------------------------------------------------


def values_of(record: Any) -> dict[str, Any]:
    """The record's fields as parameters, named as its columns are."""
    names, read, objects = _reader(record.__class__)
    values = dict(zip(names, read(record), strict=True))
    for name in objects:
        if values[name] is not None:
            values[name] = dict(values[name])  # what a `Mapping` may be, the drivers do not know
    return values


@cache
def _reader(kind: Any) -> tuple[list[str], Callable[[Any], Row], list[str]]:
    """The columns of a record, a function that reads them, and those that are JSON objects."""
    paths: list[str] = []
    objects: list[str] = []
    for name, hint in _hints(kind).items():
        inner = _without_none(hint)
        paths += [f"{name}.{column}" for column in _columns(inner)] if is_dataclass(inner) else [name]
        if (get_origin(inner) or inner) in (Mapping, dict):
            objects.append(name)
    return _columns(kind), attrgetter(*paths), objects


def _row(row: Row) -> Any:
    return row


def _first(row: Row) -> Any:
    return row[0]


def _with_nested(row: Row, nested: Sequence[tuple[int, int, Callable[[Row], Any], bool]]) -> Row:
    """`row` with each nested record in place of its columns; None if it is optional and its first column is NULL."""
    for place, width, to_record, is_optional in nested:
        part = row[place : place + width]
        made = None if is_optional and part[0] is None else to_record(part)
        row = (*row[:place], made, *row[place + width :])
    return row


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (one for one in get_args(hint) if one is not NoneType)
    return hint


def _conversion(hint: Any) -> Convert | None:
    """How a column's value becomes a field's; None if it stays as it is. Both drivers' values are understood."""
    hint = getattr(hint, "__supertype__", hint)
    origin = get_origin(hint) or hint
    if origin is datetime:
        return _to_instant
    if origin is bool:
        return bool
    if origin is frozenset:
        return lambda value: frozenset(_from_json(value))
    if origin in (Mapping, dict):
        return _from_json
    if isinstance(origin, type) and issubclass(origin, Enum):
        return {member.value: member for member in origin}.__getitem__
    return None


def _to_instant(value: str | datetime) -> datetime:
    return datetime.fromisoformat(f"{value}+00:00") if value.__class__ is str else value.astimezone(UTC)  # type: ignore[union-attr]


def _from_json(value: Any) -> Any:
    if value.__class__ is not str:
        return value
    try:
        return _decode(value)
    except DecodeError:  # an escaped lone surrogate, see `to_json`
        return json.loads(value)
