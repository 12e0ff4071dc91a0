"""Backup methods of a payment: crashes, replicas and reports in any order never take the money twice."""

import asyncio
import random
import threading
from collections.abc import Sequence
from typing import Any, Final

import pytest

from app.sandbox.demo import ALEX
from app.store import Store
from app.store.records import EventOrigin, OperationState, PaymentAttempt, PaymentRecord, PaymentState
from app.vault.enums import ProviderName
from app.vault.rules.payment_state import has_moved_money
from app.wallet.commands import CapturePayment, MostTotal, QuotePayment, WriteResult
from app.wallet.writes.payment_status import StatusUpdate, settle_payment
from app.wallet.writes.reconcile import Reconciler
from tests.support.calls import soon
from tests.support.sandbox import RunningSandbox
from tests.support.writing import STAFF, AheadClock, Bench, Died, bench_on, dead, new_key, open_store

S = PaymentState
P = ProviderName
CAPTURES: Final = "/api/payments/"
DECLINED: Final = {"kind": "rewrite", "status": 402, "body": {"code": "payment_declined"}}
ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "declined": DECLINED,
    "captured": {"kind": "rewrite", "set": {"/status": "completed"}},
    "pending": {"kind": "rewrite", "status": 202, "set": {"/status": "pending"}},
    "lost": {"kind": "drop_after"},
    "unreadable": {"kind": "rewrite", "body": "<html>"},
}
POINTS: Final = (
    "begun", "prepared:capture", "answered:capture", "prepared:quote:2", "answered:quote:2", "prepared:capture:2",
    "answered:capture:2", "prepared:quote:3", "answered:quote:3", "prepared:capture:3", "answered:capture:3",
    "finishing", "finished",
)  # fmt: skip


async def quoted(bench: Bench) -> CapturePayment:
    """A payment with two backup methods, not captured yet."""
    third = await bench.add(P.CASELLE)
    assert third.method is not None
    card, bank = [one.method_ref for one in (await bench.wallet(P.CASELLE)).values() if one.status.value == "ACTIVE"][
        :2
    ]
    command = QuotePayment(
        customer_id=ALEX.id,
        idempotency_key=new_key(),
        amount=12_345,
        currency="USD",
        reference="inv-1",
        method_id=bench.id(P.CASELLE, card),
    )
    result = await bench.writer.run(command, STAFF, soon())
    assert result.problems == ()
    bench.sandbox.clear_calls()
    backups = (bank, third.method.method_ref)
    return CapturePayment(
        payment_id=str(result.payment_id),
        idempotency_key=new_key(),
        fallback=tuple(bench.id(P.CASELLE, one) for one in backups),
        max_total=MostTotal(20_000, "USD"),
    )


def answer(sandbox: RunningSandbox, *answers: str) -> None:
    """What the vault answers to the next captures, in order."""
    for one in answers:
        sandbox.fault("caselle", method="POST", path=CAPTURES, times=1, **ANSWERS[one])


def sent(sandbox: RunningSandbox) -> list[str]:
    """The vault's keys of the payments for which a capture arrived."""
    found = [call["path"] for call in sandbox.calls("caselle") if call["path"].endswith("/capture")]
    assert len(found) == len(set(found)), "a capture was sent twice"
    return [path.split("/")[-2] for path in found]


async def stands(store: Store, payment_id: str) -> tuple[PaymentRecord, list[PaymentAttempt]]:
    payment = await store.payments.payment(payment_id)
    assert payment is not None
    return payment, await store.payments.attempts(payment_id)


async def run(bench: Bench, command: CapturePayment) -> WriteResult:
    return await bench.writer.run(command, STAFF, soon())


@pytest.mark.parametrize("point", POINTS)
async def test_a_process_that_dies_is_continued_by_another(
    sandbox: RunningSandbox, sqlite_url: str, point: str
) -> None:
    store = open_store(sqlite_url)
    async with bench_on(sandbox, store) as first:
        command = await quoted(first)
        answer(sandbox, "declined", "declined")
        first.die_at = point
        await dead(run(first, command))
        first.clock.advance(minutes=1)
    before = sent(sandbox)
    async with bench_on(sandbox, store) as second:
        await Reconciler(second.writer).sweep()
        result = await run(second, command)
        payment, attempts = await stands(store, command.payment_id)
        assert result.operation is not None
        # Only a capture that may have been sent without a journalled answer cannot be continued.
        is_lost = ":capture" in point or point == "finishing"
        wanted = (S.UNKNOWN, OperationState.UNKNOWN) if is_lost else (S.CAPTURED, OperationState.SUCCEEDED)
        assert (payment.state, result.operation.state) == wanted
        assert len(sent(sandbox)) == (len(before) if is_lost else 3)
        assert [one.state for one in attempts] == [*[S.DECLINED] * (len(attempts) - 1), payment.state]
        assert (attempts[-1].method, attempts[-1].payment_ref) == (payment.method, payment.payment_ref)
        again = await run(second, command)
        assert again.operation is not None
        assert (again.operation.id, again.operation.state) == (result.operation.id, result.operation.state)
        assert len(sent(sandbox)) == (len(before) if is_lost else 3)
    await store.close()


async def test_two_replicas_with_the_same_and_with_other_keys(sandbox: RunningSandbox, postgres_url: str) -> None:
    clock = AheadClock()
    store, other = open_store(postgres_url, clock), open_store(postgres_url, clock)
    async with bench_on(sandbox, store) as one, bench_on(sandbox, other) as two:
        for answers in (["declined"], ["declined", "declined"], ["lost"], ["declined", "lost"]):
            command = await quoted(one)
            answer(sandbox, *answers)
            keys = [command.idempotency_key, command.idempotency_key, new_key(), new_key()]
            asked = [
                CapturePayment(
                    payment_id=command.payment_id,
                    idempotency_key=key,
                    fallback=command.fallback,
                    max_total=command.max_total,
                )
                for key in keys
            ]
            await asyncio.gather(*(run(bench, each) for bench in (one, two) for each in asked))
            assert len(sent(sandbox)) == (len(answers) if "lost" in answers else len(answers) + 1)
            sandbox.clear_faults()
    await store.close()
    await other.close()


def report(url: str, payment_id: str, ref: str | None, state: PaymentState) -> None:
    """A webhook that another process gets, processed while the caller waits."""

    async def arrive() -> None:
        store = open_store(url)
        update = StatusUpdate(state=state, origin=EventOrigin.PROVIDER_WEBHOOK, payment_ref=ref)
        await store.transaction(settle_payment, payment_id, update)
        await store.close()

    elsewhere = threading.Thread(target=lambda: asyncio.run(arrive()))
    elsewhere.start()
    elsewhere.join()


@pytest.mark.parametrize("state", [S.DECLINED, S.CAPTURED, S.RETURNED])
@pytest.mark.parametrize("point", ["answered:capture", "prepared:quote:2", "answered:quote:2", "answered:capture:2"])
async def test_a_report_about_the_first_attempt_in_between(
    bench: Bench, sqlite_url: str, point: str, state: PaymentState
) -> None:
    command = await quoted(bench)
    payment, _ = await stands(bench.store, command.payment_id)
    answer(bench.sandbox, "declined")
    bench.at = {point: lambda: report(sqlite_url, command.payment_id, payment.payment_ref, state)}
    result = await run(bench, command)
    bench.at = {}
    payment, attempts = await stands(bench.store, command.payment_id)
    assert result.problems == ()
    if state is S.DECLINED:
        assert (payment.state, [one.state for one in attempts]) == (S.CAPTURED, [S.DECLINED, S.CAPTURED])
        assert len(sent(bench.sandbox)) == 2
    elif point == "answered:capture:2":  # too late: the other capture was on its way
        assert [one.state for one in attempts] == [state, S.CAPTURED]
    else:
        assert (payment.state, payment.payment_ref) == (state, attempts[0].payment_ref)
        assert len(sent(bench.sandbox)) == 1


@pytest.mark.parametrize("point", ["answered:capture", "answered:quote:2"])
@pytest.mark.parametrize("minutes", [1, 180])
async def test_a_backup_method_is_not_charged_long_after_the_attempt_before(
    sandbox: RunningSandbox, sqlite_url: str, minutes: int, point: str
) -> None:
    """The process has died; its operation is resumed soon or late, with the decline that a webhook has reported."""
    store = open_store(sqlite_url)
    async with bench_on(sandbox, store) as first:
        command = await quoted(first)
        payment, _ = await stands(store, command.payment_id)
        answer(sandbox, "declined")
        first.die_at = point
        await dead(run(first, command))
        report(sqlite_url, command.payment_id, payment.payment_ref, S.DECLINED)
        first.clock.advance(minutes=minutes)
    async with bench_on(sandbox, store) as second:
        await Reconciler(second.writer).sweep()
        result = await run(second, command)
        payment, attempts = await stands(store, command.payment_id)
        if minutes == 1:
            assert (payment.state, [one.state for one in attempts]) == (S.CAPTURED, [S.DECLINED, S.CAPTURED])
            assert len(sent(sandbox)) == 2
        else:
            assert (payment.state, [one.state for one in attempts]) == (S.DECLINED, [S.DECLINED])
            assert len(sent(sandbox)) == 1
            assert [one.code.value for one in result.problems] == ["DECLINED"]
            assert [(one.code.value, one.path) for one in result.warnings] == [("PROVIDER_TIMEOUT", ("fallback", "0"))]
            assert (await run(second, command)).problems == result.problems
    await store.close()


async def test_an_attempt_that_took_the_money_after_all_decides_a_declined_payment(bench: Bench) -> None:
    command = await quoted(bench)
    answer(bench.sandbox, "declined", "declined", "declined")
    result = await run(bench, command)
    assert [one.code.value for one in result.problems] == ["DECLINED"]
    _, attempts = await stands(bench.store, command.payment_id)
    update = StatusUpdate(state=S.CAPTURED, origin=EventOrigin.PROVIDER_WEBHOOK, payment_ref=attempts[1].payment_ref)
    await bench.store.transaction(settle_payment, command.payment_id, update)
    payment, attempts = await stands(bench.store, command.payment_id)
    assert (payment.state, payment.method) == (S.CAPTURED, attempts[1].method)
    assert [one.state for one in attempts] == [S.DECLINED, S.CAPTURED, S.DECLINED]
    again = await run(bench, command)
    assert (again.problems, len(sent(bench.sandbox))) == ((), 3)


@pytest.mark.parametrize("seed", range(4))
async def test_any_sequence_takes_the_money_at_most_once(sandbox: RunningSandbox, sqlite_url: str, seed: int) -> None:
    """Random answers, deaths, repeats and reports that tell the truth."""
    chosen, store = random.Random(seed), open_store(sqlite_url)
    for _ in range(6):
        answers = [chosen.choices(list(ANSWERS), (6, 1, 1, 1, 1))[0] for _ in range(3)]
        async with bench_on(sandbox, store) as first:
            command = await quoted(first)
            answer(sandbox, *answers)
            first.die_at = chosen.choice([None, *POINTS])
            try:
                await run(first, command)
            except Died:
                first.clock.advance(minutes=1)
        first.clock.advance(minutes=1)
        async with bench_on(sandbox, store) as second:
            for step in chosen.choices(["sweep", "same key", "other key", "report"], k=6):
                await act(second, step, command, answers, chosen)
        check(answers, sent(sandbox), *await stands(store, command.payment_id))
        sandbox.clear_faults()
    await store.close()


async def act(bench: Bench, step: str, command: CapturePayment, answers: Sequence[str], chosen: random.Random) -> None:
    if step == "sweep":
        await Reconciler(bench.writer).sweep()
    elif step == "same key":
        await run(bench, command)
    elif step == "other key":
        await run(bench, CapturePayment(payment_id=command.payment_id, idempotency_key=new_key()))
    elif arrived := sent(bench.sandbox):
        place = chosen.randrange(len(arrived))
        state = S.DECLINED if answers[place] == "declined" else S.CAPTURED
        update = StatusUpdate(state=state, origin=EventOrigin.PROVIDER_WEBHOOK, payment_ref=arrived[place])
        await bench.store.transaction(settle_payment, command.payment_id, update)


def check(
    answers: Sequence[str], arrived: Sequence[str], payment: PaymentRecord, attempts: Sequence[PaymentAttempt]
) -> None:
    """Every capture but the last was declined, and the payment says nothing that the vault has not done."""
    assert all(one == "declined" for one in answers[: max(len(arrived) - 1, 0)]), answers
    has_paid = bool(arrived) and answers[len(arrived) - 1] != "declined"
    assert has_paid or not has_moved_money(payment.state), answers
    if has_paid:
        assert payment.state in (S.CAPTURED, S.PROCESSING, S.UNKNOWN), answers
    assert [one.payment_ref for one in attempts if one.payment_ref][: len(arrived)] == list(arrived)
