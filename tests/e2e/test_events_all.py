"""Events of all customers over HTTP: a page at a time and live, for callers that may see all customers only."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.store.records import EventOrigin, EventType, NewEvent
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from tests.support.gateway import RunningGateway
from tests.support.partners import PartnerApp
from tests.support.streams import Listener, listening, socket_of, until_joined
from tests.support.waiting import eventually

PAGE = """
query Page($filter: EventFilter, $first: Int!, $after: String) {
  events(filter: $filter, first: $first, after: $after) {
    edges { cursor node { id type customer { id } } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""
LIVE = """
subscription Live($filter: EventFilter, $after: ID) {
  events(filter: $filter, after: $after) { id type customer { id } }
}
"""
EXPIRING = {"types": ["METHOD_EXPIRING"]}


def happen(
    gateway: RunningGateway,
    customer: str = "cus_alex",
    kind: EventType = EventType.METHOD_EXPIRING,
    provider: ProviderName = ProviderName.ALOHA,
    **more: Any,
) -> str:
    event = NewEvent(
        type=kind,
        origin=EventOrigin.RECONCILIATION,
        customer_id=customer,
        provider=provider,
        customer_ref=CustomerRef("1"),
        method_ref=MethodRef("2"),
        **more,
    )
    return str(gateway.on_loop(gateway.gateway.store.events.append(event)).id)


def page(gateway: RunningGateway, after: str | None = None, first: int = 100, **filter: Any) -> tuple[list[str], Any]:
    found = gateway.data(PAGE, filter=filter, first=first, after=after)["events"]
    return [edge["node"]["id"] for edge in found["edges"]], found["pageInfo"]


def test_a_mailer_reads_on_where_it_stopped(demo_gateway: RunningGateway) -> None:
    gateway = demo_gateway
    _, info = page(gateway, **EXPIRING)
    start = info["endCursor"]
    alex, sam = happen(gateway), happen(gateway, "cus_sam")
    happen(gateway, kind=EventType.MUTATION)
    happen(gateway, kind=EventType.METHOD_UPDATED)
    third = happen(gateway, "cus_sam")
    ids, info = page(gateway, start, first=2, **EXPIRING)
    assert (ids, info["hasNextPage"]) == ([alex, sam], True)
    ids, info = page(gateway, info["endCursor"], first=2, **EXPIRING)
    assert (ids, info["hasNextPage"]) == ([third], False)
    ids, last = page(gateway, info["endCursor"], **EXPIRING)
    assert (ids, last["endCursor"]) == ([], info["endCursor"]), "an empty page keeps the position"
    fourth = happen(gateway)
    assert page(gateway, last["endCursor"], **EXPIRING)[0] == [fourth]
    found = gateway.data(PAGE, filter=EXPIRING, first=1, after=start)["events"]["edges"][0]["node"]
    assert found == {"id": alex, "type": "METHOD_EXPIRING", "customer": {"id": "cus_alex"}}


def test_events_are_filtered_by_type_vault_and_time(demo_gateway: RunningGateway) -> None:
    gateway = demo_gateway
    start = page(gateway)[1]["endCursor"]
    now = datetime.now(UTC)
    early = happen(gateway, occurred_at=now - timedelta(days=3))
    late = happen(gateway, provider=ProviderName.LOANPRO, occurred_at=now - timedelta(days=1))
    other = happen(gateway, kind=EventType.METHOD_ADDED, occurred_at=now - timedelta(days=1))
    cut = (now - timedelta(days=2)).isoformat()
    assert page(gateway, start)[0] == [early, late, other]
    assert page(gateway, start, types=["METHOD_ADDED", "METHOD_EXPIRED"])[0] == [other]
    assert page(gateway, start, providers=["LOANPRO"])[0] == [late]
    assert page(gateway, start, occurredFrom=cut)[0] == [late, other]
    assert page(gateway, start, occurredBefore=cut)[0] == [early]
    assert page(gateway, start, occurredFrom=cut, providers=["ALOHA"], types=["METHOD_ADDED"])[0] == [other]
    assert page(gateway, occurredFrom=(now + timedelta(days=1)).isoformat())[0] == []
    assert page(gateway, start, occurredFrom="0001-01-01T00:00:00Z")[0] == [early, late, other]
    for wrong in ({"types": []}, {"providers": []}):
        assert gateway.query(PAGE, {"filter": wrong, "first": 5}).codes == ["BAD_USER_INPUT"]
    for variables in ({"first": 0}, {"first": 101}, {"first": 5, "after": "x"}):
        assert gateway.query(PAGE, variables).codes == ["BAD_USER_INPUT"]


def test_a_page_that_examined_enough_events_ends_early(demo_gateway: RunningGateway) -> None:
    gateway = demo_gateway
    start = page(gateway)[1]["endCursor"]
    crowd = [NewEvent(type=EventType.METHOD_ADDED, customer_id="cus_alex", provider=ProviderName.ALOHA)] * 2_001
    gateway.on_loop(gateway.gateway.store.events.append_all(crowd))
    wanted = happen(gateway, provider=ProviderName.LOANPRO)
    ids, info = page(gateway, start, providers=["LOANPRO"])
    assert (ids, info["hasNextPage"]) == ([], True)
    ids, info = page(gateway, info["endCursor"], providers=["LOANPRO"])
    assert (ids, info["hasNextPage"]) == ([wanted], False)


def test_the_customers_of_a_page_are_priced_each(demo_gateway: RunningGateway) -> None:
    def cost(first: int, fields: str) -> Any:
        reply = demo_gateway.query(f"{{ events(first: {first}) {{ edges {{ node {{ customer {{ {fields} }} }} }} }} }}")
        return reply.codes or reply.body["extensions"]["cost"]["requested"]

    assert [cost(first, "id name email") for first in (1, 20, 100)] == [4, 4, 4]
    assert [cost(first, "paymentMethods { id }") for first in (1, 20, 100)] == [4, 80, 400]
    twice = "{ a: events(first: 60) { ...E } b: events(first: 61) { ...E } } fragment E on EventConnection"
    reply = demo_gateway.query(twice + " { edges { node { customer { paymentMethods { id } } } } }")
    assert reply.codes == ["COST_ESTIMATED_TOO_EXPENSIVE"]


def test_callers_that_see_only_some_customers_are_refused(demo_gateway: RunningGateway) -> None:
    gateway = demo_gateway
    documents = {"page": PAGE, "live": LIVE}
    scopes = ("customers:read", "audit:read")
    some = PartnerApp(gateway, "some", scopes=scopes, granted=["cus_alex"], documents=documents)
    every = PartnerApp(gateway, "every", scopes=scopes, documents=documents)
    asked = {"first": 5, "filter": EXPIRING}
    refused = gateway.query(headers=some.headers, documentId="page", variables=asked)
    assert (refused.codes, refused.data) == (["FORBIDDEN"], {"events": None})
    accepted = gateway.query(headers=every.headers, documentId="page", variables=asked)
    assert accepted.errors == []
    end_user = {"authorization": f"Bearer {gateway.token(['audit:read'], 'cus_alex')}"}
    assert gateway.query(PAGE, asked, headers=end_user).codes == ["FORBIDDEN"]
    unscoped = {"authorization": f"Bearer {gateway.token(['customers:read'])}"}
    assert gateway.query(PAGE, asked, headers=unscoped).codes == ["FORBIDDEN"]


def test_a_subscriber_gets_the_events_of_all_customers_and_resumes(demo_gateway: RunningGateway) -> None:
    gateway = demo_gateway
    with listening(gateway, LIVE, filter=EXPIRING) as first:
        until_joined(gateway)
        happen(gateway, kind=EventType.METHOD_ADDED)
        events = [happen(gateway), happen(gateway, "cus_sam")]
        assert [first.message()["payload"]["data"]["events"] for _ in events] == [
            {"id": event, "type": "METHOD_EXPIRING", "customer": {"id": customer}}
            for event, customer in zip(events, ["cus_alex", "cus_sam"], strict=True)
        ]
        assert gateway.gateway.feed.customers() == [], "no vault is polled for it"
    missed = [happen(gateway, provider=ProviderName.LOANPRO), happen(gateway), happen(gateway, "cus_sam")]
    with listening(gateway, LIVE, filter={**EXPIRING, "providers": ["ALOHA"]}, after=events[-1]) as again:
        found = [again.message()["payload"]["data"]["events"]["id"] for _ in missed[1:]]
        until_joined(gateway)
        news = happen(gateway)
        assert [*found, again.message()["payload"]["data"]["events"]["id"]] == [*missed[1:], news]
        assert again.is_silent()


@pytest.mark.parametrize("change", ["granted", "scope"])
def test_a_subscriber_that_may_no_longer_see_all_is_ended(demo_gateway: RunningGateway, change: str) -> None:
    gateway = demo_gateway
    partner = PartnerApp(gateway, "mailer", scopes=["customers:read", "audit:read"], documents={"live": LIVE})
    clients = gateway.gateway.store.clients
    with socket_of(gateway, partner.key) as socket:
        payload = {"documentId": "live", "variables": {"filter": EXPIRING}}
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        until_joined(gateway)
        if change == "granted":
            gateway.on_loop(clients.change("mailer", sees_all_customers=False))
        else:
            gateway.on_loop(clients.change("mailer", scopes=["audit:read"]))
        listener = Listener(socket)
        eventually(lambda: codes_after_an_event(gateway, listener) == ["FORBIDDEN"])


def codes_after_an_event(gateway: RunningGateway, listener: Listener) -> list[str]:
    happen(gateway)
    found = listener.message()
    if found["type"] == "next" and not found["payload"].get("errors"):
        return []
    errors = found["payload"] if found["type"] == "error" else found["payload"]["errors"]
    return [error["extensions"]["code"] for error in errors]
