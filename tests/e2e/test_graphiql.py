"""GraphiQL in a real browser that can reach only the gateway."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.api import graphiql
from tests.support.command import Running
from tests.support.node import npm_ci, require_chromium, require_node, skip_or_fail

BROWSER = Path(__file__).resolve().parent.parent / "browser"
SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
PAGE = ("page.jsx", "page.css")
SOURCES = Path(__file__).resolve().parents[2] / "app" / "api" / "graphiql"


def opened(script: str, url: str, place: Path) -> Any:
    """What happened when a browser opened the page and ran the script. `place` is for its screenshots."""
    node, chromium = require_node(), require_chromium()
    npm_ci(BROWSER)
    done = subprocess.run(
        [node, script, chromium, url, str(place)],
        cwd=BROWSER, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[str]:
    """The URL of GraphiQL as `vaultgraph dev` serves it."""
    require_node()
    require_chromium()
    assets = graphiql.assets_folder()
    if assets is None:
        skip_or_fail("node", "GraphiQL was not bundled when this was installed")
    elif any((SOURCES / name).read_text("utf-8") not in (assets / "sources").read_text("utf-8") for name in PAGE):
        skip_or_fail("node", "GraphiQL's bundle is older than its sources: install this again")
    with Running("dev", "--port", "0", "--sandbox-port", "0", "--data-dir", tmp_path / "data") as running:
        yield running.until(r"^GraphiQL +(http://\S+)")[1]
        assert "CDN" not in running.text


@pytest.mark.timeout(600)
def test_the_page_works_with_no_network_beyond_the_gateway(page: str, tmp_path: Path) -> None:
    """Opens the page and runs the example without filling in anything."""
    seen = opened("graphiql.mjs", page, tmp_path / "graphiql.png")
    assert seen["elsewhere"] == []
    assert seen["failed"] == []
    assert seen["errors"] == []
    assert seen["title"] == "Vaultgraph"
    assert "query Wallet" in seen["query"]
    for answer in (seen["response"], seen["reloaded"]):
        assert '"name": "Alex Morales"' in answer
        assert '"errors"' not in answer
    assert set(seen["graphql"]) == {200}, "introspection, and the example"
    assert len(seen["graphql"]) >= 2
    assert "Query" in seen["docs"]


@pytest.mark.timeout(600)
def test_queries_mutations_and_subscriptions_run_in_the_page(page: str, tmp_path: Path) -> None:
    seen = opened("graphiql-subscription.mjs", page, tmp_path / "graphiql.png")
    assert seen["errors"] == []
    assert "errors" not in seen["query"]
    assert '"paymentMethods"' in seen["shown"]
    assert seen["mutation"]["data"] == {"setDefaultPaymentMethod": {"userErrors": [], "customer": {"id": "cus_alex"}}}
    assert '"type": "DEFAULT_CHANGED"' in seen["event"]
    assert len(seen["sockets"]) == 2, "one of the subscription, one that was refused: it is not tried again"
    assert '"message": "Socket closed with event 4403 Forbidden"' in seen["refused"]
    assert graphiql.token_command(tmp_path / "data") in seen["notice"]
    assert seen["spins"] == 0


@pytest.mark.timeout(600)
def test_a_newcomer_finds_the_way(page: str, tmp_path: Path) -> None:
    """Examples, explorer, a shared link, a renewed and a missing token, a phone. Screenshots: `build/screenshots`."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    seen = opened("graphiql-tour.mjs", page, SCREENSHOTS)
    assert (seen["elsewhere"], seen["errors"]) == ([], [])
    assert '"name": "Alex Morales"' in seen["first"]
    assert len(seen["tabs"]) == len(graphiql.examples()) >= 13
    assert "customer" in seen["explorer"]
    assert "Authorization" not in seen["link"]
    assert "query Default" in seen["sharedQuery"]
    assert '"toPay"' in seen["shared"]
    assert '"name": "Alex Morales"' in seen["deferred"], "merged with the deferred part"
    assert '"errors"' not in seen["deferred"]
    assert '"toPay"' in seen["renewed"], "the tab of the last visit, with the new token"
    assert seen["notices"] == 0
    assert graphiql.token_command(tmp_path / "data") in seen["notice"]
    assert '"partner": "developer"' in seen["phone"]
    assert seen["fits"] == {"scrolls": False, "response": True, "button": True}
