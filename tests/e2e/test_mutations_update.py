"""Updating a payment method over HTTP: supported changes are made and shown, others are refused without a call."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.adding import HOME
from tests.support.gateway import RunningGateway
from tests.support.gateways import each_vault, upstream
from tests.support.mutating import UPDATE, codes, methods, one, run
from tests.support.sandbox import RunningSandbox


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("update")
    with RunningGateway(sandbox_server.url, folder, raw_cards=True, **each_vault(fresh_for_s=0)) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared: RunningGateway, sandbox: RunningSandbox) -> RunningGateway:
    return shared


def update(gateway: RunningGateway, method: Any, **change: Any) -> Any:
    return run(gateway, UPDATE, {"id": method["id"], **change})


def writes(sandbox: RunningSandbox) -> list[tuple[str, str]]:
    return [(row["provider"], row["method"]) for row in sandbox.calls() if row["method"] != "GET"]


def test_loanpro_changes_title_and_flags(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    method = methods(gateway, "LOANPRO")[0]
    sandbox.clear_calls()
    done = update(gateway, method, nickname="Groceries", isSecondary=True)
    assert done["userErrors"] == []
    shown = done["paymentMethod"]
    assert (shown["nickname"], shown["isSecondary"], shown["id"]) == ("Groceries", True, method["id"])
    assert (shown["vaultTitle"], shown["label"]) == ("Groceries", method["label"])
    assert [other["vaultTitle"] for other in methods(gateway, "CASELLE")] == [None, None]
    assert done["replacedId"] is None
    assert writes(sandbox) == [("loanpro", "PUT")]
    assert one(gateway, method["id"]) == shown


def test_jpmorgan_changes_expiry_holder_and_address(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    method = next(one for one in methods(gateway, "JPMORGAN") if one["kind"] == "CARD")
    done = update(gateway, method, expiry="2033-01", holder={"first": "Ann", "last": "Doe"}, billingAddress=HOME)
    assert done["userErrors"] == []
    shown = done["paymentMethod"]
    assert (shown["expiry"], shown["holderName"]) == ("2033-01", "Ann Doe")
    assert shown["billingAddress"]["city"] == "Leeds"
    assert shown["etag"] != method["etag"]


@pytest.mark.parametrize("provider", ["ALOHA", "CASELLE"])
def test_a_nickname_is_stored_here_if_the_vault_has_no_titles(
    gateway: RunningGateway, sandbox: RunningSandbox, provider: str
) -> None:
    method = methods(gateway, provider)[0]
    sandbox.clear_calls()
    done = update(gateway, method, nickname="Blue")
    assert (done["userErrors"], done["paymentMethod"]["nickname"]) == ([], "Blue")
    assert writes(sandbox) == []
    assert done["paymentMethod"]["etag"] != method["etag"]
    gone = update(gateway, method, nickname="")
    assert gone["paymentMethod"]["nickname"] is None
    assert gone["paymentMethod"]["etag"] == method["etag"]


@pytest.mark.parametrize(
    ("provider", "change", "path"),
    [
        ("ALOHA", {"expiry": "2033-01"}, ["input", "expiry"]),
        ("CASELLE", {"expiry": "2033-01"}, ["input", "expiry"]),
        ("CASELLE", {"holder": {"first": "A", "last": "B"}}, ["input", "holder"]),
        ("LOANPRO", {"billingAddress": HOME}, ["input", "billingAddress"]),
        ("JPMORGAN", {"isSecondary": True}, ["input", "isSecondary"]),
    ],
)
def test_unsupported_changes_are_not_sent(
    gateway: RunningGateway, sandbox: RunningSandbox, provider: str, change: dict[str, Any], path: list[str]
) -> None:
    method = methods(gateway, provider)[0]
    sandbox.clear_calls()
    done = update(gateway, method, **change)
    assert [(error["code"], error["path"]) for error in done["userErrors"]] == [("UNSUPPORTED_BY_PROVIDER", path)]
    assert writes(sandbox) == []


def test_a_stale_etag_is_a_conflict(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    method = methods(gateway, "LOANPRO")[0]
    newer = update(gateway, method, nickname="First", ifMatch=method["etag"])["paymentMethod"]
    sandbox.clear_calls()
    done = update(gateway, method, nickname="Second", ifMatch=method["etag"])
    ((error),) = done["userErrors"]
    assert (error["__typename"], error["code"], error["path"]) == ("ConflictError", "STALE_ETAG", ["input", "ifMatch"])
    assert error["currentEtag"] == newer["etag"]
    assert writes(sandbox) == []
    again = update(gateway, method, nickname="Second", ifMatch=error["currentEtag"])
    assert again["paymentMethod"]["nickname"] == "Second"


@pytest.mark.parametrize("method_id", ["pm_nothing", "cus_alex", "x", "pm_" + "A" * 64])
def test_an_invalid_method_id_is_not_found(gateway: RunningGateway, sandbox: RunningSandbox, method_id: str) -> None:
    sandbox.clear_calls()
    done = update(gateway, {"id": method_id}, nickname="x")
    assert [(error["code"], error["path"]) for error in done["userErrors"]] == [("NOT_FOUND", ["input", "id"])]
    assert (done["paymentMethod"], upstream(sandbox)) == (None, {})


def test_a_method_that_the_vault_no_longer_has_is_not_found(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    address = gateway.gateway.ids.decode(methods(gateway, "LOANPRO")[0]["id"])
    assert address is not None
    gone = gateway.gateway.ids.encode(address.provider, address.customer_ref, "999999")  # type: ignore[arg-type]
    assert codes(update(gateway, {"id": gone}, nickname="x")) == ["NOT_FOUND"]


def test_a_key_makes_an_update_repeatable(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    method = methods(gateway, "LOANPRO")[0]
    value = {"nickname": "Keyed", "idempotencyKey": "update-key-for-tests"}
    first = update(gateway, method, **value)
    sandbox.clear_calls()
    again = update(gateway, method, **value)
    assert again["operation"] == first["operation"] | {"replayed": True}
    assert writes(sandbox) == []
    assert codes(update(gateway, method, **value | {"nickname": "Other"})) == ["IDEMPOTENCY_KEY_REUSED"]
