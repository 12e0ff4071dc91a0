"""The reference of all settings, from the settings classes: defaults, and the docstrings below the attributes."""

import ast
import inspect
import json
import re
from collections.abc import Collection, Iterator
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

`vaultgraph schema settings --markdown` prints this page; [Running](running.md) says where settings are read from.
Durations are in seconds, sizes in bytes. A dash is an empty default. `VAULT` is the name of each vault.
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
    return "\n".join([_PAGE_HEAD, *_tables()])


def _tables() -> Iterator[str]:
    """One for the settings without a section, one for each section, one for each vault."""
    settings = Settings()
    sections = {name for name in settings.__struct_fields__ if isinstance(getattr(settings, name), Section)}
    yield from _table(settings, "", "The gateway", sections)
    for name in settings.__struct_fields__:
        if name in sections and not isinstance(section := getattr(settings, name), ProviderSettings):
            yield from _table(section, f"{name}.", f"`{name}`")
    yield from _table(ProviderSettings(), "VAULT.", "Every vault")
    for spec in specs().values():
        common = ProviderSettings.__struct_fields__
        yield from _table(spec.settings(), f"{spec.name}.", spec.display_name, common)


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


def _table(section: Section, path: str, heading: str, omitted: Collection[str] = ()) -> Iterator[str]:
    yield f"## {heading}\n"
    if path and (about := inspect.getdoc(type(section))):
        yield f"{' '.join(about.split())}\n"
    yield "| setting | default | meaning |\n|---|---|---|"
    yield from _rows(section, path, omitted)
    yield ""


def _rows(section: Section, path: str, omitted: Collection[str] = ()) -> Iterator[str]:
    """A row for each setting, those of nested sections included."""
    texts = descriptions(type(section))
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if name in omitted:
            continue
        if isinstance(value, Section):
            yield from _rows(value, f"{path}{name}.")
        else:
            yield f"| `{path}{name}` | {_shown(value)} | {texts[name]} |"


def _shown(value: Any) -> str:
    if isinstance(value, Secret | Secrets):
        value = value.reveal() or ""
    elif isinstance(value, Path):
        value = str(value)
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    return "-" if value == "" else f"`{json.dumps(value)}`"
