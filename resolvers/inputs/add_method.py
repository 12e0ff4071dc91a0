"""The ways to add a payment method, one at a time. Each vault contributes its own."""

from dataclasses import fields
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast, get_type_hints

import strawberry

from app.errors import SettingsError
from app.providers.registry import specs
from app.vault.model import Address, NewMethod
from app.vault.secret import Secret
from resolvers.inputs.fields import given, optional

Path = tuple[str, ...]


class Way(Protocol):
    def to_new(self, billing: Address | None) -> NewMethod: ...


class ChosenWay(NamedTuple):
    """The chosen way, its path in the input, and the name of its secret field."""

    way: Way
    path: Path
    secret_field: str


class _OneWay:
    def chosen(self) -> ChosenWay:
        """Descend to the innermost input, which has the method's fields."""
        inner: Any = self
        path: Path = ("method",)
        while not hasattr(inner, "to_new"):  # isinstance with a protocol takes a hundred calls
            name, inner = next(
                (field.name, value)
                for field in fields(inner)
                if (value := given(getattr(inner, field.name))) is not None
            )
            path = (*path, name)
        return ChosenWay(cast(Way, inner), path, _secret_field(cast(Any, type(inner))))


@cache
def _secret_field(kind: type) -> str:
    return next(name for name, hint in get_type_hints(kind).items() if hint is Secret)


def _ways() -> dict[str, Any]:
    """The namespace of `AddMethodInput`: one field for every way of every registered vault."""
    members: dict[str, Any] = {}
    hints: dict[str, Any] = {}
    for spec in specs().values():
        for way in import_module(spec.graphql).ADD_INPUTS if spec.graphql else ():
            if way.field in hints:
                raise SettingsError(f"two vaults add methods by {way.field}; one of them is {spec.name}")
            hints[way.field] = way.type | None
            members[way.field] = optional(way.description, way.scopes)
    return {"__annotations__": hints, **members}


if TYPE_CHECKING:

    class AddMethodInput(_OneWay): ...
else:
    AddMethodInput = strawberry.input(
        type("AddMethodInput", (_OneWay,), {"__module__": __name__, **_ways()}),
        one_of=True,
        description="Exactly one of these.",
    )
