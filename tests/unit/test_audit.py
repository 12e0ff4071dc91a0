"""The audit trail: writing it delays no request, loses no entry during a store outage, and is rate limited."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from app.api.audit import Audit
from app.store import Store
from app.store.records import EventRecord, EventType, NewEvent
from app.telemetry.request_id import REQUEST_ID
from app.wallet.caller import Caller, CallerKind
from resolvers.audit import MOST_REFUSALS, AuditTrail, Refusal, Refusals

ANN = Caller(name="ann", scopes=frozenset())
ACME = Caller(name="acme", scopes=frozenset(), kind=CallerKind.PARTNER)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Failing:
    """Fails `times` times, then keeps."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.kept: list[NewEvent] = []

    async def append_all(self, new: Iterable[NewEvent]) -> None:
        if self.times:
            self.times -= 1
            raise OSError("the disk is full")
        self.kept += new


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    opened = Store.open(sqlite_url)
    yield opened
    await opened.close()


async def kept(store: Store) -> list[EventRecord]:
    return await store.events.after(None)


async def test_notes_are_written_beside_the_request(store: Store) -> None:
    trail: AuditTrail = (audit := Audit(store.events))
    running = asyncio.create_task(audit.run())
    REQUEST_ID.set("req-1")
    audit.turned_away(ANN, "FORBIDDEN")
    audit.turned_away(None, "UNAUTHENTICATED")
    audit.turned_away(ANN, "GRAPHQL_PARSE_FAILED")
    trail.refused(ACME, "req-2", [Refusal("Customer.links", "FORBIDDEN", "cus_a", ("links:read",))], 0)
    trail.mutation(ANN, "req-3", "addPaymentMethod", "cus_a", "REFUSED", ["NOT_FOUND"])
    for _ in range(6_000):
        if len(found := await kept(store)) == 3:
            break
        await asyncio.sleep(0.01)
    running.cancel()
    assert [(one.type, one.actor, one.outcome, one.customer_id, one.request_id, one.detail) for one in found] == [
        (EventType.ACCESS_REFUSED, "staff:ann", "FORBIDDEN", None, "req-1", {}),
        (
            EventType.ACCESS_REFUSED,
            "partner:acme",
            "FORBIDDEN",
            "cus_a",
            "req-2",
            {"what": "Customer.links", "scopes": ["links:read"]},
        ),
        (
            EventType.MUTATION,
            "staff:ann",
            "REFUSED",
            "cus_a",
            "req-3",
            {"mutation": "addPaymentMethod", "codes": ["NOT_FOUND"]},
        ),
    ]
    page = await store.events.of_customer("cus_a")
    assert [one.type for one in page.events] == [EventType.MUTATION, EventType.ACCESS_REFUSED]


class Counted:
    def __init__(self) -> None:
        self.refusals: Counter[tuple[str, str]] = Counter()

    def on_refusal(self, caller: str, code: str) -> None:
        self.refusals[caller, code] += 1


async def test_anonymous_refusals_are_counted_and_not_kept_one_by_one(store: Store) -> None:
    clock, counted = Clock(), Counted()
    audit = Audit(store.events, observer=counted, clock=clock)
    for _ in range(1_000):
        audit.turned_away(None, "UNAUTHENTICATED")
    clock.now += 60
    audit.turned_away(None, "UNAUTHENTICATED")
    assert len(audit._waiting) == 1
    await audit.flush()
    assert [(one.actor, one.outcome, one.detail) for one in await kept(store)] == [
        ("anonymous", "UNAUTHENTICATED", {"count": 1_000}),
        ("anonymous", "UNAUTHENTICATED", {"count": 1}),
    ]
    assert counted.refusals == {("anonymous", "UNAUTHENTICATED"): 1_001}


async def test_refusals_of_one_caller_are_limited_and_others_are_still_recorded(store: Store) -> None:
    clock, counted = Clock(), Counted()
    audit = Audit(store.events, observer=counted, clock=clock)
    for _ in range(50):
        audit.turned_away(ACME, "FORBIDDEN")
        audit.refused(ACME, "req", [Refusal("Customer", "NOT_GRANTED", "cus_a")], 0)
        audit.mutation(ACME, "req", "addPaymentMethod", "cus_a", "REFUSED", ["NOT_FOUND"])
        audit.mutation(ACME, "req", "createTokenization", "cus_a", "DONE", [])
    audit.turned_away(ANN, "FORBIDDEN")
    clock.now += 60
    audit.turned_away(ACME, "FORBIDDEN")
    await audit.flush()
    found = await kept(store)
    assert Counter((one.actor, one.outcome) for one in found if "count" not in one.detail) == {
        ("partner:acme", "FORBIDDEN"): 21,
        ("partner:acme", "NOT_GRANTED"): 20,
        ("partner:acme", "REFUSED"): 20,
        ("partner:acme", "DONE"): 50,
        ("staff:ann", "FORBIDDEN"): 1,
    }
    assert {(one.type, one.outcome, one.detail["count"]) for one in found if "count" in one.detail} == {
        (EventType.ACCESS_REFUSED, "FORBIDDEN", 30),
        (EventType.ACCESS_REFUSED, "NOT_GRANTED", 30),
        (EventType.MUTATION, "REFUSED", 30),
    }
    assert counted.refusals == {
        ("partner", "FORBIDDEN"): 51,
        ("partner", "NOT_GRANTED"): 50,
        ("staff", "FORBIDDEN"): 1,
    }


async def test_a_store_that_fails_loses_no_note() -> None:
    events = Failing(1)
    audit = Audit(events)  # type: ignore[arg-type]
    for _ in range(3):
        audit.mutation(ANN, "req", "m", None, "REFUSED", ())
    await audit.flush()
    assert events.kept == [], "this try failed"
    await audit.flush()
    assert len(events.kept) == 3


async def test_text_that_no_store_holds_is_left_out_of_a_note(store: Store) -> None:
    audit = Audit(store.events)
    audit.refused(ANN, "req", [Refusal("Customer", "NOT_GRANTED", "cus_\ud800")], 0)
    audit.turned_away(Caller(name="a\x00b", scopes=frozenset()), "FORBIDDEN")
    await audit.flush()
    assert [(one.customer_id, one.actor) for one in await kept(store)] == [(None, "staff:ann"), (None, "unwritable")]


def test_refusals_of_one_request_are_recorded_once_each_and_limited() -> None:
    reported: list[Any] = []

    class Trail:
        def refused(self, caller: Caller, request_id: str, refusals: Any, more: int) -> None:
            reported.append((len(refusals), more))

        def mutation(self, *_: Any) -> None:
            raise AssertionError

    refusals = Refusals()
    refusals.tell(Trail(), ANN, "req")
    assert reported == []
    for number in range(MOST_REFUSALS + 5):
        for _ in range(3):
            refusals.add(Refusal(f"Type.field{number}", "FORBIDDEN"))
    refusals.tell(Trail(), ANN, "req")
    refusals.tell(Trail(), ANN, "req")
    assert reported == [(MOST_REFUSALS, 15)]
