"""The JSON schema of the settings file, for editors."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin

from msgspec import NODEFAULT, Meta, Struct, defstruct, field, to_builtins
from msgspec.json import schema
from msgspec.structs import fields

from app.settings.model import Settings
from app.settings.parse import Section
from app.settings.reference import descriptions, plain
from app.settings.texts import CheckedText
from app.vault.secret import Secret, Secrets

_SECRET: Final = Annotated[str, Meta(extra_json_schema={"writeOnly": True})]


def settings_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a settings file with every registered vault. A file may hold any secret."""
    found = schema(_in_json(Settings))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Settings of Vaultgraph", **found}


@cache
def _in_json(kind: type[Section]) -> type[Struct]:
    """`kind` with JSON's own types: msgspec cannot show defaults of other ones."""
    rows: list[tuple[str, Any, Any]] = []
    for one in fields(kind):
        if isinstance(one.type, type) and issubclass(one.type, Section):
            rows.append((one.name, section := _in_json(one.type), field(default_factory=section)))
            continue
        default = one.default_factory() if one.default is NODEFAULT else one.default
        shown = to_builtins(default, enc_hook=lambda value: "" if isinstance(value, Secret | Secrets) else str(value))
        about = descriptions(kind).get(one.name)
        described = (
            _json_type(one.type) if about is None else Annotated[_json_type(one.type), Meta(description=plain(about))]
        )
        is_shared = isinstance(shown, (list, dict))  # msgspec refuses such a default, and leaves it out
        rows.append((one.name, described, field(default_factory=lambda: None) if is_shared else shown))
        if one.type is Secret:
            rows.append((f"{one.name}_file", str, ""))
        elif one.type is Secrets:
            rows.append((f"{one.name}_file", str | list[str], ""))
    return defstruct(kind.__name__, rows, namespace={"__doc__": kind.__doc__}, forbid_unknown_fields=True, frozen=True)


def _json_type(kind: Any) -> Any:
    if kind is Secret:
        return _SECRET
    if kind is Secrets:
        return _SECRET | list[_SECRET]  # type: ignore[valid-type]
    if get_origin(kind) is dict and issubclass(get_args(kind)[1], Section):
        return dict[str, _in_json(get_args(kind)[1])]  # type: ignore[misc]
    if get_origin(kind) is list:
        return list[_json_type(get_args(kind)[0])]  # type: ignore[misc]
    return str if isinstance(kind, type) and issubclass(kind, (Path, CheckedText)) else kind
