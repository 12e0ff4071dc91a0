"""A check of an input that concerns no vault, and what of a method makes two inputs the same.

Card numbers in texts are refused where the graph's inputs are read, before any command is made.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from app.vault.model import NewMethod
from app.vault.names import AddRoute
from app.wallet.digest import Number, Token
from app.wallet.problems import Problem
from app.wallet.writing.usecase import invalid

NICKNAME_LIMIT: Final = 100


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
