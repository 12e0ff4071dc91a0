"""Parses settings with msgspec. Reports all faults at once and quotes no values."""

import re
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin

from msgspec import Meta, Struct, ValidationError, convert
from msgspec.structs import fields

from app.errors import SettingsError
from app.settings.texts import CheckedText
from app.vault.secret import Secret

Made = TypeVar("Made", bound="Section")

Positive = Annotated[float, Meta(gt=0)]
ZeroOrMore = Annotated[float, Meta(ge=0)]
AtLeastOne = Annotated[float, Meta(ge=1)]
Share = Annotated[float, Meta(gt=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
CountOrNone = Annotated[int, Meta(ge=0)]
Word = Annotated[str, Meta(min_length=1)]

_WORDS: Final = {
    "`object`": "a section",
    "`array`": "a list",
    "`str`": "text",
    "`int`": "a whole number",
    "`float`": "a number",
    "`bool`": "true or false",
    "`null`": "nothing",
}
_FLAGS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_UNKNOWN: Final = re.compile("Object contains unknown field `(.*)`", re.DOTALL)


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A group of settings. Values are checked by `parse`, not when an instance is created in code."""


def parse(found: MutableMapping[str, Any], kind: type[Made]) -> Made:
    """Parse `found` as this kind of section. Text is accepted for numbers, lists and paths, since the environment
    contains only text. Modifies `found`. Raises SettingsError naming each wrong setting.
    """
    _read_text(found, kind)
    faults: list[str] = []
    while True:
        try:
            made = convert(found, kind, strict=False, dec_hook=_of_text)
        except ValidationError as error:
            names, reason = _fault(str(error), kind)
            faults.append(f"{'.'.join(names)}: {reason}")
            if not _take_out(found, names):  # to find the next fault
                break
        else:
            if not faults:
                return made
            break
    raise SettingsError("; ".join(faults))


def names_in(kind: type[Section], prefix: str) -> Iterator[tuple[str, bool]]:
    """The environment variable of each setting and section (all begin with `prefix`), and whether it is a table that
    accepts any names.
    """
    for field in fields(kind):
        name, bare = f"{prefix}{field.name.upper()}", _bare(field.type)
        if isinstance(bare, type) and issubclass(bare, Section):
            yield name, False  # a value for it is refused as a section
            yield from names_in(bare, f"{name}__")
        else:
            yield name, get_origin(bare) is dict


def _of_text(kind: type[Any], value: Any) -> Any:
    if isinstance(value, kind):
        return value
    if not issubclass(kind, (Path, Secret, CheckedText)) or not isinstance(value, str):
        raise TypeError("Expected text")
    return kind(value)


def _read_text(found: MutableMapping[str, Any], kind: type[Section]) -> None:
    """Parse text that msgspec does not: lists, blanks around numbers, and usual spellings of booleans."""
    for field in fields(kind):
        value, bare = found.get(field.name), _bare(field.type)
        if isinstance(value, MutableMapping) and isinstance(bare, type) and issubclass(bare, Section):
            _read_text(value, bare)
        elif isinstance(value, str) and get_origin(bare) is list:
            found[field.name] = [part.strip() for part in re.split("[,\n]", value) if part.strip()]
        elif isinstance(value, str) and bare is bool:
            found[field.name] = _FLAGS.get(value.strip().lower(), value)
        elif isinstance(value, str) and bare in (int, float):
            found[field.name] = value.strip()


def _fault(message: str, kind: type[Section]) -> tuple[list[str], str]:
    """The setting and its fault. A fault in an item names the whole list or table."""
    reason, _, place = message.partition(" - at `$")
    names = re.sub(r"\[[^]]*\]", "", place.removesuffix("`")).strip(".")
    path = names.split(".") if names else []
    unknown = _UNKNOWN.fullmatch(reason)
    if unknown:
        return [*path, unknown[1]], "there is no such setting"
    if choices := _choices(path, kind):
        return path, f"Expected {'one of ' if len(choices) > 1 else ''}{', '.join(choices)}"
    for ours, theirs in _WORDS.items():
        reason = reason.replace(ours, theirs)
    return path, reason


def _choices(path: list[str], kind: type[Section]) -> tuple[str, ...]:
    """The choices of a setting; msgspec's message would quote the value."""
    here: Any = kind
    for name in path:
        here = {field.name: field.type for field in fields(here)}[name]
    here = _bare(here)
    if get_origin(here) is list:
        here = get_args(here)[0]
    return get_args(here) if get_origin(here) is Literal else ()


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _take_out(found: MutableMapping[str, Any], names: list[str]) -> bool:
    here: Any = found
    for name in names[:-1]:
        here = here.get(name) if isinstance(here, Mapping) else None
    if not names or not isinstance(here, MutableMapping) or names[-1] not in here:
        return False
    del here[names[-1]]
    return True
