"""Events over HTTP: stored, paginated, and live over both streaming protocols, only for permitted callers."""

import json
from dataclasses import replace
from typing import Any

import pytest

from app.store.records import EventOrigin, EventType, NewEvent
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.wallet.caller import Caller
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway
from tests.support.streams import EVENTS, listening, streaming, until_joined
from tests.support.waiting import eventually

PAGE = """
query Page($first: Int!, $after: String) {
  customer(id: "cus_alex") {
    events(first: $first, after: $after) {
      edges { cursor node { id type actor } } pageInfo { hasNextPage hasPreviousPage endCursor }
    }
  }
}
"""


def happen(gateway: RunningGateway, kind: EventType = EventType.METHOD_UPDATED, customer: str = "cus_alex") -> str:
    """Store an event as another replica would; returns its id."""
    event = NewEvent(
        type=kind,
        origin=EventOrigin.RECONCILIATION,
        customer_id=customer,
        provider=ProviderName.ALOHA,
        customer_ref=CustomerRef("1"),
        method_ref=MethodRef("2"),
        actor="ann",
    )
    return str(gateway.on_loop(gateway.gateway.store.events.append(event)).id)


def test_events_are_paged_the_newest_first_without_the_audit_trails_own(demo_gateway: RunningGateway) -> None:
    before = demo_gateway.data(PAGE, first=100)["customer"]["events"]["edges"]
    ids = [happen(demo_gateway) for _ in range(3)]
    happen(demo_gateway, EventType.MUTATION)
    first = demo_gateway.data(PAGE, first=2)["customer"]["events"]
    assert [edge["node"] for edge in first["edges"]] == [
        {"id": ids[2], "type": "METHOD_UPDATED", "actor": "ann"},
        {"id": ids[1], "type": "METHOD_UPDATED", "actor": "ann"},
    ]
    assert first["pageInfo"]["hasNextPage"] is True
    second = demo_gateway.data(PAGE, first=100, after=first["pageInfo"]["endCursor"])["customer"]["events"]
    assert [edge["node"]["id"] for edge in second["edges"]] == [ids[0], *(edge["node"]["id"] for edge in before)]
    assert second["pageInfo"]["hasPreviousPage"] is True
    node = demo_gateway.data("query ($id: ID!) { node(id: $id) { ... on CustomerEvent { type } } }", id=ids[0])
    assert node == {"node": {"type": "METHOD_UPDATED"}}


def test_a_subscriber_gets_only_its_customers_events_of_the_requested_types(demo_gateway: RunningGateway) -> None:
    wanted = ["METHOD_UPDATED"]
    with (
        listening(demo_gateway, customer="cus_alex", types=wanted) as alex,
        listening(demo_gateway, customer="cus_sam") as sam,
    ):
        until_joined(demo_gateway, 2)
        happen(demo_gateway, EventType.METHOD_ADDED)
        event = happen(demo_gateway)
        method = demo_gateway.gateway.ids.encode(ProviderName.ALOHA, CustomerRef("1"), MethodRef("2"))
        assert alex.next() == {
            "id": event,
            "type": "METHOD_UPDATED",
            "origin": "RECONCILIATION",
            "provider": "ALOHA",
            "paymentMethodId": method,
            "customer": {"id": "cus_alex", "name": "Alex Morales"},
        }
        assert alex.is_silent()
        assert sam.is_silent()
        sams = happen(demo_gateway, customer="cus_sam")
        assert sam.next()["id"] == sams


def test_a_reconnect_with_the_last_id_misses_no_event(demo_gateway: RunningGateway) -> None:
    with listening(demo_gateway, customer="cus_alex") as first:
        until_joined(demo_gateway)
        last = happen(demo_gateway)
        assert first.next()["id"] == last
    missed = [happen(demo_gateway) for _ in range(3)]
    with listening(demo_gateway, customer="cus_alex", after=last) as again:
        assert [again.next()["id"] for _ in missed] == missed
        until_joined(demo_gateway)
        news = happen(demo_gateway)
        assert again.next()["id"] == news
        assert again.is_silent()


def test_a_browser_reconnects_by_itself(demo_gateway: RunningGateway) -> None:
    last = happen(demo_gateway)
    missed = [happen(demo_gateway) for _ in range(2)]
    with streaming(demo_gateway, {"customer": "cus_alex"}, {"last-event-id": last}) as blocks:
        for event in missed:
            block = next(blocks)
            while "event" not in block:  # the comment that opens the stream
                block = next(blocks)
            assert (block["id"], block["event"]) == (event, "next")
            body = json.loads(block["data"])
            assert body["data"]["customerEvents"]["id"] == body["extensions"]["eventId"] == event


def refusal(gateway: RunningGateway, token: str | None = None, **variables: Any) -> Any:
    with listening(gateway, token=token, **variables) as listener:
        found = listener.message()
        errors = found["payload"] if found["type"] == "error" else found["payload"]["errors"]
        return [error["extensions"]["code"] for error in errors]


def test_callers_that_may_not_see_the_customer_cannot_subscribe(demo_gateway: RunningGateway) -> None:
    sams = demo_gateway.token(["customers:read", "payment_methods:read"], "cus_sam")
    assert refusal(demo_gateway, sams, customer="cus_alex") == ["NOT_FOUND"]
    assert refusal(demo_gateway, customer="cus_nobody") == ["NOT_FOUND"]
    assert refusal(demo_gateway, demo_gateway.token(["payment_methods:read"]), customer="cus_alex") == ["FORBIDDEN"]
    assert refusal(demo_gateway, customer="cus_alex", after="evt_never") == ["BAD_USER_INPUT"]
    assert refusal(demo_gateway, customer="cus_alex", types=[]) == ["BAD_USER_INPUT"]
    with listening(demo_gateway, token=sams, customer="cus_sam") as own:
        until_joined(demo_gateway)
        assert own.is_silent(0.1)
        event = happen(demo_gateway, customer="cus_sam")
        assert own.next()["id"] == event


def test_a_caller_that_lost_access_gets_an_error_and_no_events(demo_gateway: RunningGateway) -> None:
    """Revalidation has its own tests; this one checks that an open stream uses it."""
    services = demo_gateway.gateway.services
    with listening(demo_gateway, customer="cus_alex") as listener:
        until_joined(demo_gateway)
        services.revalidate = no_caller
        happen(demo_gateway)
        found = listener.message()
        assert (found["type"], [error["extensions"]["code"] for error in found["payload"]]) == (
            "error",
            ["UNAUTHENTICATED"],
        )
    assert len(demo_gateway.gateway.feed) == 0


def test_a_revoked_grant_ends_the_stream(demo_gateway: RunningGateway) -> None:
    services = demo_gateway.gateway.services

    async def without_grants(caller: Caller) -> Caller:
        return replace(caller, granted=frozenset({"cus_sam"}))

    with listening(demo_gateway, customer="cus_alex") as listener:
        until_joined(demo_gateway)
        services.revalidate = without_grants
        happen(demo_gateway)
        found = listener.message()
        assert [error["extensions"]["code"] for error in found["payload"]] == ["NOT_FOUND"]


async def no_caller(caller: Caller) -> None:
    return None


@pytest.mark.parametrize("kind", ["socket", "stream"])
def test_a_disconnected_subscriber_leaves_nothing_behind(demo_gateway: RunningGateway, kind: str) -> None:
    if kind == "socket":
        with listening(demo_gateway, customer="cus_alex"):
            until_joined(demo_gateway)
    else:
        with streaming(demo_gateway, {"customer": "cus_alex"}) as blocks:
            until_joined(demo_gateway)
            del blocks
    eventually(lambda: not len(demo_gateway.gateway.feed))


def test_a_write_causes_one_event_and_operation_updates(start_gateway: StartGateway) -> None:
    gateway = start_gateway()
    assert "customerEvents" in EVENTS
    method = gateway.data('{ customer(id: "cus_sam") { paymentMethods { id provider } } }')
    one = next(row for row in method["customer"]["paymentMethods"] if row["provider"] == "CASELLE")
    delete = """mutation ($id: ID!) {
      deletePaymentMethod(input: {id: $id, ifDefault: ALLOW, idempotencyKey: "events-test-key-0001"}) {
        operation { id } userErrors { code } } }"""
    with listening(gateway, customer="cus_sam", types=["METHOD_DELETED"]) as sam:
        until_joined(gateway)
        done = gateway.data(delete, id=one["id"])["deletePaymentMethod"]
        assert done["userErrors"] == []
        heard = sam.next()
        assert (heard["origin"], heard["paymentMethodId"]) == ("GATEWAY", one["id"])
        gateway.data('{ customer(id: "cus_sam") { paymentMethods { id } } }')
        assert sam.is_silent(1)
    follow = "subscription ($id: ID!) { operationUpdated(id: $id) { id state } }"
    with listening(gateway, follow, id=done["operation"]["id"]) as operation:
        found = operation.message()
        assert found["payload"]["data"]["operationUpdated"] == {"id": done["operation"]["id"], "state": "SUCCEEDED"}
        assert operation.message()["type"] == "complete"
