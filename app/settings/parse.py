"""Parses settings one by one, so that all faults are reported at once, by name and without values."""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, EnumType
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin

from msgspec import Meta, Struct, ValidationError, convert
from msgspec.structs import fields

from app.errors import SettingsError
from app.settings.texts import CheckedText, EnvironmentText
from app.vault.secret import Secret, Secrets

Made = TypeVar("Made", bound="Section")

Positive = Annotated[float, Meta(gt=0)]
ZeroOrMore = Annotated[float, Meta(ge=0)]
AtLeastOne = Annotated[float, Meta(ge=1)]
Share = Annotated[float, Meta(gt=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
CountOrNone = Annotated[int, Meta(ge=0)]
Word = Annotated[str, Meta(min_length=1)]

_TEXT_TYPES: Final = (Path, Secret, Secrets, CheckedText)
_WORDS: Final = {
    dict: "a section",
    list: "a list",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
_LIMITS: Final[tuple[tuple[str, str, Callable[[Any, Any], bool]], ...]] = (
    ("gt", ">", operator.gt),
    ("ge", ">=", operator.ge),
    ("lt", "<", operator.lt),
    ("le", "<=", operator.le),
    ("min_length", "of length >=", lambda text, least: len(text) >= least),
    ("max_length", "of length <=", lambda text, most: len(text) <= most),
)
_FLAGS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}

_Faults = list[tuple[tuple[str, ...], str]]


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A group of settings. Values are checked by `parse`, not when an instance is created in code."""


def parse(found: Mapping[str, Any], kind: type[Made]) -> Made:
    """`found` as this kind of section. Text is accepted for numbers, lists and paths, since the environment contains
    only text. Raises SettingsError naming each wrong setting.
    """
    faults: _Faults = []
    made = _section(found, kind, (), faults)
    if made is None:
        raise SettingsError("; ".join(f"{'.'.join(path)}: {rule}" for path, rule in faults))
    return made


def names_in(kind: type[Section], prefix: str) -> Iterator[tuple[str, bool]]:
    """The environment variable of each setting and section (all begin with `prefix`), and whether it is a table that
    accepts any names.
    """
    for field in fields(kind):
        name, bare = f"{prefix}{field.name.upper()}", _bare(field.type)
        if _is_section(bare):
            yield name, False  # a value for it is refused as a section
            yield from names_in(bare, f"{name}__")
        else:
            yield name, get_origin(bare) is dict or bare is Secrets


def _section(found: Any, kind: type[Made], path: tuple[str, ...], faults: _Faults) -> Made | None:
    """The section, or None if it or anything in it is wrong, which is added to `faults`."""
    if not isinstance(found, Mapping):
        faults.append((path, f"Expected a section, got {_word_for(found)}"))
        return None
    known = {field.name: field.type for field in fields(kind)}
    before, values = len(faults), {}
    for name, value in found.items():
        if name not in known:
            faults.append(((*path, name), "there is no such setting"))
        elif _is_section(known[name]):
            values[name] = _section(value, known[name], (*path, name), faults)
        elif isinstance(value, Mapping) and get_origin(known[name]) is dict and _is_section(get_args(known[name])[1]):
            kinds, here = get_args(known[name])[1], (*path, name)
            values[name] = {key: _section(item, kinds, (*here, key), faults) for key, item in value.items()}
        else:
            if isinstance(value, str) and get_origin(known[name]) is list:
                value = [part.strip() for part in re.split("[,\n]", value) if part.strip()]
            try:
                values[name] = _value(value, known[name])
            except ValueError as wrong:
                faults.append(((*path, name), str(wrong)))
    if len(faults) > before:
        return None
    try:
        return kind(**values)
    except ValueError as wrong:  # the section's own rule
        faults.append((path, str(wrong)))
        return None


def _value(value: Any, kind: Any) -> Any:
    """One setting's value; raises ValueError with the rule. A fault in an item is one of the whole list or table."""
    bare = _bare(kind)
    if get_origin(bare) is list and bare is kind:
        if not isinstance(value, list):
            raise ValueError(f"Expected a list, got {_word_for(value)}")
        return [_value(item, get_args(bare)[0]) for item in value]
    if get_origin(bare) is dict and bare is kind:
        if not isinstance(value, Mapping):
            raise ValueError(f"Expected a section, got {_word_for(value)}")
        return {name: _value(item, get_args(bare)[1]) for name, item in value.items()}
    if isinstance(value, str) and bare is bool:
        value = _FLAGS.get(value.strip().lower(), value)
    elif isinstance(value, str) and bare in (int, float):
        value = value.strip()
    if isinstance(bare, type) and issubclass(bare, _TEXT_TYPES):
        return _of_text(bare, value)
    try:
        return convert(value, kind, strict=False, dec_hook=_of_text)
    except ValidationError:
        raise ValueError(_rule(value, kind)) from None


def _of_text(kind: type[Any], value: Any) -> Any:
    if isinstance(value, kind):
        return value
    if kind is Secrets:
        return _secrets(value)
    if not issubclass(kind, _TEXT_TYPES) or not isinstance(value, str):
        raise ValueError("Expected text")
    return kind(value)


def _secrets(value: Any) -> Secrets:
    """One text with a secret per line (an environment variable also with commas between them), a list, or a table with
    the keys 1, 2, ... (numbered environment variables).
    """
    if isinstance(value, str):
        ends = "[,\n]" if isinstance(value, EnvironmentText) else "\n"
        return Secrets(*(part.strip() for part in re.split(ends, value)))
    if isinstance(value, Mapping):
        if not all(number.isdecimal() for number in value):
            raise ValueError("Expected numbers as names, as in 1, 2")
        value = [value[number] for number in sorted(value, key=int)]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("Expected text, or a list of texts")
    if not all(one.strip() for one in value):
        raise ValueError("Expected no empty entry")
    return Secrets(*value)


def _rule(value: Any, kind: Any) -> str:
    bare, limits = _bare(kind), get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    members: Mapping[str, Enum] = bare.__members__ if isinstance(bare, EnumType) else {}
    choices = get_args(bare) if get_origin(bare) is Literal else [one.value for one in members.values()]
    if choices:
        return f"Expected {'one of ' if len(choices) > 1 else ''}{', '.join(map(str, choices))}"
    expected = _WORDS.get(bare, "another kind of value")
    try:
        number = convert(value, bare, strict=False, dec_hook=_of_text)
    except ValidationError:
        return f"Expected {expected}, got {_word_for(value)}"
    broken = (
        f"Expected {expected} {sign} {bound}"
        for limit in limits
        for name, sign, holds in _LIMITS
        if (bound := getattr(limit, name)) is not None and not holds(number, bound)
    )
    return next(broken, f"Expected another {type(number).__name__}")


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _word_for(value: Any) -> str:
    return _WORDS.get(type(value), "nothing" if value is None else "another kind of value")
