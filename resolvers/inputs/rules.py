"""Checks the text of every mutation's input before it is used.

Card numbers are refused everywhere except in fields declared for them (`resolvers.inputs.fields`): in text, ids, keys,
tokens, URLs and amounts alike. The `path` of problems consists of snake_case names starting below the input, as in the
use cases.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, Final, get_args, get_type_hints
from urllib.parse import unquote

import strawberry

from app.vault.pan import looks_like_card_number
from app.vault.secret import Secret
from app.wallet.problems import ProblemCode, WriteProblem, invalid
from resolvers.inputs.fields import TEXT_RULES, TextRules, given
from resolvers.inputs.urls import ReturnOrigins
from resolvers.scalars import URL, CountryCode, CurrencyCode, IdempotencyKey, Last4

Path = tuple[str, ...]

_ID: Final = TextRules(max_length=1000)
_SCALARS: Final[Mapping[object, TextRules | None]] = {
    strawberry.ID: _ID,
    URL: TextRules(max_length=2000, is_return_url=True),
    IdempotencyKey: TextRules(),
    CountryCode: None,
    CurrencyCode: None,
    Last4: None,
}
NOWHERE: Final = ReturnOrigins()
_NOT_TEXT: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS_TEXT: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    rules: TextRules | None


def text_problems(given_input: Any, origins: ReturnOrigins = NOWHERE) -> list[WriteProblem]:
    return list(_walk(given_input, (), origins))


def _walk(value: Any, path: Path, origins: ReturnOrigins) -> Iterator[WriteProblem]:
    if (own_problems := getattr(value, "own_problems", None)) is not None:  # a rule over several fields
        yield from own_problems(path)
    for field, part in _given_fields(value):
        here = (*path, field.name)
        for place, one in _each(here, part):
            if isinstance(one, Secret | str | Decimal) and not isinstance(one, Enum):
                if field.rules is not None:
                    yield from _faults(_text_of(one), field.rules, place, origins)
            else:
                yield from _walk(one, place, origins)


def _each(path: Path, value: Any) -> Iterable[tuple[Path, Any]]:
    if isinstance(value, list):
        return [((*path, str(index)), one) for index, one in enumerate(value)]
    return [(path, value)]


def _text_of(value: str | Secret | Decimal) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    return format(value, "f") if isinstance(value, Decimal) else value


def _faults(text: str, rules: TextRules, path: Path, origins: ReturnOrigins) -> Iterator[WriteProblem]:
    if not text.strip() and not rules.may_be_blank:
        yield WriteProblem(ProblemCode.REQUIRED, "It must not be blank.", path)
    elif not rules.may_hold_card_number and _holds_card_number(text, rules):
        yield WriteProblem(ProblemCode.PAN_NOT_ALLOWED, "A card number is not allowed here. It was not stored.", path)
    elif len(text) > rules.max_length:
        yield invalid(f"At most {rules.max_length} characters.", *path)
    elif not (text.isascii() and text.isprintable()) and _has_control_characters(text):
        yield invalid("Control characters are not allowed.", *path)
    elif rules.is_return_url and not origins.allows(text):
        yield invalid("The operator has not allowed returning shoppers to this site (return_origins).", *path)


def _has_control_characters(text: str) -> bool:
    return any(unicodedata.category(char) in _NOT_TEXT for char in text) or _TURNS_TEXT.search(text) is not None


def _holds_card_number(text: str, rules: TextRules) -> bool:
    if rules.known_form is not None and rules.known_form(text):
        return False
    return looks_like_card_number(text) or (rules.is_return_url and looks_like_card_number(unquote(text)))


def _given_fields(value: Any) -> Iterator[tuple[_Field, Any]]:
    if not is_dataclass(value) or isinstance(value, type) or not hasattr(value, "__strawberry_definition__"):
        return
    for field in _fields_of(type(value)):
        part = given(getattr(value, field.name))
        if part is not None:
            yield field, part


@cache
def _fields_of(kind: type) -> tuple[_Field, ...]:
    hints = get_type_hints(kind)
    return tuple(
        _Field(
            name=field.name,
            rules=field.metadata.get(TEXT_RULES) or rules_of_type(hints[field.name]),
        )
        for field in fields(kind)
    )


def rules_of_type(hint: Any) -> TextRules | None:
    """The rules of a field without declared rules: those of its scalar, or the strict ones for plain text."""
    for part in (hint, *get_args(hint)):
        for inner in (part, *get_args(part)):
            if inner in _SCALARS:
                return _SCALARS[inner]
    return TextRules()
