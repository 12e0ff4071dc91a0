"""The reference of all settings, from the settings classes: defaults, and the docstrings below the attributes."""

import ast
import inspect
import json
import re
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

from app.http.settings import ProviderSettings
from app.providers.registry import specs
from app.settings.model import Settings
from app.settings.parse import Section
from app.vault.secret import Secret, Secrets

_LINK: Final = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_PAGE_HEAD: Final = """# Every setting

`vaultgraph schema settings --markdown` prints this page. [Running](running.md) says where settings are read from.
Durations are in seconds, sizes in bytes. A dash means that the default is empty; the setting is required only if its
row says so. `VAULT` stands for the name of each vault.
"""


@cache
def descriptions(section: type[Section]) -> dict[str, str]:
    """What each attribute of a settings class means, in Markdown: the docstring below it. Inherited ones included."""
    found: dict[str, str] = {}
    for kind in reversed(section.__mro__):
        if issubclass(kind, Section) and kind is not Section:
            found.update(_own_descriptions(kind))
    return found


def plain(text: str) -> str:
    """Markdown without its links."""
    return _LINK.sub(r"\1", text)


def settings_page() -> str:
    """The page `docs/configuration.md`."""
    return "\n".join(
        [
            _PAGE_HEAD,
            *_tables(Settings(), "", "The gateway"),
            *_tables(ProviderSettings(), "VAULT.", "Every vault"),
            *_vaults(),
        ]
    )


def _vaults() -> Iterator[str]:
    """What each vault has beyond the common settings."""
    common = set(ProviderSettings.__struct_fields__)
    for spec in specs().values():
        section = spec.settings()
        yield from _table(section, f"{spec.name}.", spec.display_name, set(section.__struct_fields__) - common)


def _own_descriptions(kind: type[Section]) -> Iterator[tuple[str, str]]:
    try:
        (tree,) = ast.parse(dedent(inspect.getsource(kind))).body
    except OSError:  # a class that was made at run time has no attributes of its own to describe
        return
    assert isinstance(tree, ast.ClassDef)
    for attribute, below in zip(tree.body, tree.body[1:], strict=False):
        match attribute, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, " ".join(text.split())


def _tables(section: Section, path: str, heading: str) -> Iterator[str]:
    """The section itself, then the sections in it, but for those of vaults."""
    inner = {name: value for name in section.__struct_fields__ if isinstance(value := getattr(section, name), Section)}
    yield from _table(section, path, heading, set(section.__struct_fields__) - inner.keys())
    for name, value in inner.items():
        if not isinstance(value, ProviderSettings):
            yield from _tables(value, f"{path}{name}.", f"`{path}{name}`")


def _table(section: Section, path: str, heading: str, names: Set[str]) -> Iterator[str]:
    yield f"## {heading}\n"
    if path and (about := inspect.getdoc(type(section))):
        yield f"{' '.join(about.split())}\n"
    if names:
        texts = descriptions(type(section))
        yield "| setting | default | meaning |\n|---|---|---|"
        for name in section.__struct_fields__:
            if name in names:
                yield f"| `{path}{name}` | {_shown(getattr(section, name))} | {texts[name]} |"
        yield ""


def _shown(value: Any) -> str:
    if isinstance(value, Secret | Secrets):
        value = value.reveal() or ""
    elif isinstance(value, Path):
        value = str(value)
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    return "-" if value == "" else f"`{json.dumps(value)}`"
