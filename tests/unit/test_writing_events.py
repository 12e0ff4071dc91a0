"""Events of writes: one per change, with their author, and none again when the vault's list differs."""

import pytest

from app.sandbox.demo import ALEX
from app.store.records import EventOrigin, EventRecord, EventType
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.vault.model import Expiry
from app.wallet.changes.detector import ChangeDetector
from app.wallet.commands import DeleteMethod, SetDefault, UpdateMethod
from app.wallet.writes.deps import fresh_wallet
from tests.support.calls import soon
from tests.support.writing import STAFF, Bench

P = ProviderName
T = EventType


async def look(bench: Bench, name: ProviderName) -> None:
    """Compare the vault's list with the last one, as reads and webhooks do."""
    wallet = await fresh_wallet(bench.providers[name], CustomerRef(ALEX.refs[name.value]), soon())
    await ChangeDetector(bench.store).compare(wallet, ALEX.id, EventOrigin.RECONCILIATION)


async def events_of(bench: Bench) -> list[EventRecord]:
    """Oldest first, without audit events."""
    page = await bench.store.events.of_customer(ALEX.id, first=100, types=set(T) - {T.MUTATION})
    return page.events[::-1]  # type: ignore[return-value]


@pytest.mark.parametrize("name", [P.LOANPRO, P.JPMORGAN])
async def test_each_change_gives_one_event(bench: Bench, name: ProviderName) -> None:
    await look(bench, name)
    added = (await bench.add(name)).method
    assert added is not None
    await look(bench, name)
    method_id = bench.ids.encode_address(added)
    change = UpdateMethod(method_id=method_id, nickname="New", expiry=Expiry(2038, 2) if name is P.JPMORGAN else None)
    assert (await bench.writer.run(change, STAFF, soon())).problems == ()
    await look(bench, name)
    chosen = SetDefault(customer_id=ALEX.id, method_id=method_id)
    assert (await bench.writer.run(chosen, STAFF, soon())).problems == ()
    gone = DeleteMethod(method_id=method_id)
    assert (await bench.writer.run(gone, STAFF, soon())).problems == ()
    await look(bench, name)
    found = [(one.type, one.origin, one.actor) for one in await events_of(bench) if one.method_ref == added.method_ref]
    gateway = EventOrigin.GATEWAY
    assert found == [
        (T.METHOD_ADDED, gateway, "staff:tests"),
        (T.METHOD_UPDATED, gateway, "staff:tests"),
        (T.DEFAULT_CHANGED, gateway, "staff:tests"),
        (T.METHOD_DELETED, gateway, "staff:tests"),
        (T.DEFAULT_CHANGED, gateway, "staff:tests"),
    ]


async def test_changes_outside_the_gateway_still_give_events(bench: Bench) -> None:
    await look(bench, P.CASELLE)
    added = (await bench.add(P.CASELLE)).method
    assert added is not None
    await look(bench, P.CASELLE)
    await bench.providers[P.CASELLE].delete(added.customer_ref, MethodRef(added.method_ref), soon())
    await look(bench, P.CASELLE)
    assert [(one.type, one.origin) for one in await events_of(bench) if one.method_ref == added.method_ref] == [
        (T.METHOD_ADDED, EventOrigin.GATEWAY),
        (T.METHOD_DELETED, EventOrigin.RECONCILIATION),
    ]


async def test_every_write_gives_one_audit_event(bench: Bench) -> None:
    done = await bench.add(P.ALOHA)
    await bench.writer.run(
        DeleteMethod(method_id=bench.ids.encode_address(done.method)),  # type: ignore[arg-type]
        STAFF,
        soon(),
    )
    rows = (await bench.store.events.of_customer(ALEX.id, types=[T.MUTATION])).events
    assert done.operation is not None
    assert [(row.outcome, row.actor, dict(row.detail)) for row in rows] == [
        (
            "SUCCEEDED",
            "staff:tests",
            {"mutation": "addPaymentMethod", "operation": done.operation.id, "codes": []},
        )
    ]


async def test_reads_during_a_write_are_not_recorded(bench: Bench) -> None:
    ref = CustomerRef(ALEX.refs["caselle"])
    seen: list[tuple[str, bool, bool]] = []
    bench.deps.reached = lambda point: seen.append(
        (point, bench.deps.owner.is_writing(P.CASELLE, ref), bench.deps.owner.is_writing(P.LOANPRO, ref))
    )
    await bench.add(P.CASELLE)
    assert seen == [
        ("begun", False, False),
        ("prepared:add", True, False),
        ("answered:add", True, False),
        ("finishing", True, False),
        ("finished", True, False),
    ]
    assert not bench.deps.owner.is_writing(P.CASELLE, ref)
