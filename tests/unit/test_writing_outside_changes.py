"""Changes outside the gateway around a write give events; the write's own changes give no second event."""

from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from app.sandbox.demo import ALEX
from app.store.records import EventOrigin, EventType, ObservedChanges
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.vault.model import Expiry, MethodChange, VaultWallet
from app.wallet.changes.detector import ChangeDetector
from app.wallet.commands import DeleteMethod, SetDefault, UpdateMethod
from app.wallet.writes.deps import fresh_wallet
from tests.support.calls import soon
from tests.support.sandbox import RunningSandbox
from tests.support.writing import STAFF, Bench, bench_on, open_store

P = ProviderName
OURS, OTHERS = EventOrigin.GATEWAY, EventOrigin.RECONCILIATION
UPDATED, ADDED, DELETED = EventType.METHOD_UPDATED, EventType.METHOD_ADDED, EventType.METHOD_DELETED
METHODS = {UPDATED, ADDED, DELETED, EventType.METHOD_REPLACED}


@pytest.fixture
async def bench(sandbox: RunningSandbox, store_url: str) -> AsyncIterator[Bench]:
    store = open_store(store_url)
    async with bench_on(sandbox, store) as opened:
        yield opened
    await store.close()


async def settled(bench: Bench) -> None:
    """Wait until the grace period after a write has passed."""
    await bench.writer.drain()
    bench.clock.advance(seconds=10)


async def read(bench: Bench, name: ProviderName) -> tuple[VaultWallet, datetime]:
    """A list, and when its read began."""
    asked_at = bench.clock()
    return await fresh_wallet(bench.providers[name], CustomerRef(ALEX.refs[name.value]), soon()), asked_at


async def note(bench: Bench, found: tuple[VaultWallet, datetime]) -> ObservedChanges:
    """Compare a list, as reads, the poller and webhooks do."""
    return await ChangeDetector(bench.store).compare(found[0], ALEX.id, OTHERS, asked_at=found[1])


async def look(bench: Bench, name: ProviderName) -> ObservedChanges:
    await settled(bench)
    return await note(bench, await read(bench, name))


async def events_of(bench: Bench) -> list[tuple[EventType, EventOrigin, MethodRef | None]]:
    """Oldest first."""
    page = await bench.store.events.of_customer(ALEX.id, first=100, types=METHODS)
    return [(event.type, event.origin, event.method_ref) for event in page.events[::-1]]


async def change(bench: Bench, method: MethodRef, expiry: Expiry) -> None:
    """Change a J.P. Morgan card outside the gateway."""
    vault = bench.providers[P.JPMORGAN]
    wallet, _ = await read(bench, P.JPMORGAN)
    held = next(one for one in wallet.methods if one.method_ref == method)
    await vault.update(held, MethodChange(expiry=expiry), soon())


async def write(bench: Bench, method: MethodRef, expiry: Expiry) -> None:
    done = await bench.writer.run(UpdateMethod(method_id=bench.id(P.JPMORGAN, method), expiry=expiry), STAFF, soon())
    assert done.problems == ()
    await bench.writer.drain()


async def cards(bench: Bench) -> list[MethodRef]:
    wallet, _ = await read(bench, P.JPMORGAN)
    return [one.method_ref for one in wallet.methods if one.kind.value == "CARD" and one.status.value == "ACTIVE"]


async def test_outside_change_right_after_a_write_gives_an_event(bench: Bench) -> None:
    await look(bench, P.JPMORGAN)
    first, *_ = await cards(bench)
    await write(bench, first, Expiry(2038, 1))
    await change(bench, first, Expiry(2038, 2))
    await look(bench, P.JPMORGAN)
    assert await events_of(bench) == [(UPDATED, OURS, first), (UPDATED, OTHERS, first)]


async def test_outside_change_just_before_a_write_gives_an_event(bench: Bench) -> None:
    await look(bench, P.JPMORGAN)
    first = await cards(bench)
    added = (await bench.add(P.JPMORGAN)).method  # a second card, changed outside the gateway
    assert added is not None
    await settled(bench)
    await change(bench, added.method_ref, Expiry(2038, 2))
    await write(bench, first[0], Expiry(2038, 1))
    for _ in range(2):
        await look(bench, P.JPMORGAN)
    assert sorted((await events_of(bench))[1:]) == sorted(
        [(UPDATED, OTHERS, added.method_ref), (UPDATED, OURS, first[0])]
    )


async def test_method_added_outside_during_an_add_gives_an_event(bench: Bench) -> None:
    await look(bench, P.CASELLE)
    vault, ref = bench.providers[P.CASELLE], CustomerRef(ALEX.refs["caselle"])
    new = bench.method(P.CASELLE)
    theirs = await vault.add(ref, new, await vault.before_add(ref, new, soon()), False, soon())
    ours = (await bench.add(P.CASELLE)).method
    assert ours is not None
    await look(bench, P.CASELLE)
    assert sorted(await events_of(bench)) == sorted(
        [(ADDED, OTHERS, theirs.method_ref), (ADDED, OURS, ours.method_ref)]
    )


async def test_previous_default_gives_no_event(bench: Bench) -> None:
    await look(bench, P.CASELLE)
    added = (await bench.add(P.CASELLE)).method
    assert added is not None
    chosen = SetDefault(customer_id=ALEX.id, method_id=bench.ids.encode_address(added))
    assert (await bench.writer.run(chosen, STAFF, soon())).problems == ()
    await look(bench, P.CASELLE)
    assert await events_of(bench) == [(ADDED, OURS, added.method_ref)]


async def test_list_read_before_a_write_is_ignored_after_it(bench: Bench) -> None:
    await look(bench, P.JPMORGAN)
    first, *_ = await cards(bench)
    old = await read(bench, P.JPMORGAN)
    await write(bench, first, Expiry(2038, 1))
    assert (await note(bench, old)).is_outdated
    for _ in range(2):
        assert not await look(bench, P.JPMORGAN)
    assert await events_of(bench) == [(UPDATED, OURS, first)]


async def test_list_older_than_the_last_one_is_ignored(bench: Bench) -> None:
    await look(bench, P.JPMORGAN)
    first, *_ = await cards(bench)
    old = await read(bench, P.JPMORGAN)
    await change(bench, first, Expiry(2038, 1))
    await look(bench, P.JPMORGAN)
    assert (await note(bench, old)).is_outdated
    assert not await look(bench, P.JPMORGAN)
    assert await events_of(bench) == [(UPDATED, OTHERS, first)]


async def test_list_read_during_a_write_is_ignored(bench: Bench) -> None:
    await look(bench, P.JPMORGAN)
    first, *_ = await cards(bench)
    during: list[ObservedChanges] = []
    real = bench.providers[P.JPMORGAN].update

    async def watched(*arguments: object) -> MethodRef:
        now = await real(*arguments)  # type: ignore[arg-type]
        during.append(await note(bench, await read(bench, P.JPMORGAN)))  # added, but the write has no event yet
        return now

    bench.providers[P.JPMORGAN].update = watched  # type: ignore[method-assign, assignment]
    await write(bench, first, Expiry(2038, 1))
    assert [one.is_outdated for one in during] == [True]
    await look(bench, P.JPMORGAN)
    assert await events_of(bench) == [(UPDATED, OURS, first)]


async def test_list_read_in_the_grace_period_is_ignored(bench: Bench) -> None:
    """It may be read before the write's own follow-up read, which alone knows what else the write changed."""
    await look(bench, P.CASELLE)
    bench.at["finished"] = lambda: bench.sandbox.fault("caselle", "status", method="GET", status=503)
    added = (await bench.add(P.CASELLE)).method
    assert added is not None
    await bench.writer.drain()  # the follow-up read has failed: nothing is recorded yet
    bench.sandbox.clear_faults()
    assert (await note(bench, await read(bench, P.CASELLE))).is_outdated
    assert (await look(bench, P.CASELLE)).added == (added.method_ref,)
    assert await events_of(bench) == [(ADDED, OURS, added.method_ref)]


async def test_failed_follow_up_read_is_covered_by_a_later_list(bench: Bench) -> None:
    await look(bench, P.CASELLE)
    added = (await bench.add(P.CASELLE)).method
    assert added is not None
    await settled(bench)
    bench.at["answered:delete"] = lambda: bench.sandbox.fault("caselle", "status", method="GET", status=503)
    gone = DeleteMethod(method_id=bench.ids.encode_address(added))
    assert (await bench.writer.run(gone, STAFF, soon())).problems == ()
    await settled(bench)
    bench.sandbox.clear_faults()
    for _ in range(2):
        await look(bench, P.CASELLE)
    assert await events_of(bench) == [(ADDED, OURS, added.method_ref), (DELETED, OURS, added.method_ref)]
