"""The README is correct: its query and its response; and the page of commands."""

import json
import re
from pathlib import Path
from typing import Any

from tests.support.command import vaultgraph
from tests.support.gateway import RunningGateway
from tests.support.gateways import upstream
from tests.support.sandbox import RunningSandbox

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text("utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert isinstance(found, str)
    return found


def test_the_readmes_query_returns_the_readmes_response(demo_gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    answer: Any = json.loads(block("json"))
    assert demo_gateway.data(block("graphql")) == answer["data"]
    asked = upstream(sandbox)
    assert {name: count for name, count in asked.items() if name != "JPMORGAN"} == {
        "LOANPRO": 1,
        "ALOHA": 1,
        "CASELLE": 1,
    }
    assert asked["JPMORGAN"] == 4, "one list, and the status of each of its three cards"


def test_the_page_of_commands_has_them_all() -> None:
    first_column = re.findall(r"^\| (`\w[^|]*) \|", COMMANDS, re.MULTILINE)
    result = {name for cell in first_column for name in re.findall(r"`(\w+)`", cell)}
    shown = set(re.findall(r"^  (\w[\w-]*) ", vaultgraph("--help").stdout.partition("Commands:")[2], re.MULTILINE))
    assert result == shown
