"""The ways to add a payment method, one at a time. Each vault contributes its own."""

from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, get_type_hints, runtime_checkable

import strawberry

from app.errors import SettingsError
from app.providers.registry import specs
from app.vault.model import Address, NewMethod
from app.vault.secret import Secret
from resolvers.inputs.fields import given, optional

Path = tuple[str, ...]


@runtime_checkable
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
        inner: object = self
        path: Path = ("method",)
        while not isinstance(inner, Way):
            name, inner = next(
                (field.name, value)
                for field in fields(inner)  # type: ignore[arg-type]
                if (value := given(getattr(inner, field.name))) is not None
            )
            path = (*path, name)
        secret_field = next(name for name, kind in get_type_hints(type(inner)).items() if kind is Secret)
        return ChosenWay(inner, path, secret_field)


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
