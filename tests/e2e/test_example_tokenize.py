"""The example shop in a real browser: the card's number is sent only to the vault."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support import leaks
from tests.support.gateway import RunningGateway
from tests.support.node import npm_ci, require_chromium, require_node
from tests.support.sandbox import RunningSandbox

ROOT = Path(__file__).resolve().parents[2]
NUMBER = "4242424242424242"


def test_a_shopper_saves_a_card_and_pays(sandbox: RunningSandbox, tmp_path: Path) -> None:
    node, chromium = require_node(), require_chromium()
    browser = ROOT / "tests" / "browser"
    npm_ci(browser)
    leaks.note(NUMBER)
    with RunningGateway(sandbox.url, tmp_path / "data") as gateway:
        server = [sys.executable, str(ROOT / "examples" / "tokenize" / "server.py"), "--port", "0"]
        server += ["--gateway", gateway.url, "--data-dir", str(gateway.data_dir)]
        shop = subprocess.Popen(server, stdout=subprocess.PIPE, text=True)
        try:
            assert shop.stdout is not None
            url = shop.stdout.readline().split()[-1]
            done = subprocess.run(
                [node, "tokenize.mjs", chromium, url, NUMBER, str(tmp_path / "shop.png")],
                cwd=browser, capture_output=True, text=True, timeout=150, check=False,
            )  # fmt: skip
        finally:
            shop.terminate()
            shop.communicate()  # closes the pipe too
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    assert (seen["errors"], seen["added"]) == ([], "Saved: Visa ending 4242")
    assert seen["checkout"].startswith("/caselle/checkout/cs_")
    assert not [body for body in seen["toTheShop"] if NUMBER in body]
    assert "4242" in [one["last4"] for one in sandbox.held("loanpro", "37")]
