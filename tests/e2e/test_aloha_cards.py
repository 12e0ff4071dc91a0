"""What Aloha's pages say of saved cards, over HTTP: payment providers, errors named under 400, the holder's name."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.sandbox.demo import ALEX
from tests.support.adding import WAYS, adding, aloha_connected, aloha_credit_call
from tests.support.gateway import RunningGateway
from tests.support.gateways import each_vault
from tests.support.mutating import ADD, UPDATE, codes, methods, one, run
from tests.support.sandbox import RunningSandbox

REF = ALEX.refs["aloha"]
PROCESSORS = 'query { customer(id: "cus_alex") { paymentMethods { provider ... on Card { last4 brand processor } } } }'
INTERNAL = {"Message": "InternalServerError"}
SETTINGS = each_vault(fresh_for_s=0, write_deadline_s=2.0, breaker={"minimum_calls": 10_000})


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(sandbox_server.url, tmp_path_factory.mktemp("aloha"), **SETTINGS) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared: RunningGateway, sandbox: RunningSandbox) -> RunningGateway:
    return shared


def processors(gateway: RunningGateway, provider: str = "ALOHA") -> set[Any]:
    shown = gateway.data(PROCESSORS)["customer"]["paymentMethods"]
    return {one.get("processor") for one in shown if one["provider"] == provider}


def test_a_cards_payment_provider_is_shown(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    for way in ("aloha connected payments", "aloha credit call", "aloha freedom pay"):
        assert codes(run(gateway, ADD, adding(WAYS[way][1](sandbox)))) == []
    assert processors(gateway) == {"CONNECTED_PAYMENTS", "CREDIT_CALL", "FREEDOM_PAY"}
    assert processors(gateway, "CASELLE") == {None}
    sandbox.fault("aloha", "rewrite", method="GET", set={"/*/ProviderType": 1})
    assert processors(gateway) == {"OTHER_1"}


def test_an_internal_error_under_400_is_looked_up_and_found(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    """Aloha lists InternalServerError among the errors of this call, without a status: it may have saved the card."""
    sandbox.fault("aloha", "rewrite", method="PUT", status=400, body=INTERNAL, times=1)
    before = len(sandbox.held("aloha", REF))
    done = run(gateway, ADD, adding(aloha_connected(sandbox)))
    assert (codes(done), done["operation"]["state"], done["paymentMethod"]["last4"]) == ([], "SUCCEEDED", "4444")
    assert len(sandbox.held("aloha", REF)) == before + 1
    assert [row["method"] for row in sandbox.calls("aloha")].count("PUT") == 1


def test_an_internal_error_that_saved_nothing_may_be_sent_again(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    sandbox.switch("aloha", "ENABLED_PROVIDERS", "2")
    sandbox.fault("aloha", "rewrite", method="PUT", status=400, body=INTERNAL, times=1)
    value = adding(aloha_credit_call(sandbox))
    done = run(gateway, ADD, value)
    assert codes(done)[0] in ("PROVIDER_UNAVAILABLE", "OUTCOME_UNKNOWN"), "never reported as refused for good"
    assert done["userErrors"][0]["retryable"] is True
    sandbox.switch("aloha", "ENABLED_PROVIDERS", "2,4,6")
    again = run(gateway, ADD, value)
    while "OUTCOME_UNKNOWN" in codes(again):
        again = run(gateway, ADD, value)
    assert (codes(again), again["paymentMethod"]["provider"]) == ([], "ALOHA")


def test_the_holders_name_is_kept_although_aloha_never_shows_it(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    value = adding(WAYS["aloha freedom pay"][1](sandbox, holderName="Zoë Example"), nickname="Lunch")
    added = run(gateway, ADD, value)["paymentMethod"]
    assert (added["holderName"], added["nickname"]) == ("Zoë Example", "Lunch")
    assert one(gateway, added["id"])["holderName"] == "Zoë Example"
    changed = run(gateway, UPDATE, {"id": added["id"], "nickname": "", "ifMatch": added["etag"]})
    assert codes(changed) == []
    assert (changed["paymentMethod"]["holderName"], changed["paymentMethod"]["nickname"]) == ("Zoë Example", None)
    others = {each["holderName"] for each in methods(gateway, "ALOHA") if each["id"] != added["id"]}
    assert others == {None}
    sandbox.fault("aloha", "drop_after", method="PUT", times=1)
    lost = run(gateway, ADD, adding(WAYS["aloha freedom pay"][1](sandbox, holderName="Zoë Lost")))
    assert (codes(lost), lost["paymentMethod"]["holderName"]) == ([], "Zoë Lost")


def test_a_bad_request_is_refused_by_its_documented_name(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    sandbox.switch("aloha", "ENABLED_PROVIDERS", "2")
    (error,) = run(gateway, ADD, adding(aloha_credit_call(sandbox)))["userErrors"]
    assert (error["outcome"], error["providerCode"], error["path"]) == (
        "NOT_APPLIED", "BadRequest", ["input", "method", "alohaToken", "paymentProvider"],
    )  # fmt: skip
    assert methods(gateway, "ALOHA") != []
