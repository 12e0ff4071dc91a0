"""The documentation site: it builds without a warning, and every page has a place in it."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_IN_THE_NAVIGATION = ("decisions/", "appendix/")
"""Records, which other pages link."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "zensical.toml", folder)
    zensical = Path(sys.executable).with_name("zensical")
    command = [zensical] if zensical.exists() else [sys.executable, "-m", "zensical"]
    done = subprocess.run([*command, "build", "--strict"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build" / "site"


def pages_of(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for one in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from pages_of(one)


def test_every_page_is_in_the_navigation() -> None:
    nav = list(pages_of(tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]))
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert sorted(nav) == sorted({page for page in pages if not page.startswith(NOT_IN_THE_NAVIGATION)})


def test_readers_find_words(site: Path) -> None:
    found = {one["location"] for one in json.loads((site / "search.json").read_text("utf-8"))["items"]}
    assert any(place.startswith("payments/") for place in found)


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        assert re.findall(r'<(?:script|img|iframe)[^>]* src="(?:https?:)?//[^"]*"', text) == [], page
        assert re.findall(r'<link[^>]* rel="stylesheet"[^>]* href="(?:https?:)?//[^"]*"', text) == [], page
