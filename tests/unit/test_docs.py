"""The documentation matches the code: every setting, every link, the commands and the query of the README."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import OperationDefinitionNode, build_schema, parse, validate
from graphql.execution.values import get_variable_values

from app.settings.model import Settings, load_settings
from app.settings.parse import Section
from app.settings.reference import settings_page
from app.vault.enums import ProviderName
from app.vault.secret import Secret, Secrets

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_ROW = re.compile(r"^\| `([\w.]+)` \| (`[^`]*`|-) \| (.*) \|$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def flat(section: Section, path: str = "") -> Iterator[tuple[str, Any]]:
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def shown(value: Any) -> str:
    if isinstance(value, Secret | Secrets):
        value = value.reveal() or ""
    elif isinstance(value, Path):
        value = str(value)
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    return "-" if value == "" else f"`{json.dumps(value)}`"


def documented() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, default, _ in _ROW.findall((ROOT / "docs" / "configuration.md").read_text("utf-8")):
        names = [name.replace("VAULT", vault) for vault in ProviderName] if name.startswith("VAULT.") else [name]
        for one in names:
            assert one not in found, f"{one} is documented twice"
            found[one] = default
    return found


def test_the_page_of_settings_is_what_the_command_prints() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text("utf-8") == settings_page()


def test_every_setting_is_documented_with_its_default() -> None:
    assert documented() == {name: shown(value) for name, value in flat(Settings())}


def test_the_example_of_a_deployment_is_one(tmp_path: Path) -> None:
    """Its secret files apart, which only that machine has."""
    page = (ROOT / "docs" / "running.md").read_text("utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        path = tmp_path / "vaultgraph.toml"
        secret = tmp_path / "secret"
        secret.write_text("s" * 40)
        secret.chmod(0o600)
        path.write_text(re.sub(r'_file = "[^"]+"', f'_file = "{secret}"', example))
        load_settings(path, {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in _LINK.findall(text):
        path, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        linked = (page.parent / path) if path else page
        assert linked.exists(), f"{target} is linked and not there"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_are_there(page: Path) -> None:
    named = re.findall(r"`((?:app|resolvers|tests|docs|bench|examples)/[\w/.*-]+)`", page.read_text("utf-8"))
    assert [name for name in named if not list(ROOT.glob(name.rstrip("/")))] == []


def test_the_names_of_the_architecture_are_where_it_says() -> None:
    rows = re.findall(
        r"^\| (`.+`) \| `([\w/]+\.py)` \|", (ROOT / "docs" / "architecture.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) >= 10
    for names, path in rows:
        text = (ROOT / path).read_text("utf-8")
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^(class|def) {name}\b", text, re.MULTILINE), f"{name} is not in {path}"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_are_what_they_say(page: Path) -> None:
    """Queries fit the schema, JSON and TOML parse, Python compiles, the shell accepts its commands."""
    schema = build_schema((ROOT / "schema.graphql").read_text("utf-8"), assume_valid_sdl=True)
    for text in blocks(page, "graphql"):
        assert validate(schema, parse(text)) == [], text
    for text in blocks(page, "json"):
        for one in [text] if text.count("\n{") == 0 else text.splitlines():
            json.loads(one)
    for text in blocks(page, "python"):
        compile(text, str(page), "exec")
    for text in blocks(page, "toml"):
        tomllib.loads(text)
    for text in blocks(page, "sh"):
        done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_variables_below_an_operation_fit_it() -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text("utf-8"), assume_valid_sdl=True)
    checked = 0
    for page in PAGES:
        pairs = re.findall(r"```graphql\n([^`]*)```\n\n```json\n([^`]*)```", page.read_text("utf-8"))
        for text, variables in pairs:
            (operation,) = parse(text).definitions
            given = json.loads(variables)
            assert isinstance(operation, OperationDefinitionNode)
            declared = operation.variable_definitions or ()
            if given.keys() <= {one.variable.name.value for one in declared}:
                coerced = get_variable_values(schema, declared, given)
                assert not isinstance(coerced, list), (page, coerced)
                checked += 1
    assert checked >= 3


def test_there_are_blocks_of_each_language() -> None:
    for language in ("graphql", "json", "python", "toml", "sh"):
        assert sum(len(blocks(page, language)) for page in PAGES), language


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_shows_both_commands_on_one_line_each() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    first, second = (block.strip() for block in blocks[:2])
    assert "vaultgraph dev" in first
    assert first.count("\n") == 0
    assert second.endswith("pytest")
    assert second.count("\n") == 0
