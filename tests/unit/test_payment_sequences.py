"""Captures, webhooks and operators in every order, over real HTTP: at most one capture, and no lost payment."""

import asyncio
import random
import threading
from collections.abc import Sequence
from itertools import product
from typing import Any, Final

import pytest

from app.sandbox.demo import ALEX
from app.store import Store
from app.store.records import EventOrigin, EventType, OperationState, PaymentRecord, PaymentState
from app.vault.enums import ProviderName
from app.vault.rules.payment_state import has_ended_unpaid, has_moved_money
from app.wallet.commands import CapturePayment, QuotePayment, WriteResult
from app.wallet.problems import ProblemCode
from app.wallet.writes.payment_status import Refund, StatusUpdate, settle_payment
from app.wallet.writes.reconcile import Reconciler
from tests.support.calls import soon
from tests.support.sandbox import RunningSandbox
from tests.support.writing import STAFF, Bench, bench_on, dead, new_key, open_store

S = PaymentState
CAPTURE_PATH: Final = "/api/payments/"
FAULTS: Final[dict[str, dict[str, Any] | None]] = {
    "captured": None,
    "pending": {"kind": "rewrite", "set": {"/status": "pending"}},
    "declined": {"kind": "rewrite", "status": 402, "body": {"code": "payment_declined"}},
    "lost": {"kind": "drop_after"},
    "unreadable": {"kind": "rewrite", "body": "<html>"},
    "other amounts": {"kind": "rewrite", "set": {"/total_amount": 999_999}},
}
"""What the vault answers to a capture; it has captured each time."""
REPORTS: Final[dict[str, StatusUpdate]] = {
    "completed": StatusUpdate(state=S.CAPTURED, origin=EventOrigin.PROVIDER_WEBHOOK),
    "failed": StatusUpdate(state=S.DECLINED, origin=EventOrigin.PROVIDER_WEBHOOK),
    "part refunded": StatusUpdate(
        state=S.REFUNDED, origin=EventOrigin.PROVIDER_WEBHOOK, refund=Refund(report="evt_1", part=1)
    ),
    "nsf": StatusUpdate(state=S.RETURNED, origin=EventOrigin.PROVIDER_WEBHOOK),
    "operator: completed": StatusUpdate(state=S.CAPTURED, origin=EventOrigin.GATEWAY, actor="operator"),
    "operator: failed": StatusUpdate(state=S.DECLINED, origin=EventOrigin.GATEWAY, actor="operator"),
}
STEPS: Final = (*FAULTS, *REPORTS)
SAYS_MOVED: Final = {"captured", "completed", "part refunded", "nsf", "operator: completed"}


async def quoted(bench: Bench) -> str:
    method = (await bench.first(ProviderName.CASELLE)).method_ref
    command = QuotePayment(
        customer_id=ALEX.id,
        idempotency_key=new_key(),
        amount=12_345,
        currency="USD",
        reference="inv-1",
        method_id=bench.id(ProviderName.CASELLE, method),
    )
    result = await bench.writer.run(command, STAFF, soon())
    assert result.problems == ()
    return str(result.payment_id)


async def capture(bench: Bench, payment_id: str, key: str | None = None) -> WriteResult:
    command = CapturePayment(payment_id=payment_id, idempotency_key=key or new_key())
    return await bench.writer.run(command, STAFF, soon())


async def stands(store: Store, payment_id: str) -> PaymentRecord:
    payment = await store.payments.payment(payment_id)
    assert payment is not None
    return payment


def fault(bench: Bench, answer: str) -> None:
    if FAULTS[answer] is not None:
        bench.sandbox.fault("caselle", method="POST", path=CAPTURE_PATH, times=1, **FAULTS[answer])  # type: ignore[arg-type]


async def report(store: Store, payment_id: str, name: str) -> None:
    await store.transaction(settle_payment, payment_id, REPORTS[name])


def sent(bench: Bench, payment: PaymentRecord) -> int:
    path = f"{CAPTURE_PATH}{payment.payment_ref}/capture"
    return len([call for call in bench.sandbox.calls("caselle") if call["path"] == path])


def agree(result: WriteResult, payment: PaymentRecord, steps: Any) -> None:
    """The reply to a capture has the payment's state."""
    codes = {problem.code for problem in result.problems}
    if has_moved_money(payment.state):
        assert codes == set(), steps
        assert result.operation is not None
        assert result.operation.state is OperationState.SUCCEEDED, steps
    elif has_ended_unpaid(payment.state):
        assert codes == {ProblemCode.DECLINED}, steps
    elif payment.state is S.UNKNOWN:
        assert codes == {ProblemCode.OUTCOME_UNKNOWN}, steps
    else:
        assert (payment.state, codes) == (S.PROCESSING, set()), steps


async def play(bench: Bench, steps: Sequence[str]) -> None:
    payment_id = await quoted(bench)
    bench.sandbox.clear_calls()
    was, is_claimed, has_moved = S.QUOTED, False, False
    for step in steps:
        is_first = was is S.QUOTED
        if step in FAULTS:
            if is_first:
                fault(bench, step)
            result = await capture(bench, payment_id)
            agree(result, await stands(bench.store, payment_id), steps)
            is_claimed = is_claimed or is_first
        else:
            await report(bench.store, payment_id, step)
        has_moved = has_moved or (step in SAYS_MOVED and (step in REPORTS or is_first))
        payment = await stands(bench.store, payment_id)
        assert has_moved_money(payment.state) is has_moved, steps
        assert payment.state is not S.QUOTED, steps
        if has_ended_unpaid(was):
            assert payment.state is was or has_moved_money(payment.state), steps
        was = payment.state
    agree(await capture(bench, payment_id), payment, steps)
    assert sent(bench, payment) == is_claimed, steps


async def test_every_two_steps(bench: Bench) -> None:
    for steps in product(STEPS, repeat=2):
        await play(bench, steps)


async def test_some_of_every_four_steps(bench: Bench) -> None:
    chosen = random.Random(14)  # the same ones every time
    for _ in range(40):
        await play(bench, chosen.choices(STEPS, k=4))


# ---- while the capture is on its way ----------------------------------------------------------------------


@pytest.mark.parametrize("answer", FAULTS)
@pytest.mark.parametrize("name", REPORTS)
async def test_a_report_that_comes_before_the_answer_is_kept(
    bench: Bench, sqlite_url: str, answer: str, name: str
) -> None:
    payment_id = await quoted(bench)
    bench.sandbox.clear_calls()

    async def arrive() -> None:
        other = open_store(sqlite_url)
        await report(other, payment_id, name)
        await other.close()

    def meanwhile() -> None:
        elsewhere = threading.Thread(target=lambda: asyncio.run(arrive()))
        elsewhere.start()
        elsewhere.join()

    bench.at = {"answered:capture": meanwhile, "lost:capture": meanwhile}
    fault(bench, answer)
    key = new_key()
    result = await capture(bench, payment_id, key)
    bench.at = {}
    payment = await stands(bench.store, payment_id)
    agree(result, payment, (answer, name))
    # An answer that contradicts a failure says that money moved, even where it names another amount.
    is_contradicted = answer == "other amounts" and name.endswith("failed")
    assert has_moved_money(payment.state) is (is_contradicted or bool({answer, name} & SAYS_MOVED))
    agree(await capture(bench, payment_id, key), payment, (answer, name))
    agree(await capture(bench, payment_id), payment, (answer, name))
    assert sent(bench, payment) == 1


@pytest.mark.parametrize("answer", FAULTS)
async def test_many_at_once_send_one(bench: Bench, answer: str) -> None:
    payment_id = await quoted(bench)
    bench.sandbox.clear_calls()
    fault(bench, answer)
    await asyncio.gather(*(capture(bench, payment_id) for _ in range(8)))
    assert sent(bench, await stands(bench.store, payment_id)) == 1


# ---- processes that end, and requests that never leave ----------------------------------------------------


@pytest.mark.parametrize(
    ("point", "captures", "state"),
    [
        ("begun", 0, S.QUOTED),
        ("prepared:capture", 0, S.UNKNOWN),
        ("answered:capture", 1, S.UNKNOWN),
        ("finishing", 1, S.UNKNOWN),
        ("finished", 1, S.CAPTURED),
    ],
)
async def test_a_process_that_dies_leaves_no_second_capture(
    sandbox: RunningSandbox, sqlite_url: str, point: str, captures: int, state: PaymentState
) -> None:
    store = open_store(sqlite_url)
    async with bench_on(sandbox, store) as first:
        payment_id = await quoted(first)
        sandbox.clear_calls()
        first.die_at = point
        await dead(capture(first, payment_id))
    async with bench_on(sandbox, store) as second:
        await Reconciler(second.writer).sweep()
        payment = await stands(store, payment_id)
        assert (payment.state, sent(second, payment)) == (state, captures)
        result = await capture(second, payment_id)
        payment = await stands(store, payment_id)
        agree(result, payment, point)
        assert sent(second, payment) == (1 if point == "begun" else captures)
    await store.close()


async def test_a_request_that_never_left_may_be_sent_again(sandbox: RunningSandbox, sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    async with bench_on(sandbox, store) as reachable:
        payment_id = await quoted(reachable)
    async with bench_on(sandbox, store, caselle={"base_url": "http://127.0.0.1:9"}) as unreachable:
        refused = await capture(unreachable, payment_id)
    assert [(one.code, one.retryable) for one in refused.problems] == [(ProblemCode.PROVIDER_UNAVAILABLE, True)]
    assert (await stands(store, payment_id)).state is S.QUOTED
    async with bench_on(sandbox, store) as again:
        agree(await capture(again, payment_id), await stands(store, payment_id), "again")
    assert (await stands(store, payment_id)).state is S.CAPTURED
    await store.close()


@pytest.mark.parametrize(("status", "code"), [(400, ProblemCode.PROVIDER_REJECTED), (403, ProblemCode.PROVIDER_AUTH)])
async def test_a_capture_that_the_vault_refused_is_not_sent_again(bench: Bench, status: int, code: ProblemCode) -> None:
    payment_id = await quoted(bench)
    bench.sandbox.clear_calls()
    body = {"code": "insufficient_scope" if status == 403 else "unknown_property", "status": status}
    bench.sandbox.fault("caselle", "rewrite", method="POST", path=CAPTURE_PATH, times=1, status=status, body=body)
    key = new_key()
    refused = await capture(bench, payment_id, key)
    assert [problem.code for problem in refused.problems] == [code]
    payment = await stands(bench.store, payment_id)
    assert payment.state is S.CANCELED
    assert [problem.code for problem in (await capture(bench, payment_id, key)).problems] == [code]
    assert [problem.code for problem in (await capture(bench, payment_id)).problems] == [ProblemCode.PROVIDER_REJECTED]
    assert sent(bench, payment) == 1
    await report(bench.store, payment_id, "completed")
    for again in (key, None):
        agree(await capture(bench, payment_id, again), await stands(bench.store, payment_id), again)


async def test_both_amounts_are_in_the_audit_row(bench: Bench) -> None:
    payment_id = await quoted(bench)
    fault(bench, "other amounts")
    result = await capture(bench, payment_id)
    assert result.operation is not None
    assert (result.operation.state, result.operation.reconcile_at) == (OperationState.UNKNOWN, None)
    (problem,) = result.problems
    assert "vaultgraph payments resolve" in problem.message
    rows = [event for event in await bench.store.events.after(None) if event.type is EventType.MUTATION]
    found = [row.detail["differences"] for row in rows if "differences" in row.detail]
    assert found == [{"total": [12_444, 999_999]}]
