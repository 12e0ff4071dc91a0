"""How text in an input is declared: how long it may be, and whether it may hold a card number.

Card numbers are refused in every field that does not say otherwise here, so that a new field is guarded from the start.
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


@dataclass(frozen=True, slots=True)
class TextRules:
    """`may_hold_card_number`: the number of a raw card, and network tokens, which have a card number's shape.
    `known_form`: what it matches is no card number, whatever its digits look like (an IBAN, an etag of ours).
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
    known_form: Callable[[str], object] | None = None,
    description: str | None = None,
) -> Any:
    """A field for a token or a number. Variables only."""
    rules = TextRules(LONGEST_SECRET, may_hold_card_number=may_hold_card_number, known_form=known_form)
    default = {"default": strawberry.UNSET} if is_optional else {}
    return strawberry.field(directives=[Sensitive()], metadata={TEXT_RULES: rules}, description=description, **default)


def optional(description: str | None = None, scopes: tuple[str, ...] = ()) -> Any:
    """A field that may be left out; null means the same."""
    directives = [RequiresScope(any=list(scopes))] if scopes else []
    return strawberry.field(default=strawberry.UNSET, description=description, directives=directives)


def given(value: Any) -> Any:
    """The value, or None where it was left out."""
    return None if value is strawberry.UNSET else value


def words(value: Any) -> Any:
    """Tidy text; None where that leaves nothing or nothing was given."""
    return (tidy(value) or None) if isinstance(value, str) else None
