"""Declares text fields of inputs: their maximum length, and whether they may contain a card number.

Card numbers are refused in every field unless it allows them, so that new fields are protected by default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import strawberry

from app.vault.rules.text import tidy
from resolvers.directives import RequiresScope, Sensitive

TEXT_RULES: Final = "vaultgraph/text"
DEFAULT_MAX: Final = 255
LONGEST_SECRET: Final = 4096
KEY: Final = "Makes repeating the request safe: the same key applies the write once and returns its outcome."
OPTIONAL_KEY: Final = (
    "Makes repeating the request safe. Without it, the server makes a key, and a repeated request is a new write."
)


@dataclass(frozen=True, slots=True)
class TextRules:
    """`may_hold_card_number`: for raw card numbers, and for network tokens, which look the same. `known_form`: text
    that it matches is no card number, whatever its digits (an IBAN, an etag).
    """

    max_length: int = DEFAULT_MAX
    may_hold_card_number: bool = False
    may_be_blank: bool = False
    is_return_url: bool = False
    known_form: Callable[[str], object] | None = None


def text(
    *,
    max_length: int = DEFAULT_MAX,
    is_optional: bool = False,
    may_be_blank: bool = False,
    known_form: Callable[[str], object] | None = None,
    description: str | None = None,
) -> Any:
    """A field of plain text."""
    rules = TextRules(max_length, may_be_blank=may_be_blank or is_optional, known_form=known_form)
    default = {"default": strawberry.UNSET} if is_optional else {}
    return strawberry.field(metadata={TEXT_RULES: rules}, description=description, **default)


def sensitive(
    *,
    is_optional: bool = False,
    may_hold_card_number: bool = False,
    max_length: int = LONGEST_SECRET,
    known_form: Callable[[str], object] | None = None,
    description: str | None = None,
) -> Any:
    """A field for a token or a number. Variables only."""
    rules = TextRules(max_length, may_hold_card_number=may_hold_card_number, known_form=known_form)
    default = {"default": strawberry.UNSET} if is_optional else {}
    return strawberry.field(directives=[Sensitive()], metadata={TEXT_RULES: rules}, description=description, **default)


def optional(description: str | None = None, scopes: tuple[str, ...] = ()) -> Any:
    """An optional field; null means the same as absent."""
    directives = [RequiresScope(any=list(scopes))] if scopes else []
    return strawberry.field(default=strawberry.UNSET, description=description, directives=directives)


def given(value: Any) -> Any:
    """The value, or None if it is absent."""
    return None if value is strawberry.UNSET else value


def words(value: Any) -> Any:
    """Normalised text; None if it is empty or absent."""
    return (tidy(value) or None) if isinstance(value, str) else None
