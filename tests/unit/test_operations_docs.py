"""The pages for operators: each command, metric, setting and query that they name exists."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from app.cli.main import load, main
from app.settings.model import Settings
from app.vault.enums import ProviderName
from tests.unit.test_docs import PAGES as ALL_PAGES
from tests.unit.test_docs import ROOT, flat

PAGES = sorted((ROOT / "docs" / "operations").glob("*.md"))
_CODE = re.compile(r"```sh\n(.*?)```|`(vaultgraph [^`]+)`", re.DOTALL)
_COMMAND = re.compile(r"(^|\s)vaultgraph [\w-]")
_WORD = re.compile(r"vaultgraph_[a-z_]+")


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of each `vaultgraph` command of a page, in its blocks and in its text."""
    for block, inline in _CODE.findall(page.read_text("utf-8")):
        for line in (block or inline).replace("\\\n", " ").splitlines():
            if not _COMMAND.search(line):
                continue
            words = shlex.split(line, comments=True)
            if "vaultgraph" in words and "install" not in words and "systemctl" not in words:
                yield words[words.index("vaultgraph") + 1 :]


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist_with_their_options(page: Path) -> None:
    for words in commands(page):
        found: click.Command = main
        rest = [word for word in words if word not in (">", "&&", "&")]
        while isinstance(found, click.Group) and rest and not rest[0].startswith("-"):
            if found is main:
                assert rest[0] in main.commands, f"vaultgraph {' '.join(words)}"
                found = load(rest.pop(0))
                continue
            if rest[0] not in found.commands:
                assert found.invoke_without_command, f"vaultgraph {' '.join(words)}"
                break
            found = found.commands[rest.pop(0)]
        known = {option for parameter in found.params for option in parameter.opts} | {"--help", "-h"}
        given = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert given <= known, f"vaultgraph {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_metrics_exist(page: Path) -> None:
    code = "".join(path.read_text("utf-8") for path in (ROOT / "app").rglob("*.py"))
    made = set(re.findall(r'"(vaultgraph_[a-z_]+)"', code))
    prefixes = tuple(re.findall(r'f"(vaultgraph_[a-z_]+_)\{', code))
    for name in set(_WORD.findall(page.read_text("utf-8"))) - {"vaultgraph_restored", "vaultgraph_staff"}:
        bare = re.sub("_(total|bucket|sum|count|created)$", "", name)
        assert {name, bare} & made or name.startswith(prefixes), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_exist(page: Path) -> None:
    settings = dict(flat(Settings()))
    sections = {name.partition(".")[0] for name in settings if "." in name}
    for name in re.findall(r"`([a-zA-Z_]+(?:\.[a-z_]+)+)(?: = [^`]*)?`", page.read_text("utf-8")):
        section, _, rest = name.partition(".")
        if section not in sections | {"VAULT"} or rest in ("com", "internal", "py", "md"):
            continue
        vaults = [vault.value for vault in ProviderName] if section == "VAULT" else [section]
        spelled = {rest, rest.removesuffix("_file")}
        assert any(f"{vault}.{one}" in settings for vault in vaults for one in spelled), name


def test_the_index_has_every_page() -> None:
    index = (ROOT / "docs" / "operations" / "README.md").read_text("utf-8")
    assert [page.name for page in PAGES if page.name != "README.md" and f"({page.name})" not in index] == []


def test_the_pages_name_commands() -> None:
    """Guards the other tests: they must find what they look for."""
    assert len([words for page in PAGES for words in commands(page)]) > 30
