"""The README is correct: its query, its response, its table of commands."""

import json
import re
from pathlib import Path
from typing import Any

from tests.support.command import vaultgraph
from tests.support.gateway import RunningGateway
from tests.support.gateways import upstream
from tests.support.sandbox import RunningSandbox

README = (Path(__file__).resolve().parent.parent.parent / "README.md").read_text("utf-8")


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


def test_the_readmes_commands_exist() -> None:
    table = re.search(r"\| `vaultgraph \.\.\.` \|.*?\n\n", README, re.DOTALL)
    assert table
    first_column = re.findall(r"^\| (`\w[^|]*) \|", table[0], re.MULTILINE)
    result = {name for cell in first_column for name in re.findall(r"`(\w+)`", cell)}
    shown = set(re.findall(r"^  (\w[\w-]*) ", vaultgraph("--help").stdout.partition("Commands:")[2], re.MULTILINE))
    assert result == shown
