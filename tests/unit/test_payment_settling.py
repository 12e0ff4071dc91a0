"""Reports of a payment applied to the store: events, audit rows and the capture's operation change with them."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection

from app.store import Store, migrate, migrating
from app.store.records import (
    BegunNew,
    EventOrigin,
    EventType,
    MethodAddress,
    NewOperation,
    NewPaymentRecord,
    OperationRecord,
    OperationState,
    PaymentRecord,
    PaymentState,
    WriteOutcome,
)
from app.vault.enums import CustomerRef, LinkProof, MethodRef, ProviderName
from app.vault.payments import Amounts
from app.wallet.writes.payment_status import Refund, StatusUpdate, exclusive_of, settle_payment
from tests.support.stores import HandClock, sql

S = PaymentState
WEBHOOK = EventOrigin.PROVIDER_WEBHOOK
Report = Callable[..., Awaitable[PaymentRecord | None]]


@pytest.fixture
async def payment(store: Store) -> PaymentRecord:
    customer = await store.directory.create(external_id="user-1", first_name="Ann", email="ann@example.com")
    ref = CustomerRef("C1")
    await store.directory.link(customer.id, ProviderName.CASELLE, ref, proof=LinkProof.TRUSTED_BACKEND, linked_by="ann")
    return await store.payments.create(
        NewPaymentRecord(
            customer_id=customer.id,
            method=MethodAddress(ProviderName.CASELLE, ref, MethodRef("spm_1")),
            state=S.QUOTED,
            currency="USD",
            amount=10_000,
            tax=0,
            fee=99,
            total=10_099,
            reference="invoice 7",
            payment_ref="pay_1",
            quote={"kind": "CARD"},
        )
    )


@pytest.fixture
def report(store: Store, payment: PaymentRecord) -> Report:
    async def settle(state: PaymentState, **more: Any) -> PaymentRecord | None:
        return await store.transaction(settle_payment, payment.id, StatusUpdate(state=state, origin=WEBHOOK, **more))

    return settle


async def details_of(store: Store, kind: EventType) -> list[dict[str, Any]]:
    return [dict(event.detail) for event in await store.events.after(None) if event.type is kind]


async def captured(
    store: Store, clock: HandClock, payment: PaymentRecord, state: OperationState, stands: PaymentState
) -> OperationRecord:
    """An operation that sent the payment's capture, and is in this state; so is the payment."""
    new = NewOperation(
        caller="staff:ann",
        mutation="capturePayment",
        input_digest="d1",
        owner_id="o",
        deadline_at=clock(),
        customer_id=payment.customer_id,
        provider=ProviderName.CASELLE,
        exclusive=exclusive_of(payment.id),
    )
    begun = await store.journal.begin(new)
    assert isinstance(begun, BegunNew)
    sent = await store.journal.prepare(begun.operation, {}, deadline_at=clock())
    assert sent is not None
    if state is not OperationState.PENDING:
        sent = await store.journal.mark(sent, state)
        assert sent is not None
    await store.payments.change(payment.id, {"state": stands.value, "capture_id": sent.id})
    return sent


async def test_a_change_is_an_event_and_an_audit_row_and_a_repeat_is_neither(
    store: Store, payment: PaymentRecord, report: Report
) -> None:
    for _ in range(3):
        await report(S.DECLINED, decline_code="51")
    moved = await report(S.CAPTURED)
    assert moved is not None
    assert (moved.state, moved.decline_code) == (S.CAPTURED, None)
    assert await report(S.DECLINED) is None
    assert await details_of(store, EventType.PAYMENT_UPDATED) == [
        {"payment_id": payment.id, "state": "DECLINED"},
        {"payment_id": payment.id, "state": "CAPTURED"},
    ]
    assert await details_of(store, EventType.MUTATION) == [
        {"payment": payment.id, "was": "QUOTED", "reported": "DECLINED"},
        {"payment": payment.id, "was": "DECLINED", "reported": "CAPTURED"},
    ]


@pytest.mark.parametrize(
    ("before", "stands", "reported", "after", "outcome", "codes"),
    [
        (OperationState.UNKNOWN, S.UNKNOWN, S.CAPTURED, OperationState.SUCCEEDED, WriteOutcome.APPLIED, []),
        (OperationState.UNKNOWN, S.UNKNOWN, S.DISPUTED, OperationState.SUCCEEDED, WriteOutcome.APPLIED, []),
        (
            OperationState.UNKNOWN,
            S.UNKNOWN,
            S.DECLINED,
            OperationState.FAILED,
            WriteOutcome.NOT_APPLIED,
            ["DECLINED"],
        ),
        (
            OperationState.SUCCEEDED,
            S.PROCESSING,
            S.DECLINED,
            OperationState.FAILED,
            WriteOutcome.NOT_APPLIED,
            ["DECLINED"],
        ),
        (OperationState.FAILED, S.DECLINED, S.CAPTURED, OperationState.SUCCEEDED, WriteOutcome.APPLIED, []),
        (OperationState.FAILED, S.CANCELED, S.CAPTURED, OperationState.SUCCEEDED, WriteOutcome.APPLIED, []),
    ],
)
async def test_the_capture_ends_as_its_payment(
    store: Store,
    clock: HandClock,
    payment: PaymentRecord,
    report: Report,
    before: OperationState,
    stands: PaymentState,
    reported: PaymentState,
    after: OperationState,
    outcome: WriteOutcome,
    codes: list[str],
) -> None:
    capture = await captured(store, clock, payment, before, stands)
    await report(reported)
    ended = await store.journal.operation(capture.id)
    assert ended is not None
    assert (ended.state, ended.outcome, ended.is_final) == (after, outcome, True)
    assert [problem["code"] for problem in ended.result.get("problems", [])] == codes
    assert ended.result["payment_id"] == payment.id


async def test_a_capture_that_is_running_ends_by_itself(
    store: Store, clock: HandClock, payment: PaymentRecord, report: Report
) -> None:
    capture = await captured(store, clock, payment, OperationState.PENDING, S.PROCESSING)
    await report(S.CAPTURED)
    assert await store.journal.operation(capture.id) == capture


async def test_refunds_add_up_whatever_is_repeated(store: Store, payment: PaymentRecord, report: Report) -> None:
    await report(S.CAPTURED)
    for refund, state, refunded in (
        (Refund(report="evt_1", part=4_000), S.CAPTURED, 4_000),
        (Refund(report="evt_1", part=4_000), S.CAPTURED, 4_000),
        (Refund(report="evt_2", part=99), S.CAPTURED, 4_099),
        (Refund(report="evt_3", total=4_099), S.CAPTURED, 4_099),
        (Refund(report="evt_4", total=0), S.CAPTURED, 4_099),
        (Refund(report="evt_5", total=10_099), S.REFUNDED, 10_099),
        (Refund(report="evt_2", part=99), S.REFUNDED, 10_099),
    ):
        await report(S.REFUNDED, refund=refund)
        current = await store.payments.payment(payment.id)
        assert current is not None
        assert (current.state, current.refunded) == (state, refunded)
    assert [event.get("refunded") for event in await details_of(store, EventType.PAYMENT_UPDATED)] == [
        None,
        4_000,
        4_099,
        10_099,
    ]


async def test_a_refund_without_an_amount(store: Store, payment: PaymentRecord, report: Report) -> None:
    refunded = await report(S.REFUNDED, refund=Refund(report="evt_1"))
    assert refunded is not None
    assert (refunded.state, refunded.refunded) == (S.REFUNDED, None)


async def test_a_part_of_a_disputed_payment_is_given_back(store: Store, payment: PaymentRecord, report: Report) -> None:
    await report(S.DISPUTED)
    refunded = await report(S.REFUNDED, refund=Refund(report="evt_1", total=100))
    assert refunded is not None
    assert (refunded.state, refunded.refunded) == (S.DISPUTED, 100)


@pytest.mark.parametrize(
    ("stands", "after"),
    [(S.QUOTED, S.UNKNOWN), (S.UNKNOWN, S.UNKNOWN), (S.CAPTURED, S.CAPTURED), (S.DECLINED, S.CAPTURED)],
)
async def test_other_amounts_are_for_a_person_and_both_are_kept(
    store: Store, payment: PaymentRecord, report: Report, stands: PaymentState, after: PaymentState
) -> None:
    await store.payments.change(payment.id, {"state": stands.value})
    await report(S.CAPTURED, answered=Amounts(total=999_999, currency="USD"))
    current = await store.payments.payment(payment.id)
    assert current is not None
    assert current.state is after
    rows = await details_of(store, EventType.MUTATION)
    assert rows[0] == {
        "payment": payment.id,
        "was": stands.value,
        "reported": "CAPTURED",
        "differences": {"total": [10_099, 999_999]},
    }


async def test_a_capture_that_went_well_so_far_is_unknown_with_its_payment(
    store: Store, clock: HandClock, payment: PaymentRecord, report: Report
) -> None:
    capture = await captured(store, clock, payment, OperationState.SUCCEEDED, S.PROCESSING)
    await report(S.CAPTURED, answered=Amounts(total=999_999))
    current = await store.journal.operation(capture.id)
    assert current is not None
    assert (current.state, current.reconcile_at, current.exclusive) == (
        OperationState.UNKNOWN,
        None,
        exclusive_of(payment.id),
    )
    assert [problem["code"] for problem in current.result["problems"]] == ["OUTCOME_UNKNOWN"]


async def test_an_operator_agrees_to_what_the_amounts_leave_open(
    store: Store, payment: PaymentRecord, report: Report
) -> None:
    await report(S.CAPTURED, answered=Amounts(total=999_999))
    operator = StatusUpdate(state=S.CAPTURED, origin=EventOrigin.GATEWAY, actor="operator")
    resolved = await store.transaction(settle_payment, payment.id, operator)
    assert resolved is not None
    assert resolved.state is S.CAPTURED
    (event,) = [one for one in await store.events.after(None) if one.type is EventType.PAYMENT_UPDATED]
    assert (event.actor, event.origin) == ("operator", EventOrigin.GATEWAY)


async def test_captures_from_before_the_migration_are_found(
    store_url: str, store: Store, clock: HandClock, payment: PaymentRecord
) -> None:
    """That a capture was sent stood in the journal alone then."""

    def downgrade(connection: Connection) -> None:
        config = migrating._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")

    capture = await captured(store, clock, payment, OperationState.UNKNOWN, S.QUOTED)
    with sql(store_url) as connection:
        downgrade(connection)
    await migrate(store.engine)
    found = await store.payments.payment(payment.id)
    assert found is not None
    assert (found.state, found.capture_id, found.refunded) == (S.UNKNOWN, capture.id, None)


async def test_an_unknown_payment_changes_nothing(store: Store) -> None:
    update = StatusUpdate(state=S.CAPTURED, origin=WEBHOOK)
    assert await store.transaction(settle_payment, "pay_none", update) is None
    assert await store.events.after(None) == []
