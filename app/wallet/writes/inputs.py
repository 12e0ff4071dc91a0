"""Input validation independent of vaults, and the digest of a new method.

Card numbers in texts are refused earlier, when the graph's inputs are parsed.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from app.vault.enums import AddRoute
from app.vault.model import NewMethod
from app.wallet.digest import Number, Token
from app.wallet.problems import WriteProblem
from app.wallet.writes.handler import invalid

NICKNAME_LIMIT: Final = 100


def nickname_problems(nickname: str | None) -> tuple[WriteProblem, ...]:
    if nickname is None or len(nickname) <= NICKNAME_LIMIT:
        return ()
    return (invalid(f"A nickname has at most {NICKNAME_LIMIT} characters.", "nickname"),)


def method_digest(method: NewMethod) -> Mapping[str, Any]:
    """A new method as digest input: tokens as an HMAC, numbers excluded.

    A network token counts as a number: it replaces a card number, and a number could be sent in its field.
    """
    values = {each.name: getattr(method, each.name) for each in fields(method)}
    mark = Token if method.route is AddRoute.PROVIDER_TOKEN else Number
    return {**values, "secret": mark(method.secret)}
