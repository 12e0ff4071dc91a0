"""The effective default and the 3-D Secure state: correct if they can be known, else UNKNOWN."""

from typing import Any

import pytest

from app.store.records import MethodAddress
from tests.support.gateway import RunningGateway
from tests.support.gateways import PROVIDERS, StartGateway, patient, sources, status_calls
from tests.support.sandbox import RunningSandbox

PATIENT = patient(stale_if_error_for_s=0)
DEFAULT = """query ($id: ID!) { customer(id: $id) {
  defaultMethod { id provider label status authStatus } defaultMethodInfo { state reason setAt setBy }
  authStatus authSummary { status basis { id } isComplete }
  paymentMethods { id provider label status isDefault authStatus } isComplete sources { provider state }
} }"""
STATUSES = "/api/v2/mmp/consumer-profiles/PACJGQ/payment-methods"


def asked(gateway: RunningGateway, customer_id: str = "cus_alex") -> Any:
    return gateway.data(DEFAULT, id=customer_id)["customer"]


def state(customer: Any) -> tuple[str, str | None]:
    info = customer["defaultMethodInfo"]
    return info["state"], info["reason"]


def choose(gateway: RunningGateway, method_id: str, *, allow_expired: bool = False) -> None:
    """Choose a default through the store."""
    address = gateway.gateway.ids.decode(method_id)
    assert address is not None
    choose_address(gateway, address, allow_expired=allow_expired)


def choose_address(gateway: RunningGateway, address: MethodAddress, *, allow_expired: bool = False) -> None:
    async def change() -> None:
        await gateway.gateway.store.directory.set_choice(
            "cus_alex", address, allow_expired=allow_expired, set_by="test"
        )
        gateway.gateway.directory.drop("cus_alex")

    gateway.on_loop(change())


def of(customer: Any, provider: str, label: str) -> Any:
    return next(one for one in customer["paymentMethods"] if (one["provider"], one["label"]) == (provider, label))


def only_default(customer: Any) -> list[str]:
    return [one["id"] for one in customer["paymentMethods"] if one["isDefault"]]


def test_a_linked_disabled_vault_counts_as_unanswered(start_gateway: StartGateway) -> None:
    gateway = start_gateway(jpmorgan={"enabled": False}, caselle={"enabled": False})
    assert state(asked(gateway)) == ("UNKNOWN", None)


def test_precedence_is_a_setting(start_gateway: StartGateway) -> None:
    gateway = start_gateway(**PATIENT, provider_precedence=["jpmorgan", "caselle", "loanpro", "aloha"])
    alex = asked(gateway)
    assert state(alex) == ("RESOLVED", "PROVIDER_PRECEDENCE")
    assert (alex["defaultMethod"]["provider"], alex["defaultMethod"]["label"]) == ("JPMORGAN", "Discover ending 0919")
    assert alex["authStatus"] == "NOT_PERFORMED"
    assert alex["authSummary"] == {
        "status": "NOT_PERFORMED",
        "basis": {"id": alex["defaultMethod"]["id"]},
        "isComplete": True,
    }


def test_the_customers_own_choice_wins(start_gateway: StartGateway) -> None:
    gateway = start_gateway(**PATIENT)
    card = of(asked(gateway), "JPMORGAN", "Visa ending 1111")
    choose(gateway, card["id"])
    alex = asked(gateway)
    assert state(alex) == ("RESOLVED", "EXPLICIT_CHOICE")
    assert alex["defaultMethodInfo"]["setBy"] == "test"
    assert only_default(alex) == [alex["defaultMethod"]["id"]] == [card["id"]] == [alex["paymentMethods"][0]["id"]]
    assert (alex["authStatus"], alex["authSummary"]["status"]) == ("AUTHENTICATED", "AUTHENTICATED")


@pytest.mark.parametrize("down", ["LOANPRO", "ALOHA", "CASELLE"])
def test_a_choice_needs_only_its_own_vault(down: str, start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**PATIENT)
    card = of(asked(gateway), "JPMORGAN", "Visa ending 1111")
    choose(gateway, card["id"])
    sandbox.fault(down.lower(), "status", status=500)
    alex = asked(gateway)
    assert state(alex) == ("RESOLVED", "EXPLICIT_CHOICE")
    assert only_default(alex) == [card["id"]]
    assert (alex["authStatus"], alex["isComplete"]) == ("AUTHENTICATED", False)


def test_a_chosen_default_at_an_unavailable_vault_is_unknown_and_stays(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**PATIENT)
    card = of(asked(gateway), "JPMORGAN", "Visa ending 1111")
    choose(gateway, card["id"])
    sandbox.fault("jpmorgan", "status", status=500)
    alex = asked(gateway)
    assert state(alex) == ("UNKNOWN", None)
    assert (alex["defaultMethod"], alex["authStatus"]) == (None, "UNKNOWN")
    assert alex["authSummary"] == {"status": "UNKNOWN", "basis": None, "isComplete": False}
    assert {one["isDefault"] for one in alex["paymentMethods"]} == {None}
    assert alex["defaultMethodInfo"]["setBy"] == "test"
    sandbox.clear_faults()
    assert state(asked(gateway)) == ("RESOLVED", "EXPLICIT_CHOICE")


def test_an_expired_chosen_default_is_none_and_not_replaced(start_gateway: StartGateway) -> None:
    gateway = start_gateway(**PATIENT)
    expired = of(asked(gateway), "ALOHA", "Mastercard ending 7890")
    assert expired["status"] == "EXPIRED"
    choose(gateway, expired["id"])
    alex = asked(gateway)
    assert (state(alex), alex["defaultMethod"], only_default(alex)) == (("NONE", None), None, [])
    assert alex["authStatus"] == "NOT_APPLICABLE"
    choose(gateway, expired["id"], allow_expired=True)
    alex = asked(gateway)
    assert (state(alex), only_default(alex)) == (("RESOLVED", "EXPLICIT_CHOICE"), [expired["id"]])


@pytest.mark.parametrize("down", PROVIDERS)
def test_without_a_choice_every_linked_vault_must_answer(
    down: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    """Also if the unavailable vault has no defaults: its card might be the only usable one."""
    gateway = start_gateway(**PATIENT)
    sandbox.fault(down.lower(), "status", status=500)
    alex = asked(gateway)
    assert state(alex) == ("UNKNOWN", None)
    assert (alex["defaultMethod"], alex["authStatus"], alex["authSummary"]["isComplete"]) == (None, "UNKNOWN", False)


def test_a_vault_that_is_not_linked_may_be_down(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**PATIENT)
    sandbox.fault("aloha", "hang")
    sam = asked(gateway, "cus_sam")
    assert (state(sam)[0], sam["isComplete"]) == ("RESOLVED", True)


def test_an_unreadable_status_is_unknown_and_affects_only_jpmorgans_row(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**PATIENT)
    card = of(asked(gateway), "JPMORGAN", "Visa ending 1111")
    sandbox.fault("jpmorgan", "status", status=500, path=f"{STATUSES}/6d66f2e5")
    alex = asked(gateway)
    assert of(alex, "JPMORGAN", "Visa ending 1111")["authStatus"] == "UNKNOWN"
    assert of(alex, "JPMORGAN", "Mastercard ending 9999")["authStatus"] == "NOT_PERFORMED"
    assert sources(alex) == {**dict.fromkeys(PROVIDERS, "OK"), "JPMORGAN": "PARTIAL"}
    assert alex["isComplete"] is False
    assert state(alex)[0] == "RESOLVED", "the list did answer"
    assert len(alex["paymentMethods"]) == 9
    choose(gateway, card["id"])
    alex = asked(gateway)
    assert (alex["authStatus"], alex["defaultMethod"]["authStatus"]) == ("UNKNOWN", "UNKNOWN")


@pytest.mark.parametrize("kind", ["hang", "drop_before", "truncate", "garbage", "throttle"])
def test_statuses_that_fail_in_any_way_hide_no_card(
    kind: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient(*(["JPMORGAN"] if kind == "hang" else [])))
    sandbox.fault("jpmorgan", kind, path=STATUSES)
    alex = asked(gateway)
    assert len(alex["paymentMethods"]) == 9
    assert {one["authStatus"] for one in alex["paymentMethods"] if one["provider"] == "JPMORGAN"} == {"UNKNOWN"}
    assert sources(alex)["JPMORGAN"] == "PARTIAL"
    assert set(status_calls(sandbox)), "they were asked for"


@pytest.mark.parametrize(
    ("status", "shown"),
    [("SUCCESS", "AUTHENTICATED"), ("DENIED", "FAILED"), ("ERROR", "UNAVAILABLE"), ("NONE", "NOT_PERFORMED")],
)
def test_every_three_d_secure_result(
    status: str, shown: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**PATIENT, provider_precedence=["jpmorgan", "loanpro", "caselle", "aloha"])
    sandbox.three_ds("63aaba29-4857-494a-82bc-2a80e1fa2b1e", status)
    alex = asked(gateway)
    assert of(alex, "JPMORGAN", "Discover ending 0919")["authStatus"] == shown
    assert (alex["authStatus"], alex["authSummary"]["status"]) == (shown, shown), "of the effective default"
    assert sources(alex)["JPMORGAN"] == "OK"
