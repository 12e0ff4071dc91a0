"""Checks of an input that concern no vault, and what of it makes two inputs the same."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

from app.pan import looks_like_card_number
from app.vault.model import NewMethod
from app.vault.names import AddRoute
from app.vault.secret import Secret
from app.wallet.digest import Number, Token
from app.wallet.problems import Problem, ProblemCode
from app.wallet.writing.usecase import invalid

NICKNAME_LIMIT: Final = 100
# Ids, keys, etags and telephones are not free text; a vault's own token is a Secret, and no text at all.
_NOT_SCANNED: Final = frozenset(
    {
        "customer_id",
        "method_id",
        "replacement_id",
        "external_id",
        "confirm_external_id",
        "customer_ref",
        "idempotency_key",
        "if_match",
        "phone",
        "secret_field",
        "method_path",
    }
)


def card_number_problems(command: Any) -> tuple[Problem, ...]:
    """PAN_NOT_ALLOWED for each text in which a card number stands."""
    return tuple(
        Problem(
            code=ProblemCode.PAN_NOT_ALLOWED,
            message="This looks like a card number, which must not be sent here.",
            path=path,
        )
        for path, text in _texts(command, (), tuple(getattr(command, "method_path", ())))
        if looks_like_card_number(text)
    )


def nickname_problems(nickname: str | None) -> tuple[Problem, ...]:
    if nickname is None or len(nickname) <= NICKNAME_LIMIT:
        return ()
    return (invalid(f"A nickname has at most {NICKNAME_LIMIT} characters.", "nickname"),)


def method_digest(method: NewMethod) -> Mapping[str, Any]:
    """A new method as a digest takes it: tokens by their HMAC, numbers not at all.

    A network token stands in a card number's place, and a number could come in by its door: it counts as one.
    """
    values = {each.name: getattr(method, each.name) for each in fields(method)}
    mark = Token if method.route is AddRoute.PROVIDER_TOKEN else Number
    return {**values, "secret": mark(method.secret)}


def _texts(value: Any, path: tuple[str, ...], method_path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif is_dataclass(value) and not isinstance(value, type | Secret):
        for each in fields(value):
            if each.name in _NOT_SCANNED:
                continue
            below = (*path, each.name)
            if each.name == "method" and not path:
                below = method_path
            elif path == method_path and each.name == "billing_address":
                below = ("billing_address",)
            yield from _texts(getattr(value, each.name), below, method_path)
