"""The GraphiQL page: bundled, or from a CDN where the bundle is missing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from graphql import parse, validate

from app.api import graphiql
from app.cli import dev
from resolvers.schema import schema

FOLDER = Path(graphiql.__file__).parent / "graphiql"


def settings_in(page: bytes) -> Any:
    found = re.search(rb'<script type="application/json" id="vaultgraph-settings">(.*?)</script>', page)
    assert found
    return json.loads(found[1])


def test_the_bundled_page_names_no_other_host() -> None:
    page = graphiql.page("/graphql", None, FOLDER, bundled=True)
    assert not re.findall(rb"https?://[^\s\"']+", page)
    assert b"unsafe-inline" not in re.findall(rb"<script(?! type=\"application/json\")[^>]*>[^<]+", page)
    assert "http" not in graphiql.content_security_policy(bundled=True)


def test_the_fallback_loads_pinned_files_of_one_cdn() -> None:
    page = graphiql.page("/graphql", None, FOLDER, bundled=False).decode()
    loaded = re.findall(r'(?:src|href)="(https://[^"]+)" integrity="(sha384-[A-Za-z0-9+/]{64})" crossorigin', page)
    assert loaded == [(f"{graphiql.CDN}/{path}", integrity) for path, integrity in graphiql.CDN_FILES.items()]
    assert len(re.findall(r"https?://", page)) == len(loaded), "nothing else is loaded from anywhere"
    assert all(re.match(r"[a-z-]+@[0-9]+[.][0-9]+[.][0-9]+/", path) for path in graphiql.CDN_FILES)
    policy = graphiql.content_security_policy(bundled=False)
    assert graphiql.CDN in policy
    assert "'unsafe-inline'" not in policy.split("style-src")[0]


@pytest.mark.parametrize("bundled", [True, False])
def test_the_page_opens_on_an_example_that_is_valid(bundled: bool) -> None:
    shown = settings_in(graphiql.page("/graphql", "a-token", FOLDER, bundled=bundled))
    assert (shown["url"], shown["token"]) == ("/graphql", "a-token")
    assert json.loads(shown["examples"][0]["variables"]) == {"id": "cus_alex"}
    for example in shown["examples"]:
        document = parse(example["query"])
        assert validate(schema._schema, document) == [], example["query"]
        (operation,) = document.definitions
        declared = {one.variable.name.value for one in getattr(operation, "variable_definitions", None) or ()}
        assert declared == set(json.loads(example["variables"] or "{}"))
    assert max(len(line) for line in shown["examples"][0]["query"].splitlines()) <= 48, "it fits its pane"


def test_nothing_ends_the_settings_early() -> None:
    shown = settings_in(graphiql.page("/graphql", "</script><script>alert(1)</script>", FOLDER, bundled=True))
    assert shown["token"] == "</script><script>alert(1)</script>"


def test_without_the_bundle_there_is_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(graphiql, "files", lambda _: tmp_path)
    assert graphiql.assets_folder() is None
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "graphiql.js").write_text("")
    assert graphiql.assets_folder() == tmp_path / "assets"


@pytest.mark.parametrize(("bundled", "lines"), [(True, 0), (False, 1)])
def test_start_up_says_in_one_line_that_the_page_comes_from_a_cdn(
    bundled: bool, lines: int, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    dev._announce("http://127.0.0.1:1", "http://127.0.0.1:2", "token", tmp_path, bundled=bundled, is_exposed=False)
    assert len([line for line in capsys.readouterr().out.splitlines() if "CDN" in line]) == lines
