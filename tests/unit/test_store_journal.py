"""The journal: one operation per idempotency key, fenced steps, and orphans adopted by exactly one process."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.store import Store
from app.store.records import (
    BegunBefore,
    BegunElsewhere,
    BegunNew,
    NewOperation,
    OperationRecord,
    OperationState,
    ResultPage,
    ResultRow,
    WriteOutcome,
)
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from tests.support.stores import HandClock, sql

PENDING, SUCCEEDED, PARTIAL, FAILED, UNKNOWN = OperationState
KEY = "3f0f5f34-9f5e-4c39-9c0a-6a4a4f8a9d11"


def asked(clock: HandClock, **changes: Any) -> NewOperation:
    fields: dict[str, Any] = {
        "caller": "partner:acme",
        "mutation": "addPaymentMethod",
        "input_digest": "d1",
        "owner_id": "owner-1",
        "deadline_at": clock() + timedelta(seconds=8),
        "idempotency_key": KEY,
        "customer_id": "cus_1",
        "provider": ProviderName.LOANPRO,
    }
    return NewOperation(**(fields | changes))


async def begun(store: Store, clock: HandClock, **changes: Any) -> OperationRecord:
    answer = await store.journal.begin(asked(clock, **changes))
    assert isinstance(answer, BegunNew)
    return answer.operation


async def sent(store: Store, clock: HandClock, **changes: Any) -> OperationRecord:
    operation = await begun(store, clock, **changes)
    prepared = await store.journal.prepare(operation, {"before": ["1"]}, deadline_at=clock() + timedelta(seconds=8))
    assert prepared is not None
    return prepared


async def failed(store: Store, operation: OperationRecord, *, is_final: bool = False) -> OperationRecord:
    marked = await store.journal.mark(operation, FAILED, outcome=WriteOutcome.NOT_APPLIED, is_final=is_final)
    assert marked is not None
    return marked


async def test_a_key_begins_one_operation(store: Store, clock: HandClock) -> None:
    first = await begun(store, clock, intent={"last4": "1111"}, request_id="r1")
    assert first == OperationRecord(
        id=first.id,
        caller="partner:acme",
        mutation="addPaymentMethod",
        input_digest="d1",
        customer_id="cus_1",
        provider=ProviderName.LOANPRO,
        exclusive=None,
        state=PENDING,
        outcome=None,
        is_final=False,
        epoch=1,
        owner_id="owner-1",
        deadline_at=clock() + timedelta(seconds=8),
        sent_at=None,
        reconcile_at=None,
        looks=0,
        intent={"last4": "1111"},
        result={},
        request_id="r1",
        created_at=clock(),
        finished_at=None,
    )
    assert await store.journal.operation(first.id) == first
    assert await store.journal.by_key("partner:acme", "addPaymentMethod", KEY) == first
    again = await store.journal.begin(asked(clock, input_digest="d2", owner_id="owner-2"))
    assert again == BegunBefore(first)


@pytest.mark.parametrize(
    "other", [{"caller": "partner:b"}, {"mutation": "deletePaymentMethod"}, {"idempotency_key": "k2"}]
)
async def test_keys_are_scoped_to_caller_and_mutation(store: Store, clock: HandClock, other: dict[str, str]) -> None:
    first = await begun(store, clock)
    second = await begun(store, clock, **other)
    assert second.id > first.id


async def test_without_a_key_every_operation_is_new(store: Store, clock: HandClock) -> None:
    first = await begun(store, clock, idempotency_key=None)
    second = await begun(store, clock, idempotency_key=None)
    assert [record.id for record in await store.journal.of_customer("cus_1")] == [second.id, first.id]


async def test_concurrent_begins_with_one_key_have_one_winner(store_url: str, store: Store, clock: HandClock) -> None:
    other = Store.open(store_url, clock=clock)
    try:
        answers = await asyncio.gather(
            *((store, other)[number % 2].journal.begin(asked(clock, owner_id=f"o{number}")) for number in range(20))
        )
    finally:
        await other.close()
    fresh = [answer.operation for answer in answers if isinstance(answer, BegunNew)]
    assert len(fresh) == 1
    assert [answer for answer in answers if not isinstance(answer, BegunNew)] == [BegunBefore(fresh[0])] * 19


async def test_the_key_itself_is_not_stored(store_url: str, store: Store, clock: HandClock) -> None:
    await begun(store, clock, idempotency_key="a-key-with-4111111111111111")
    with sql(store_url) as conn:
        row = conn.execute(text("SELECT * FROM operations")).one()
    assert "4111" not in str(row)


async def test_a_write_goes_from_begin_through_prepare_to_mark(store: Store, clock: HandClock) -> None:
    operation = await begun(store, clock)
    deadline = clock.advance(seconds=1) + timedelta(seconds=5)
    prepared = await store.journal.prepare(operation, {"before": ["1", "2"]}, deadline_at=deadline)
    assert prepared is not None
    assert (prepared.intent, prepared.sent_at, prepared.deadline_at) == ({"before": ["1", "2"]}, clock(), deadline)
    clock.advance(seconds=1)
    done = await store.journal.mark(
        prepared, SUCCEEDED, outcome=WriteOutcome.APPLIED, result={"method_ref": "3"}, customer_id="cus_2"
    )
    assert done is not None
    assert (done.state, done.outcome, done.is_final, done.finished_at) == (
        SUCCEEDED,
        WriteOutcome.APPLIED,
        True,
        clock(),
    )
    assert (done.result, done.intent, done.customer_id) == ({"method_ref": "3"}, {"before": ["1", "2"]}, "cus_2")
    assert await store.journal.operation(operation.id) == done


@pytest.mark.parametrize("end", [SUCCEEDED, PARTIAL, FAILED])
async def test_a_finished_operation_does_not_change(store: Store, clock: HandClock, end: OperationState) -> None:
    operation = await sent(store, clock)
    ended = await store.journal.mark(operation, end)
    assert ended is not None
    assert await store.journal.mark(ended, UNKNOWN) is None
    assert await store.journal.prepare(ended, {}, deadline_at=clock()) is None
    assert await store.journal.operation(operation.id) == ended


async def test_a_fenced_owner_cannot_change_the_operation(store: Store, clock: HandClock) -> None:
    operation = await begun(store, clock)
    adopted = await store.journal.adopt(operation, "owner-2", look_again_at=clock())
    assert adopted is not None
    assert (adopted.owner_id, adopted.epoch, adopted.looks, adopted.state) == ("owner-2", 2, 1, PENDING)
    assert await store.journal.prepare(operation, {}, deadline_at=clock()) is None
    assert await store.journal.mark(operation, SUCCEEDED) is None
    assert await store.journal.adopt(operation, "owner-3", look_again_at=clock()) is None
    assert await store.journal.mark(adopted, FAILED, is_final=False) is not None


async def test_concurrent_adoptions_of_an_orphan_have_one_winner(store: Store, clock: HandClock) -> None:
    operation = await sent(store, clock)
    takers = (store.journal.adopt(operation, f"o{number}", look_again_at=clock()) for number in range(10))
    got = [answer for answer in await asyncio.gather(*takers) if answer is not None]
    assert [answer.epoch for answer in got] == [2]


async def test_an_operation_proven_not_applied_reopens_under_the_same_id(store: Store, clock: HandClock) -> None:
    operation = await failed(store, await sent(store, clock))
    assert operation.is_repeatable
    deadline = clock.advance(minutes=1) + timedelta(seconds=8)
    answers = await asyncio.gather(
        *(store.journal.reopen(operation, owner_id=f"o{number}", deadline_at=deadline) for number in range(6))
    )
    fresh = [answer.operation for answer in answers if isinstance(answer, BegunNew)]
    assert len(fresh) == 1
    assert answers.count(None) == 5
    assert (fresh[0].id, fresh[0].state, fresh[0].epoch, fresh[0].sent_at) == (operation.id, PENDING, 2, None)
    assert (fresh[0].intent, fresh[0].deadline_at, fresh[0].finished_at) == ({}, deadline, None)


async def test_final_and_running_operations_do_not_reopen(store: Store, clock: HandClock) -> None:
    running = await sent(store, clock, idempotency_key=None)
    refused = await failed(store, await sent(store, clock), is_final=True)
    for operation in (running, refused):
        assert await store.journal.reopen(operation, owner_id="o", deadline_at=clock()) is None


async def test_an_exclusive_is_held_across_keys_until_it_fails(store: Store, clock: HandClock) -> None:
    capture = {"exclusive": "capture:pay_1"}
    first = await sent(store, clock, **capture)
    assert await store.journal.begin(asked(clock, idempotency_key="k2", **capture)) == BegunElsewhere(first)
    unsure = await store.journal.mark(first, UNKNOWN, outcome=WriteOutcome.UNKNOWN)
    assert unsure is not None
    assert await store.journal.begin(asked(clock, idempotency_key="k2", **capture)) == BegunElsewhere(unsure)
    assert await store.journal.begin(asked(clock, **capture)) == BegunBefore(unsure)
    gone = await failed(store, unsure)
    assert gone.exclusive is None
    second = await begun(store, clock, idempotency_key="k2", **capture)
    again = await store.journal.reopen(gone, owner_id="o", deadline_at=clock(), exclusive="capture:pay_1")
    assert again == BegunElsewhere(second)
    assert await store.journal.operation(gone.id) == gone
    assert await store.journal.mark(second, SUCCEEDED) is not None
    third = await store.journal.begin(asked(clock, idempotency_key="k3", **capture))
    assert isinstance(third, BegunElsewhere)


async def test_many_captures_of_one_payment_are_one(store: Store, clock: HandClock) -> None:
    answers = await asyncio.gather(
        *(store.journal.begin(asked(clock, idempotency_key=f"k{n}", exclusive="capture:pay_1")) for n in range(12))
    )
    fresh = [answer for answer in answers if isinstance(answer, BegunNew)]
    taken = [answer for answer in answers if isinstance(answer, BegunElsewhere)]
    assert (len(fresh), len(taken)) == (1, 11)


async def test_unreconciled_operations_have_an_unknown_effect(store: Store, clock: HandClock) -> None:
    async def waits_for() -> list[str]:
        return [record.id for record in await store.journal.unreconciled("cus_1", [ProviderName.LOANPRO])]

    await begun(store, clock, idempotency_key="nothing sent")
    await sent(store, clock, idempotency_key="other vault", provider=ProviderName.ALOHA)
    await sent(store, clock, idempotency_key="other customer", customer_id="cus_2")
    assert await waits_for() == []
    operation = await sent(store, clock)
    assert await waits_for() == [operation.id]
    assert await store.journal.unreconciled("cus_1", [ProviderName.LOANPRO], besides=operation.id) == []
    unsure = await store.journal.mark(operation, UNKNOWN, reconcile_at=clock() + timedelta(seconds=9))
    assert unsure is not None
    assert await waits_for() == [operation.id]
    assert await store.journal.due() == []
    clock.advance(seconds=9)
    assert [record.id for record in await store.journal.due()] == [operation.id]
    adopted = await store.journal.adopt(unsure, "o", look_again_at=clock() + timedelta(minutes=1))
    assert adopted is not None
    assert await store.journal.due() == []
    for_a_person = await store.journal.mark(adopted, UNKNOWN)
    assert for_a_person is not None
    assert await waits_for() == []
    assert await store.journal.in_state(UNKNOWN) == [for_a_person]


async def test_an_operation_over_several_vaults_is_unreconciled_at_open_ones(store: Store, clock: HandClock) -> None:
    rows = tuple(
        ResultRow(row=place, provider=provider, state=state, outcome=WriteOutcome.UNKNOWN)
        for place, (provider, state) in enumerate([(ProviderName.LOANPRO, SUCCEEDED), (ProviderName.CASELLE, PENDING)])
    )
    operation = await sent(store, clock, provider=None, rows=rows)
    assert await store.journal.unreconciled("cus_1", [ProviderName.LOANPRO]) == []
    assert await store.journal.unreconciled("cus_1", [ProviderName.CASELLE]) == [operation]
    assert await store.journal.unreconciled("cus_1", [ProviderName.ALOHA]) == []


async def test_orphans_are_pending_operations_of_dead_processes(store: Store, clock: HandClock) -> None:
    async def orphans(**known: Any) -> set[str]:
        return {record.owner_id for record in await store.journal.orphans(**known)}

    for owner in ("alive", "stopped", "silent"):
        await store.worker_leases.register(owner, host="h", pid=1)
        await sent(store, clock, idempotency_key=owner, owner_id=owner)
    await sent(store, clock, idempotency_key="never", owner_id="never registered")
    done = await sent(store, clock, idempotency_key="done", owner_id="never registered 2")
    await store.journal.mark(done, SUCCEEDED)
    assert await orphans() == {"never registered"}
    await store.worker_leases.stop("stopped")
    assert await orphans() == {"never registered", "stopped"}
    clock.advance(seconds=16)
    assert await store.worker_leases.beat("alive")
    assert not await store.worker_leases.beat("stopped")
    assert not await store.worker_leases.beat("never registered")
    assert await orphans() == {"never registered", "stopped", "silent"}
    assert await orphans(dead=["alive"]) == {"never registered", "stopped", "silent", "alive"}
    assert await orphans(lease=timedelta(minutes=1)) == {"never registered", "stopped"}
    assert len(await store.journal.orphans(limit=1)) == 1


async def test_owners_are_deleted_once_they_have_no_open_operations(store: Store, clock: HandClock) -> None:
    old = await store.worker_leases.register("old", host="h", pid=1)
    busy = await store.worker_leases.register("busy", host="h", pid=2)
    await begun(store, clock, owner_id="busy")
    new = await store.worker_leases.register("new", host="h", pid=clock.advance(days=2).day)
    assert await store.worker_leases.all() == [busy, old, new]
    assert await store.worker_leases.forget(clock() - timedelta(days=1)) == 1
    assert await store.worker_leases.all() == [busy, new]


async def test_rows_are_replaced_and_paged(store: Store, clock: HandClock) -> None:
    def row(number: int, state: OperationState = PENDING, **more: Any) -> ResultRow:
        outcome = WriteOutcome.UNKNOWN
        return ResultRow(row=number, provider=ProviderName.CASELLE, state=state, outcome=outcome, **more)

    operation = await begun(store, clock, rows=tuple(row(number) for number in range(5)))
    better = row(1, SUCCEEDED, customer_ref=CustomerRef("c"), method_ref=MethodRef("m"))
    worse = row(3, FAILED, error={"code": "DECLINED", "path": ["a"]})
    unsure = await store.journal.mark(operation, UNKNOWN, rows=[better])
    assert unsure is not None
    assert await store.journal.mark(unsure, PARTIAL, rows=[worse]) is not None
    page = await store.journal.results(operation.id, first=3)
    assert page == ResultPage((row(0), better, row(2)), has_next=True)
    assert await store.journal.results(operation.id, after=2, first=3) == ResultPage((worse, row(4)), has_next=False)
    assert await store.journal.results("op_nothing") == ResultPage((), has_next=False)


async def test_a_fenced_owner_cannot_write_rows(store: Store, clock: HandClock) -> None:
    operation = await begun(store, clock)
    await store.journal.adopt(operation, "o", look_again_at=clock())
    row = ResultRow(row=0, provider=ProviderName.CASELLE, state=SUCCEEDED, outcome=WriteOutcome.APPLIED)
    assert await store.journal.mark(operation, SUCCEEDED, rows=[row]) is None
    assert await store.journal.results(operation.id) == ResultPage((), has_next=False)


async def test_keys_expire_but_nothing_unresolved_or_exclusive_is_lost(store: Store, clock: HandClock) -> None:
    row = ResultRow(row=0, provider=ProviderName.CASELLE, state=SUCCEEDED, outcome=WriteOutcome.APPLIED)
    done = await store.journal.mark(await sent(store, clock), SUCCEEDED, rows=[row])
    unsure = await store.journal.mark(await sent(store, clock, idempotency_key="unsure"), UNKNOWN)
    captured = await store.journal.mark(
        await sent(store, clock, idempotency_key="capture", exclusive="capture:pay_1"), SUCCEEDED
    )
    assert None not in (done, unsure, captured)
    clock.advance(days=31)
    recent = await failed(store, await sent(store, clock, idempotency_key="recent"))
    assert await store.journal.expire(clock() - timedelta(days=30)) == 1
    assert await store.journal.operation(done.id) is None
    assert await store.journal.results(done.id) == ResultPage((), has_next=False)
    assert await store.journal.begin(asked(clock, idempotency_key="unsure")) == BegunBefore(unsure)
    assert await store.journal.begin(asked(clock, idempotency_key="recent")) == BegunBefore(recent)
    late = await store.journal.begin(asked(clock, idempotency_key="capture", exclusive="capture:pay_1"))
    assert late == BegunElsewhere(captured)
    assert isinstance(await store.journal.begin(asked(clock)), BegunNew)


async def test_erasing_a_customer_clears_finished_operations(store: Store, clock: HandClock) -> None:
    person = {"intent": {"holder": "digest", "last4": "1111"}}
    done = await failed(store, await begun(store, clock, **person))
    other = await failed(store, await begun(store, clock, idempotency_key="o", customer_id="cus_2", **person))
    running = await begun(store, clock, idempotency_key="running", **person)
    await store.journal.forget("cus_1")
    found = [await store.journal.operation(each.id) for each in (done, other, running)]
    assert [each.intent if each else None for each in found] == [{}, person["intent"], person["intent"]]


async def test_tenants_are_isolated(store_url: str, store: Store, clock: HandClock) -> None:
    mine = await sent(store, clock, exclusive="capture:pay_1")
    other = Store.open(store_url, tenant="acme", clock=clock)
    try:
        theirs = await begun(other, clock, exclusive="capture:pay_1")
        assert theirs.id != mine.id
        assert await other.journal.operation(mine.id) is None
        assert await other.journal.unreconciled("cus_1", [ProviderName.LOANPRO]) == []
        assert [record.id for record in await other.journal.orphans()] == [theirs.id]
        assert await other.journal.mark(mine, FAILED) is None
    finally:
        await other.close()


async def test_datetimes_are_aware_and_naive_ones_are_refused(store: Store, clock: HandClock) -> None:
    operation = await begun(store, clock)
    assert operation.created_at.utcoffset() == timedelta(0)
    with pytest.raises(Exception, match="time zone"):
        await begun(store, clock, idempotency_key="naive", deadline_at=datetime(2026, 1, 1))
