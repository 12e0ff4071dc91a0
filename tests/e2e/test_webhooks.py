"""Incoming webhooks: verified, stored, processed once; a change at the vault becomes an event."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.store.records import DeliveryState, EventOrigin, EventType
from tests.support import leaks
from tests.support.gateway import GraphQLReply, RunningGateway
from tests.support.gateways import StartGateway
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def gateway(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    sandbox_server.reset()
    caselle = {"webhook_secret": sandbox_server.credentials("caselle")["webhook_secret"], "fresh_for_s": 60}
    with RunningGateway(sandbox_server.url, tmp_path_factory.mktemp("webhooks"), caselle=caselle) as running:
        url = f"{running.url}/webhooks/caselle/pa_7Qm2"
        sandbox_server.control("POST", "/webhooks", {"provider": "caselle", "url": url})
        yield running
        sandbox_server.control("POST", "/webhooks", {"provider": "caselle"})


def events_of(gateway: RunningGateway, customer: str, origin: EventOrigin) -> list[Any]:
    page = gateway.on_loop(gateway.gateway.store.events.of_customer(customer, first=100))
    return [event for event in page.events if event.origin is origin]


def deliver(gateway: RunningGateway, sandbox: RunningSandbox, body: Any, **changes: str) -> GraphQLReply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    stamp = changes.pop("stamp", str(int(time.time())))
    secret = sandbox.credentials("caselle")["webhook_secret"]
    signed = hmac.new(secret.encode(), stamp.encode() + b"." + raw, hashlib.sha256).hexdigest()
    headers = {"x-webhook-timestamp": stamp, "x-webhook-signature": changes.pop("signature", f"sha256={signed}")}
    return gateway.request("POST", changes.pop("path", "/webhooks/caselle/pa_7Qm2"), raw, headers)


def deliveries(gateway: RunningGateway) -> list[Any]:
    return list(gateway.on_loop(gateway.gateway.store.deliveries.all()))


def test_a_notified_change_is_one_event_however_often_it_is_delivered(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    method = sandbox.held("caselle", "cus_88420")[0]["ref"]
    wanted = "paymentMethods(filter: {providers: [CASELLE], kinds: [CARD]}) { ... on Card { expiry } }"
    expiry = f'{{ customer(id: "cus_alex") {{ {wanted} }} }}'
    assert gateway.data(expiry)["customer"]["paymentMethods"] == [{"expiry": "2029-12"}]
    asked = {
        "provider": "caselle",
        "saved_payment_method_ids": [method, "spm_unknown"],
        "exp_month": 7,
        "exp_year": 2034,
    }
    sandbox.control("POST", "/noc", {**asked, "deliveries": 3})
    (event,) = eventually(lambda: events_of(gateway, "cus_alex", EventOrigin.PROVIDER_WEBHOOK), "the event")
    assert (event.type, event.provider.value, event.method_ref) == (EventType.METHOD_UPDATED, "caselle", method)
    eventually(lambda: all(one.state is DeliveryState.DONE for one in deliveries(gateway)), "every delivery done")
    assert len(events_of(gateway, "cus_alex", EventOrigin.PROVIDER_WEBHOOK)) == 1
    # The snapshot is dropped although it was fresh for a minute.
    assert gateway.data(expiry)["customer"]["paymentMethods"] == [{"expiry": "2034-07"}]


def test_a_second_change_is_a_second_event_and_a_repeated_one_is_none(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    method = sandbox.held("caselle", "cus_88421")[0]["ref"]
    asked = {"provider": "caselle", "saved_payment_method_ids": [method], "exp_year": 2035}
    for number, month in enumerate((3, 4), start=1):
        sandbox.control("POST", "/noc", {**asked, "exp_month": month})
        eventually(lambda n=number: len(events_of(gateway, "cus_sam", EventOrigin.PROVIDER_WEBHOOK)) == n, f"{number}")
    sandbox.control("POST", "/noc", {**asked, "exp_month": 4})
    eventually(lambda: all(one.state is DeliveryState.DONE for one in deliveries(gateway)), "every delivery done")
    assert len(events_of(gateway, "cus_sam", EventOrigin.PROVIDER_WEBHOOK)) == 2


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"signature": "sha256=" + "0" * 64}, 401),
        ({"signature": ""}, 401),
        ({"stamp": str(int(time.time()) - 3_600)}, 401),
        ({"stamp": "yesterday"}, 401),
        ({"path": "/webhooks/caselle/pa_0Other"}, 404),
        ({"path": "/webhooks/jpmorgan"}, 404),
        ({"path": "/webhooks/nobody"}, 404),
    ],
)
def test_deliveries_without_a_valid_signature_are_refused_and_not_stored(
    gateway: RunningGateway, sandbox: RunningSandbox, changes: dict[str, str], status: int
) -> None:
    before = len(deliveries(gateway))
    body = {"id": "evt_refused", "event_type": "provider.noc", "data": {"saved_payment_method_ids": ["spm_1"]}}
    assert deliver(gateway, sandbox, body, **changes).status == status
    assert len(deliveries(gateway)) == before


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", {"event_type": "provider.noc"}, {"id": 5, "event_type": "x"}])
def test_a_signed_body_of_the_wrong_shape_is_refused(
    gateway: RunningGateway, sandbox: RunningSandbox, body: Any
) -> None:
    assert deliver(gateway, sandbox, body).status == 400


def test_unknown_event_types_are_stored_and_ignored(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    body = {"id": "evt_future", "event_type": "provider.from_the_future", "data": {"card_number": "4111111111111111"}}
    assert deliver(gateway, sandbox, body).status == 200
    assert deliver(gateway, sandbox, body).status == 200
    kept = [one for one in deliveries(gateway) if one.delivery_id == "evt_future"]
    assert len(kept) == 1
    assert "4111" not in json.dumps(kept[0].body)


def test_a_card_number_in_place_of_an_id_is_not_stored(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    number = "4716108999716531"
    leaks.note(number)
    for where in ("id", "event_type"):
        body = {"id": "evt_number", "event_type": "provider.noc", "data": {}} | {where: number}
        assert deliver(gateway, sandbox, body).status == 400
    data = {"saved_payment_method_ids": [number, "spm_other"], "payment_uid": number, "currency": number}
    body = {"id": "evt_number", "event_type": "provider.noc", "data": data}
    assert deliver(gateway, sandbox, body).status == 200
    (kept,) = [one for one in deliveries(gateway) if one.delivery_id == "evt_number"]
    assert kept.body == {"saved_payment_method_ids": ["spm_other"]}


def test_a_delivery_waits_for_its_vault(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    method = sandbox.held("caselle", "cus_88420")[0]["ref"]
    before = len(events_of(gateway, "cus_alex", EventOrigin.PROVIDER_WEBHOOK))
    sandbox.fault("caselle", "status", method="GET", path="/api/customers", status=503)
    sandbox.control(
        "POST", "/noc", {"provider": "caselle", "saved_payment_method_ids": [method], "exp_month": 1, "exp_year": 2036}
    )
    eventually(lambda: any(one.error for one in deliveries(gateway) if one.state is DeliveryState.RECEIVED), "a retry")
    sandbox.clear_faults()
    eventually(lambda: len(events_of(gateway, "cus_alex", EventOrigin.PROVIDER_WEBHOOK)) == before + 1, "the event")


UNKNOWN_CUSTOMER = {"status": 404, "body": {"status": 404, "code": "customer_not_found"}}
REFUSED = {"status": 403, "body": {"status": 403, "code": "forbidden"}}
NO_SUCH_PAGE = {"status": 404, "body": "<html>"}
UNREADABLE = {"body": "<html>"}
DOWN = {"status": 503}


@pytest.mark.parametrize(
    ("answer", "is_done"),
    [(UNKNOWN_CUSTOMER, True), (REFUSED, True), (NO_SUCH_PAGE, True), (UNREADABLE, True), (DOWN, False)],
    ids=["unknown", "refused", "no page", "unreadable", "down"],
)
def test_one_bad_link_stops_neither_the_others_nor_later_notifications(
    start_gateway: StartGateway, sandbox: RunningSandbox, answer: dict[str, Any], *, is_done: bool
) -> None:
    """A linked customer that was never read cannot be, while the notification names an unknown method."""
    caselle = {"webhook_secret": sandbox.credentials("caselle")["webhook_secret"], "fresh_for_s": 60}
    gateway = start_gateway(caselle=caselle)
    gateway.data('{ customer(id: "cus_alex") { paymentMethods { label } } }')
    sandbox.fault("caselle", "rewrite", method="GET", path="/api/customers/cus_load0001", **answer)
    method = sandbox.held("caselle", "cus_88420")[0]["ref"]
    for number in (1, 2):
        named = {"saved_payment_method_ids": ["spm_unknown", method]}
        sandbox.control("POST", "/noc", {"provider": "caselle", **named, "exp_month": number, "exp_year": 2037})
        body = {"id": f"evt_{number}", "event_type": "provider.noc", "data": named}
        assert deliver(gateway, sandbox, body).status == 200
        eventually(lambda n=number: len(events_of(gateway, "cus_alex", EventOrigin.PROVIDER_WEBHOOK)) == n, f"{number}")
    if is_done:
        eventually(lambda: all(one.state is DeliveryState.DONE for one in deliveries(gateway)), "every delivery done")
    else:
        eventually(lambda: all(one.error for one in deliveries(gateway)), "a retry of both")
    found = events_of(gateway, "cus_alex", EventOrigin.PROVIDER_WEBHOOK)
    assert [(event.type, event.method_ref) for event in found] == [(EventType.METHOD_UPDATED, method)] * 2
