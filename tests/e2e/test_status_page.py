"""The status page at `/`: its data, who may see it, and what it looks like in a browser."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.gateways import StartGateway, patient
from tests.support.node import npm_ci, require_chromium, require_node
from tests.support.sandbox import RunningSandbox

ROOT = Path(__file__).resolve().parents[2]
BROWSER = ROOT / "tests" / "browser"
SCREENSHOTS = ROOT / "build" / "screenshots"
WALLET = '{ customer(id: "cus_alex") { paymentMethods { id } } }'


def test_it_tells_what_the_last_hour_was_like(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient(retries=0))
    gateway.data(WALLET)
    sandbox.fault("caselle", "status", status=503)
    gateway.data(WALLET)
    report = gateway.request("GET", "/status.json").body
    vaults = {row["name"]: row for row in report["vaults"]}
    assert sum(vaults["loanpro"]["calls"]) == 2
    assert (sum(vaults["loanpro"]["errors"]), sum(vaults["caselle"]["errors"])) == (0, 1)
    assert vaults["loanpro"]["p95Ms"][-1] > 0
    assert {row["circuit"] for row in vaults.values()} == {"CLOSED"}
    assert sum(report["requests"]["ok"]) == 2
    assert report["cacheHitRate"] == 0
    assert report["journal"] == {"pending": 0, "unknown": 0, "undecided": 0}
    assert report["webhooks"] == {"waiting": 0, "failed": 0, "dead": 0}
    assert (report["store"], report["redis"], report["workers"]) == (True, None, 1)


def test_its_data_needs_the_scope_explore(start_gateway: StartGateway) -> None:
    gateway = start_gateway()
    page = gateway.request("GET", "/", headers={"authorization": ""})
    assert page.status == 200
    assert b"Bearer" not in page.raw
    assert gateway.request("GET", "/status.json", headers={"authorization": ""}).codes == ["UNAUTHENTICATED"]
    reader = {"authorization": f"Bearer {gateway.token(scopes=['customers:read'])}"}
    assert gateway.request("GET", "/status.json", headers=reader).codes == ["FORBIDDEN"]
    assert gateway.request("POST", "/status.json").codes == ["METHOD_NOT_ALLOWED"]
    assert gateway.request("GET", "/status/status.js").status == 200
    assert gateway.request("GET", "/status/../pages.py").status == 404


def test_its_token_is_not_for_pages_of_other_hosts(start_gateway: StartGateway) -> None:
    gateway = start_gateway(has_page_token=True)
    for path in ("/", "/status/status.js"):
        rebound = gateway.request("GET", path, headers={"host": "rebound.example"})
        assert (rebound.status, rebound.codes) == (403, ["FORBIDDEN"]), path
    shown = gateway.request("GET", "/", headers={"authorization": "", "accept": "text/html"})
    assert shown.status == 200
    assert b'"token": "' in shown.raw


@pytest.mark.xdist_group("node")
@pytest.mark.parametrize("has_token", [True, False])
def test_it_works_in_a_browser(has_token: bool, start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    """On a desk and a phone, light and dark; with a token of the page, or one that is typed in."""
    node, chromium = require_node(), require_chromium()
    npm_ci(BROWSER)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    gateway = start_gateway(has_page_token=has_token, **patient(retries=0))
    sandbox.fault("caselle", "status", status=503)
    gateway.data(WALLET)
    done = subprocess.run(
        [node, "status.mjs", chromium, gateway.url + "/", SCREENSHOTS, gateway.token()],
        cwd=BROWSER, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    assert (seen["elsewhere"], seen["errors"], seen["links"]) == ([], [], ["GraphiQL", "Metrics", "Documentation"])
    assert "Start in five minutes" in seen["documentation"]
    assert seen.get("asked", False) is not has_token
    assert len(seen["shown"]) == 3
    for shown in seen["shown"].values():
        assert shown["summary"] == "Caselle: failing."
        assert [text.split("\n")[1] for text in shown["vaults"]] == ["available"] * 3 + ["failing"]
        assert shown["charts"] == 9
        assert shown["columns"] >= 9
        assert not shown["scrolls"]
    assert seen["shown"]["status-1280-light"]["back"] != seen["shown"]["status-1280-dark"]["back"]
