"""The worker of webhook endpoints, on both databases and over real HTTP: order, retries, claims, grants, keys."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from app.endpoints.addresses import PublicResolver
from app.endpoints.sender import WebhookSender
from app.endpoints.signing import SecretCipher, SecretKeys, new_secret
from app.endpoints.worker import EndpointPace, EndpointWorker
from app.store import Store
from app.store.records import (
    DisabledReason,
    EndpointDeliveryState,
    EndpointRecord,
    EventOrigin,
    EventType,
    NewEndpoint,
    NewEvent,
)
from app.store.ulids import ENDPOINT, new_id
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.vault.secret import Secret
from app.wallet.ids import Ids
from app.wallet.keys import KeyRing, key_name
from tests.support.receiver import OK, Answer, Receiver, Webhook
from tests.support.stores import HandClock
from tests.support.waiting import eventually

KEY = "a digest key for tests, which is long enough 0123456789"
NEXT_KEY = "the digest key after it, which is long enough 0123456789"
IDS = Ids("an id key for tests, which is long enough 0123456789abc")
EXPIRING = EventType.METHOD_EXPIRING
DOWN: Answer = (503, {})


def keys(*secrets: str) -> SecretKeys:
    return KeyRing(secrets or (KEY,), SecretCipher)


@asynccontextmanager
async def working(store: Store, **more: Any) -> AsyncIterator[EndpointWorker]:
    pace = EndpointPace(**more.pop("pace", {}))
    sender = WebhookSender(PublicResolver(allow_loopback=True), timeout_s=10)
    worker = EndpointWorker(store, sender, more.pop("keys", keys()), IDS, pace, **more)
    yield worker
    await worker.wait()
    await sender.close()


async def settle(worker: EndpointWorker) -> None:
    """Deliver everything that is due now."""
    while (work := await worker._store.endpoint_deliveries.work()).is_behind or work.due:
        await worker.work_once()
        await worker.wait()


async def endpoint(
    store: Store, url: str, *, partner: str | None = None, types: Iterable[EventType] = (EXPIRING,)
) -> tuple[EndpointRecord, Secret]:
    endpoint_id, secret = new_id(ENDPOINT), new_secret()
    new = NewEndpoint(
        id=endpoint_id,
        client=partner,
        url=url,
        types=frozenset(types),
        secret=keys().first.seal(endpoint_id, secret),
        secret_key=key_name(KEY),
    )
    return await store.endpoints.add(new), secret


async def happen(store: Store, customer: str = "cus_a", kind: EventType = EXPIRING, **more: Any) -> str:
    event = NewEvent(
        type=kind,
        origin=EventOrigin.RECONCILIATION,
        customer_id=customer,
        provider=ProviderName.ALOHA,
        customer_ref=CustomerRef("1"),
        method_ref=MethodRef("2"),
        actor="staff:ann",
        detail={"secret": "not for receivers"},
        **more,
    )
    stored = await store.events.append(event)
    assert stored is not None
    return stored.id


async def states(store: Store, endpoint_id: str) -> dict[str, tuple[str, int, str | None]]:
    found = await store.endpoint_deliveries.page(endpoint_id)
    return {one.event_id: (one.state.value, one.attempts, one.error) for one in found}


async def test_an_event_is_signed_and_shows_ids_only(store: Store) -> None:
    await happen(store)  # before the endpoint was added
    with Receiver() as receiver:
        _, secret = await endpoint(store, receiver.url)
        event = await happen(store)
        await happen(store, kind=EventType.METHOD_ADDED)
        async with working(store) as worker:
            await settle(worker)
        (webhook,) = receiver.seen
        message = Verifier(secret.reveal()).verify(webhook.body, webhook.headers)
        assert webhook.headers["webhook-id"] == event
        assert webhook.headers["content-type"] == "application/json"
        stored = await store.events.event(event)
        assert stored is not None
        assert message["type"] == "METHOD_EXPIRING"
        assert message["data"] == {
            "id": event,
            "type": "METHOD_EXPIRING",
            "occurredAt": message["timestamp"],
            "origin": "RECONCILIATION",
            "provider": "ALOHA",
            "customerId": "cus_a",
            "paymentMethodId": IDS.encode(ProviderName.ALOHA, CustomerRef("1"), MethodRef("2")),
            "paymentId": None,
        }


async def test_a_failing_delivery_holds_back_its_customer_alone(store: Store, clock: HandClock) -> None:
    def answer(webhook: Webhook) -> Answer:
        return DOWN if is_down and webhook.customer == "cus_a" else OK

    is_down = True
    with Receiver(answer) as receiver:
        added, _ = await endpoint(store, receiver.url)
        first, second = await happen(store), await happen(store)
        async with working(store) as worker:
            await settle(worker)
            other = await happen(store, "cus_b")
            third = await happen(store)
            await settle(worker)
            assert receiver.ids == [first, other]
            assert await states(store, added.id) == {
                first: ("PENDING", 1, "HTTP_503"),
                second: ("PENDING", 0, None),
                other: ("DELIVERED", 1, None),
                third: ("PENDING", 0, None),
            }
            clock.advance(seconds=7)
            await settle(worker)
            assert receiver.ids == [first, other, first], "the second attempt"
            is_down = False
            clock.advance(seconds=7)
            await settle(worker)
            assert receiver.ids == [first, other, first], "the pause has doubled"
            clock.advance(seconds=7)
            await settle(worker)
        assert receiver.ids[3:] == [first, second, third]
        assert {state for state, _, _ in (await states(store, added.id)).values()} == {"DELIVERED"}


async def test_after_three_days_a_delivery_is_dead_and_the_next_event_follows(store: Store, clock: HandClock) -> None:
    with Receiver(lambda webhook: DOWN if webhook.id == first else OK) as receiver:
        added, _ = await endpoint(store, receiver.url)
        first = await happen(store)
        async with working(store) as worker:
            for _ in range(100):
                await settle(worker)
                if (await states(store, added.id))[first][0] == "DEAD":
                    break
                due = (await store.endpoint_deliveries.page(added.id))[0].next_attempt_at
                assert due is not None
                clock.advance(seconds=(due - clock()).total_seconds() + 0.001)
            (dead,) = await store.endpoint_deliveries.page(added.id, EndpointDeliveryState.DEAD)
            assert (dead.error, dead.status, dead.done_at) == ("HTTP_503", 503, clock())
            assert timedelta(days=3) <= clock() - dead.created_at < timedelta(days=3, minutes=1)
            assert 15 < dead.attempts < 40
            second = await happen(store)
            await settle(worker)
            assert receiver.ids[-1] == second
            await store.endpoint_deliveries.expire(clock(), dead_before=clock())
            assert set(await states(store, added.id)) == {first, second}, "nothing before now"


@pytest.mark.parametrize(("asked", "least_s", "most_s"), [("60", 60, 60), ("999999999", 21_600, 27_001), ("x", 3, 7)])
async def test_retry_after_is_honoured_within_bounds(
    store: Store, clock: HandClock, asked: str, least_s: float, most_s: float
) -> None:
    with Receiver(lambda webhook: (429, {"retry-after": asked})) as receiver:
        added, _ = await endpoint(store, receiver.url)
        await happen(store)
        async with working(store) as worker:
            await settle(worker)
        (one,) = await store.endpoint_deliveries.page(added.id)
        assert one.next_attempt_at is not None
        assert least_s <= (one.next_attempt_at - clock()).total_seconds() <= most_s


async def test_an_endpoint_that_is_gone_is_disabled_at_once(store: Store) -> None:
    with Receiver(lambda webhook: (410, {})) as receiver:
        added, _ = await endpoint(store, receiver.url)
        event, waiting = await happen(store), await happen(store)
        outcomes: list[str] = []
        async with working(store, on_attempt=outcomes.append) as worker:
            await settle(worker)
            await happen(store)
            await settle(worker)
        assert (receiver.ids, outcomes) == ([event], ["dead"])
        assert await states(store, added.id) == {event: ("DEAD", 1, "HTTP_410"), waiting: ("PENDING", 0, None)}
        found = await store.endpoints.endpoint(added.id)
        assert found is not None
        assert found.disabled_reason is DisabledReason.GONE
        (recorded,) = await store.events.after(None, types=[EventType.OPERATOR_COMMAND])
        assert (recorded.actor, recorded.outcome) == ("gateway", "GONE")
        assert recorded.detail == {"command": "endpoints disable", "endpoint": added.id, "partner": None}


async def test_a_week_of_failures_only_disables_an_endpoint(store: Store, clock: HandClock) -> None:
    is_down = True
    with Receiver(lambda webhook: DOWN if is_down else OK) as receiver:
        added, _ = await endpoint(store, receiver.url)

        async def days_later(days: float, customer: str) -> EndpointRecord:
            clock.advance(days=days)
            await happen(store, customer)
            await settle(worker)
            found = await store.endpoints.endpoint(added.id)
            assert found is not None
            return found

        async with working(store) as worker:
            assert (await days_later(0, "cus_a")).failing_since == clock()
            assert (await days_later(6, "cus_b")).disabled_at is None
            is_down = False
            assert (await days_later(0.5, "cus_c")).failing_since is None, "one success is enough"
            is_down = True
            assert (await days_later(3, "cus_d")).disabled_at is None
            disabled = await days_later(7, "cus_e")
            assert (disabled.disabled_at, disabled.disabled_reason) == (clock(), DisabledReason.FAILING)
            sent = len(receiver.seen)
            await days_later(1, "cus_f")
            assert len(receiver.seen) == sent
            is_down = False
            await store.endpoints.enable(added.id)
            await settle(worker)
            assert [one.customer for one in receiver.seen[sent:]] == ["cus_e"], "what was pending"
            after = await happen(store, "cus_f")
            await settle(worker)
            assert receiver.ids[-1] == after


async def test_a_partner_gets_what_it_may_see_when_it_is_sent(store: Store, clock: HandClock) -> None:
    ann, bob = [(await store.directory.create(external_id=name)).id for name in ("ann", "bob")]
    await store.clients.add("acme", key_hash="a", scopes=["customers:read"])
    await store.clients.grant("acme", [ann])
    is_down = True
    with Receiver(lambda webhook: DOWN if is_down else OK) as receiver:
        added, _ = await endpoint(store, receiver.url, partner="acme")
        granted = await happen(store, ann)
        await happen(store, bob)
        async with working(store) as worker:
            await settle(worker)
            assert list(await states(store, added.id)) == [granted], "no delivery of the others' events"
            await store.clients.revoke("acme", [ann])
            is_down = False
            clock.advance(seconds=60)
            await settle(worker)
            assert await states(store, added.id) == {granted: ("WITHHELD", 2, "NOT_GRANTED")}
            assert receiver.ids == [granted], "before the grant was withdrawn"
            await store.clients.grant("acme", [ann])
            second = await happen(store, ann)
            await store.clients.enable("acme", is_enabled=False)
            await settle(worker)
            await store.clients.enable("acme")
            third = await happen(store, ann)
            await settle(worker)
            await store.clients.change("acme", scopes=["payment_methods:read"])
            await happen(store, ann)
            await settle(worker)
        assert receiver.ids == [granted, third]
        assert second not in await states(store, added.id), "of a time when the partner was disabled"


@pytest.mark.parametrize("is_known_dead", [True, False])
async def test_workers_share_deliveries_and_continue_those_of_a_dead_one(
    store: Store, store_url: str, clock: HandClock, is_known_dead: bool
) -> None:
    other = Store.open(store_url, clock=store.now)
    with Receiver() as receiver:
        added, _ = await endpoint(store, receiver.url)
        events = [await happen(store, f"cus_{number % 7}") for number in range(40)]
        async with working(store) as one, working(other) as two:
            await store.endpoint_deliveries.fan_out(retry_for=timedelta(days=3))
            lost = await store.endpoint_deliveries.claim(added.id, "killed", lease=timedelta(seconds=60), limit=3)
            assert len(lost) == 3
            for _ in range(20):
                await one.work_once()
                await two.work_once()
                await one.wait()
                await two.wait()
            held = {claimed.delivery.customer_id for claimed in lost}
            assert {webhook.customer for webhook in receiver.seen}.isdisjoint(held)
            if is_known_dead:
                await store.endpoint_deliveries.release(["killed"])
            else:
                clock.advance(seconds=61)
            await settle(two)
        assert sorted(receiver.ids) == sorted(events), "each once"
        for customer in {webhook.customer for webhook in receiver.seen}:
            found = [webhook.id for webhook in receiver.seen if webhook.customer == customer]
            assert found == sorted(found)
    await other.close()


async def test_replay_sends_the_same_ids_again(store: Store) -> None:
    with Receiver() as receiver:
        added, _ = await endpoint(store, receiver.url)
        event = await happen(store)
        async with working(store) as worker:
            await settle(worker)
            assert await store.transaction(replay, added.id, event)
            assert not await store.transaction(replay, added.id, "evt_unknown")
            await settle(worker)
        assert receiver.ids == [event, event]
        assert receiver.seen[0].body == receiver.seen[1].body


def replay(tx: Any, endpoint_id: str, event_id: str) -> bool:
    from app.store.endpoint_deliveries import replay_endpoint_delivery

    return replay_endpoint_delivery(tx, endpoint_id, event_id, retry_for=timedelta(days=3))


async def test_both_secrets_sign_during_a_rotation(store: Store, clock: HandClock) -> None:
    with Receiver() as receiver:
        added, before = await endpoint(store, receiver.url)
        fresh, ring = new_secret(), keys()
        await store.endpoints.rotate(
            added.id,
            secret=ring.first.seal(added.id, fresh),
            secret_key=ring.first_name,
            old_secret=added.secret,
            old_until=clock() + timedelta(hours=1),
        )
        await happen(store)
        async with working(store) as worker:
            await settle(worker)
            clock.advance(hours=2)
            await happen(store)
            await settle(worker)
        during, after = receiver.seen
        for secret in (before, fresh):
            Verifier(secret.reveal()).verify(during.body, during.headers)
        assert [len(one.headers["webhook-signature"].split()) for one in receiver.seen] == [2, 1]
        Verifier(fresh.reveal()).verify(after.body, after.headers)


async def test_secrets_are_encrypted_anew_under_the_first_key(store: Store) -> None:
    with Receiver() as receiver:
        added, secret = await endpoint(store, receiver.url)
        assert secret.reveal() not in added.secret
        await happen(store)
        async with working(store, keys=keys(NEXT_KEY)) as without:
            await without._now_and_then()
            await without.work_once()
            await without.wait()
            assert receiver.seen == [], "a process without the key leaves it to others"
        async with working(store, keys=keys(NEXT_KEY, KEY)) as worker:
            await worker._now_and_then()
        assert await store.key_uses.endpoints_by_key() == {key_name(NEXT_KEY): 1}
        async with working(store, keys=keys(NEXT_KEY)) as worker:
            await settle(worker)
        (webhook,) = receiver.seen
        Verifier(secret.reveal()).verify(webhook.body, webhook.headers)


@pytest.mark.parametrize("is_key_configured", [False, True])
async def test_a_secret_that_cannot_be_decrypted_dead_letters_and_is_replayed_later(
    store: Store, clock: HandClock, is_key_configured: bool
) -> None:
    """Without its key, and with a key of its name that does not decrypt it. The other endpoint is not affected."""
    with Receiver() as receiver:
        added, secret = await endpoint(store, receiver.url)
        others, _ = await endpoint(store, receiver.url)
        broken = keys().first.seal("another endpoint", secret) if is_key_configured else added.secret
        stored_key = key_name(KEY if is_key_configured else NEXT_KEY)
        assert await store.endpoints.reseal(added, secret=broken, old_secret=None, secret_key=stored_key)
        event = await happen(store)
        outcomes: list[str] = []
        async with working(store, on_attempt=outcomes.append) as worker:
            for _ in range(100):
                await worker._now_and_then()
                await worker.work_once()
                await worker.wait()
                found = {one.endpoint_id: one for one in await store.endpoint_deliveries.page(added.id)}[added.id]
                if found.state is EndpointDeliveryState.DEAD:
                    break
                assert found.next_attempt_at is not None
                clock.advance(seconds=max((found.next_attempt_at - clock()).total_seconds(), 3600))
            assert (found.state, found.error) == (EndpointDeliveryState.DEAD, "SECRET_UNREADABLE")
            assert timedelta(days=3) <= clock() - found.created_at < timedelta(days=3, hours=7)
            assert (receiver.ids, outcomes.count("dead")) == ([event], 1), "the other endpoint's"
            stored = await store.endpoints.endpoint(added.id)
            assert stored is not None
            assert (stored.failing_since, stored.disabled_at) == (None, None), "it is not the receiver's failure"
            sealed = keys().first.seal(added.id, secret)
            await store.endpoints.reseal(stored, secret=sealed, old_secret=None, secret_key=key_name(KEY))
            assert await store.transaction(replay, added.id, event)
            await settle(worker)
        assert receiver.ids == [event, event]
        Verifier(secret.reveal()).verify(receiver.seen[1].body, receiver.seen[1].headers)
        assert await states(store, others.id) == {event: ("DELIVERED", 1, None)}


async def test_slow_endpoints_leave_room_for_the_others(store: Store) -> None:
    is_open = threading.Event()

    def answer(webhook: Webhook) -> Answer:
        if webhook.path != "/hook/fast":
            is_open.wait(30)
        return OK

    with Receiver(answer) as receiver:
        for number in range(10):
            await endpoint(store, f"{receiver.url}/{number}")
        for number in range(8):
            await happen(store, f"cus_{number}")
        async with working(store, pace={"concurrency": 8}) as worker:
            try:
                await worker.work_once()
                assert Counter(worker._running.values()) == {6: 10}, "the fair share of 64"
                await endpoint(store, f"{receiver.url}/fast")
                event = await happen(store, "cus_z")
                await worker.work_once()
                await asyncio.to_thread(eventually, lambda: ("/hook/fast", event) in seen(receiver))
                assert not is_open.is_set()
            finally:
                is_open.set()


def seen(receiver: Receiver) -> list[tuple[str, str]]:
    return [(one.path, one.id) for one in receiver.seen]
