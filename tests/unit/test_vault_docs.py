"""The page of each vault names its capabilities and required settings as its `ProviderSpec` declares them."""

import re
from pathlib import Path

import pytest

from app.providers import BUILT_IN
from app.providers.registry import specs
from app.vault.enums import AddRoute, ProviderCapability, ProviderName

PAGES = Path(__file__).parents[2] / "docs" / "vaults"


def rows(page: str, title: str) -> list[str]:
    """The first cells of the first table below a heading."""
    section = page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| ([^|]*`[^|]*) \|", section, re.MULTILINE)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_page_of_a_vault(name: str) -> None:
    spec = specs()[ProviderName(name)]
    page = (PAGES / f"{name}.md").read_text("utf-8")
    assert page.startswith(f"# {spec.display_name}\n")
    cells = rows(page, "Capabilities")
    routes = {word for cell in cells if cell.startswith("add by ") for word in re.findall(r"`(\w+)`", cell)}
    operations = {word for cell in cells if not cell.startswith("add by ") for word in re.findall(r"`(\w+)`", cell)}
    assert {ProviderCapability(one) for one in operations} == spec.capabilities.operations
    assert {AddRoute(one) for one in routes} == spec.capabilities.add_via
    toml = page.partition("```toml\n")[2].partition("```")[0]
    required = re.findall(r"^(\w+?)(?:_file)? = .+  # required\b", toml, re.MULTILINE)
    assert sorted(required) == sorted(spec.required)
