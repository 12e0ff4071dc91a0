"""The sandbox's page of prepared replies: each one is set, and the graph shows what the page says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import RunningGateway
from tests.support.gateways import PROVIDERS, StartGateway, patient, sources
from tests.support.sandbox import RunningSandbox

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text("utf-8")
ROWS = re.findall(r"^\| `(\{.*\})` \| [^|]+ \| ([A-Z_]+), ([^|]+) \|$", PAGE, re.MULTILINE)
WALLET = """{ customer(id: "cus_alex") { sources { provider state }
  defaultMethod { provider }
  paymentMethods { __typename provider isDefault ... on Card { expiryState } }
  inactive: paymentMethods(filter: {statuses: [INACTIVE]}) { provider } } }"""


@pytest.fixture
def gateway(start_gateway: StartGateway) -> RunningGateway:
    return start_gateway(**patient(stale_if_error_for_s=0))


def test_the_page_has_rows() -> None:
    assert {json.loads(fault)["provider"].upper() for fault, _, _ in ROWS} == set(PROVIDERS)


def test_every_row_matches_the_page(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    held = _methods(gateway.data(WALLET)["customer"])
    for fault, state, shown in ROWS:
        fields = json.loads(fault)
        name = fields["provider"].upper()
        sandbox.clear_faults()
        sandbox.control("POST", "/faults", fields)
        customer = gateway.data(WALLET)["customer"]
        assert sources(customer) == {**dict.fromkeys(PROVIDERS, "OK"), name: state}, fault
        assert _IS_SHOWN[shown](customer, name, held[name]), (fault, shown)


def _methods(customer: Any) -> dict[str, int]:
    return {name: sum(one["provider"] == name for one in customer["paymentMethods"]) for name in PROVIDERS}


def _absent(customer: Any, name: str, held: int) -> bool:
    return held > 0 and _methods(customer)[name] == 0


def _inactive(customer: Any, name: str, held: int) -> bool:
    return _absent(customer, name, held) and len([1 for one in customer["inactive"] if one["provider"] == name]) >= held


def _unreadable_expiry(customer: Any, name: str, _held: int) -> bool:
    states = {
        one["expiryState"] for one in customer["paymentMethods"] if one["provider"] == name and "expiryState" in one
    }
    return states == {"UNKNOWN"} and (customer["defaultMethod"] or {}).get("provider") != name


def _other(customer: Any, name: str, _held: int) -> bool:
    found = [one for one in customer["paymentMethods"] if one["__typename"] == "OtherMethod"]
    return [(one["provider"], one["isDefault"]) for one in found] == [(name, False)]


_IS_SHOWN = {
    "no method of it": _absent,
    "its methods are INACTIVE": _inactive,
    "`expiryState` is UNKNOWN": _unreadable_expiry,
    "an `OtherMethod`, never the default": _other,
    "the other methods": lambda customer, name, held: _methods(customer)[name] == held,
}
