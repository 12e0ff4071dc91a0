"""AUTH_CHANGED: one event when a card's 3-D Secure status differs from the last one recorded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from app.api.auth.development import DEFAULT_SCOPES
from app.store.records import DeliveryState
from tests.support.adding import adding, raw_card
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway
from tests.support.sandbox import RunningSandbox
from tests.support.streams import listening, until_joined
from tests.support.waiting import eventually
from tests.support.webhooks import notification, notify, public_keys

CARDS = """{ customer(id: "cus_alex") {
  paymentMethods(filter: { providers: [JPMORGAN], kinds: [CARD] }) { id ... on Card { last4 authStatus } }
} }"""
ADD = """mutation Add($input: AddPaymentMethodInput!) {
  addPaymentMethod(input: $input) { operation { state } userErrors { code message } }
}"""
AUTH = ["AUTH_CHANGED"]


def start(start_gateway: StartGateway, **more: Any) -> RunningGateway:
    """Every query reads the vaults; the tests run the poller's rounds."""
    adds = {"raw_cards": True, "return_origins": ["https://shop.example"]}
    watch = {"every_s": 3_600, "calls_per_s": 1_000, "notes_per_s": 1_000}
    return start_gateway(jpmorgan={"fresh_for_s": 0, **more}, watch=watch, **adds)


def cards(gateway: RunningGateway) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gateway.data(CARDS)["customer"]["paymentMethods"]
    return found


def ref_of(gateway: RunningGateway, method_id: str) -> str:
    address = gateway.gateway.ids.decode(method_id)
    assert address is not None
    return str(address.method_ref)


def noted(gateway: RunningGateway) -> Mapping[str, Any]:
    """The recorded status of each card, by the vault's ref."""

    async def read() -> dict[str, Any]:
        seen = gateway.gateway.store.observed_methods
        records = [one for one in await seen.of_customer("cus_alex") if one.provider.value == "jpmorgan"]
        known = {one.method_ref: await seen.status(one.provider, one.customer_ref, one.method_ref) for one in records}
        return {str(ref): status.status for ref, status in known.items() if status is not None and status.status}

    found: dict[str, Any] = gateway.on_loop(read())
    return found


def until_noted(gateway: RunningGateway) -> str:
    """Read every card until it is recorded; returns the ref of one that is authenticated."""
    shown = cards(gateway)
    eventually(lambda: len(noted(gateway)) == len(shown), "every card noted")
    return next(ref_of(gateway, one["id"]) for one in shown if one["authStatus"] == "AUTHENTICATED")


def all_events(gateway: RunningGateway) -> list[tuple[str, str | None]]:
    page = gateway.on_loop(gateway.gateway.store.events.of_customer("cus_alex", first=100))
    return [(event.origin.value, event.method_ref) for event in page.events if event.type.value == "AUTH_CHANGED"]


def test_a_status_that_a_read_finds_changed_is_one_event(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start(start_gateway)
    with listening(gateway, customer="cus_alex", types=AUTH) as alex:
        until_joined(gateway)
        method = until_noted(gateway)
        assert alex.is_silent(0.5)  # the first observation is no change
        for status, word in (("DENIED", "FAILED"), ("SUCCESS", "AUTHENTICATED")):
            sandbox.three_ds(method, status)
            for _ in range(3):
                cards(gateway)
            heard = alex.next()
            assert (heard["type"], heard["origin"], heard["provider"]) == ("AUTH_CHANGED", "RECONCILIATION", "JPMORGAN")
            assert ref_of(gateway, heard["paymentMethodId"]) == method
            assert word in {one["authStatus"] for one in cards(gateway) if ref_of(gateway, one["id"]) == method}
        assert alex.is_silent(0.7)
    assert all_events(gateway) == [("RECONCILIATION", method)] * 2


def test_the_poller_finds_it_for_subscribers(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start(start_gateway)
    method = until_noted(gateway)
    with listening(gateway, customer="cus_alex", types=["METHOD_UPDATED"]) as deaf:
        until_joined(gateway)
        sandbox.three_ds(method, "ERROR")
        sandbox.clear_calls()
        gateway.on_loop(gateway.gateway.poller.round())
        assert not [call for call in sandbox.calls("jpmorgan") if call["path"].endswith("/status")]
        with listening(gateway, customer="cus_alex", types=AUTH) as alex:
            until_joined(gateway, 2)
            for _ in range(3):
                gateway.on_loop(gateway.gateway.poller.round())
            heard = alex.next()
            assert ref_of(gateway, heard["paymentMethodId"]) == method
            assert alex.is_silent(0.7)
        assert deaf.is_silent(0.2)
    assert all_events(gateway) == [("RECONCILIATION", method)]


def test_a_notification_of_the_profile_finds_it(
    start_gateway: StartGateway, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    key = generate_private_key(SECP256R1())
    gateway = start(start_gateway, webhook_jwks_path=public_keys(tmp_path, key))
    method = until_noted(gateway)
    sandbox.three_ds(method, "DENIED")
    links = gateway.data('{ customer(id: "cus_alex") { links { provider customerRef } } }')["customer"]["links"]
    profile = next(one["customerRef"] for one in links if one["provider"] == "JPMORGAN")
    for number in (1, 1, 2):
        assert notify(gateway, key, "jpmorgan", notification(profile, f"n-{number}")) == 200
    eventually(lambda: all_events(gateway), "the event")
    deliveries = gateway.gateway.store.deliveries
    eventually(
        lambda: all(one.state is DeliveryState.DONE for one in gateway.on_loop(deliveries.all())), "all worked off"
    )
    assert all_events(gateway) == [("PROVIDER_WEBHOOK", method)]


def test_a_card_added_here_causes_an_event_after_its_challenge(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start(start_gateway)
    gateway.headers["authorization"] = f"Bearer {gateway.token([*DEFAULT_SCOPES, 'pan:write'])}"
    until_noted(gateway)
    before = {one["id"] for one in cards(gateway)}
    card = raw_card(sandbox, authenticate={"returnUrl": "https://shop.example/back"})
    with listening(gateway, customer="cus_alex", types=AUTH) as alex:
        until_joined(gateway)
        done = gateway.data(ADD, input=adding(card))["addPaymentMethod"]
        assert (done["operation"]["state"], done["userErrors"]) == ("SUCCEEDED", [])
        (added,) = [one for one in cards(gateway) if one["id"] not in before]
        assert added["authStatus"] == "CHALLENGE_REQUIRED"
        assert alex.is_silent(0.5)
        method = ref_of(gateway, added["id"])
        sandbox.three_ds(method, "SUCCESS")
        for _ in range(2):
            cards(gateway)
        assert alex.next()["paymentMethodId"] == added["id"]
    assert all_events(gateway) == [("RECONCILIATION", method)]
