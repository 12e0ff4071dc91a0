"""Routes disabled by the operator are refused by name before any call, and not listed by `providers`."""

from typing import Any

import pytest

from tests.e2e.test_mutations_add import ADD, ALL
from tests.support.adding import WAYS, adding
from tests.support.gateways import StartGateway, upstream
from tests.support.sandbox import RunningSandbox

PROVIDERS = "{ providers { provider enabled capabilities addVia } }"


def offered(data: Any, provider: str) -> list[str]:
    found: list[str] = next(one["addVia"] for one in data["providers"] if one["provider"] == provider)
    return found


@pytest.mark.parametrize("is_open", [True, False], ids=["open", "closed"])
@pytest.mark.parametrize(
    ("way", "setting", "route", "code", "field"),
    [
        ("jpmorgan raw card", "raw_cards", "RAW_CARD", "RAW_CARD_DISABLED", "jpmRawCard"),
        (
            "jpmorgan network token",
            "network_tokens",
            "NETWORK_TOKEN",
            "UNSUPPORTED_BY_PROVIDER",
            "jpmNetworkToken",
        ),
    ],
)
def test_a_route_is_listed_exactly_if_it_works(
    start_gateway: StartGateway,
    sandbox: RunningSandbox,
    way: str,
    setting: str,
    route: str,
    code: str,
    field: str,
    is_open: bool,
) -> None:
    gateway = start_gateway(**{setting: is_open})
    gateway.headers["authorization"] = f"Bearer {gateway.token(ALL)}"
    assert (route in offered(gateway.data(PROVIDERS), "JPMORGAN")) is is_open
    sandbox.clear_calls()
    done = gateway.data(ADD, input=adding(WAYS[way][1](sandbox)))["addPaymentMethod"]
    if is_open:
        assert done["userErrors"] == []
    else:
        assert [(one["code"], one["path"]) for one in done["userErrors"]] == [(code, ["input", "method", field])]
        assert (done["operation"], upstream(sandbox)) == (None, {})


def test_a_disabled_vault_accepts_no_writes(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(caselle={"enabled": False})
    assert offered(gateway.data(PROVIDERS), "CASELLE") == []
    sandbox.clear_calls()
    value = adding(WAYS["caselle card"][1](sandbox))
    reply = gateway.query(ADD.partition("  customer {")[0] + "} }", {"input": value})
    done = reply.data["addPaymentMethod"]
    assert [one["code"] for one in done["userErrors"]] == ["UNSUPPORTED_BY_PROVIDER"]
    assert upstream(sandbox) == {}
