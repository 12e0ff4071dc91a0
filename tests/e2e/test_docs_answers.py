"""The first pages of the documentation, followed: each query returns the answer that the page shows below it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, patient
from tests.support.sandbox import RunningSandbox

DOCS = Path(__file__).resolve().parents[2] / "docs"
_BLOCKS = re.compile(r"```graphql\n(.*?)```\s*```json\n(.*?)```", re.DOTALL)


def blocks(page: str) -> list[tuple[str, Any]]:
    """Each query of a page with the JSON that follows it."""
    return [(query, json.loads(answer)) for query, answer in _BLOCKS.findall((DOCS / page).read_text("utf-8"))]


def without_ids(value: Any) -> Any:
    """Ids depend on the gateway's key: the pages shorten them."""
    if isinstance(value, dict):
        return {name: without_ids(one) for name, one in value.items()}
    if isinstance(value, list):
        return [without_ids(one) for one in value]
    return "pm_..." if isinstance(value, str) and value.startswith("pm_") else value


@pytest.fixture
def gateway(start_gateway: StartGateway) -> RunningGateway:
    return start_gateway(**patient())


def test_the_first_page(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    (wallet, alex), (partial, sam), (choose, variables) = blocks("index.md")
    assert without_ids(gateway.data(wallet)) == alex
    sandbox.fault("loanpro", "status", status=503)
    assert gateway.data(partial) == sam
    stale = gateway.data(wallet)["customer"]
    assert (stale["defaultMethod"], stale["sources"][0]["state"]) == (None, "STALE")
    sandbox.clear_faults()
    methods = gateway.data('{ customer(id: "cus_alex") { paymentMethods { id label } } }')["customer"]["paymentMethods"]
    variables["input"]["paymentMethodId"] = methods[-1]["id"]
    for _ in range(2):
        payload = gateway.data(choose, **variables)["setDefaultPaymentMethod"]
        assert (payload["userErrors"], payload["operation"]["state"]) == ([], "SUCCEEDED")
        assert payload["customer"]["defaultMethod"]["label"] == methods[-1]["label"]


def test_the_concepts(gateway: RunningGateway) -> None:
    found = blocks("concepts.md")
    assert len(found) == 4
    for query, answer in found:
        assert gateway.data(query) == answer
