"""Backup methods of a payment: the next one is tried only after a final decline of the one before.

The payment's row has the columns of the attempt that was sent last. Between two attempts it stays PROCESSING, and that
attempt is DECLINED.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from app.store import Connection, Transaction
from app.store.events import append_event
from app.store.payment_attempts import add_attempt, attempts_of_payment, change_attempt, switch_payment
from app.store.payments import lock_payment
from app.store.records import (
    EventType,
    MethodAddress,
    NewEvent,
    PaymentAttempt,
    PaymentRecord,
    PaymentState,
)
from app.vault.enums import PaymentMethodKind
from app.vault.model import BankAccount, PaymentMethod
from app.vault.payments import NewPayment, PaymentRef, Quote
from app.vault.rules.payment_state import has_moved_money
from app.wallet.commands import MostTotal
from app.wallet.problems import ProblemCode, WriteProblem, invalid
from app.wallet.writes.intents import BackupMethods, BackupQuoteFacts, CaptureFacts, CapturePaymentIntent
from app.wallet.writes.run import WriteRun

FALLBACK: Final = "fallback"
NOTE: Final = "backup"
_CAPTURE: Final = "capture"
_NEXT_WITHIN: Final = timedelta(minutes=5)
CaptureRun = WriteRun[CapturePaymentIntent]


class NoLongerOpen(Exception):
    """The payment is no longer in the state in which this capture may be sent: nothing is sent."""


def capture_step(number: int) -> str:
    """The step of an attempt; they are counted from 1."""
    return _CAPTURE if number == 1 else f"{_CAPTURE}:{number}"


def quote_step(number: int) -> str:
    return f"quote:{number}"


def kind_of(method: PaymentMethod) -> PaymentMethodKind:
    return PaymentMethodKind.BANK_ACCOUNT if isinstance(method, BankAccount) else PaymentMethodKind.CARD


# ---- checks, before anything is sent ------------------------------------------------------------------------


def problems_of_backup(
    payment: PaymentRecord, fallback: tuple[MethodAddress, ...], most: MostTotal | None
) -> Iterator[WriteProblem]:
    for place, address in enumerate(fallback):
        if address == payment.method:
            yield invalid("This is the method that the quote is for.", FALLBACK, str(place))
        elif address in fallback[:place]:
            yield invalid("This method is named twice.", FALLBACK, str(place))
    if most is not None and most.currency != payment.currency:
        yield invalid("The payment is in another currency.", "max_total", "currency")


def most_of(payment: PaymentRecord, most: MostTotal | None) -> int:
    """What a backup method may be charged at most: without a limit of the caller, as much as was quoted."""
    return (payment.total or 0) if most is None else most.total


# ---- attempts ------------------------------------------------------------------------------------------------


def new_payment(run: CaptureRun, number: int, payment: PaymentRecord) -> NewPayment:
    """What the quote of an attempt after the first asks for: the payment's amounts, with the backup method."""
    note = run.progress.notes[NOTE]
    assert isinstance(note, BackupMethods)
    return NewPayment(
        method_ref=run.intent.fallback[number - 2].method_ref,
        method_kind=note.kinds[number - 2],
        amount=payment.amount,
        tax=payment.tax or 0,
        currency=payment.currency,
        reference=payment.reference,
    )


def backup_quote(facts: BackupQuoteFacts, new: NewPayment) -> Quote:
    return Quote(
        payment_ref=PaymentRef(facts.payment_ref or ""), payment=new, fee=facts.fee or 0, total=facts.total or 0
    )


def first_attempt(tx: Connection, payment: PaymentRecord) -> PaymentAttempt:
    return PaymentAttempt(
        payment_id=payment.id,
        number=1,
        method=payment.method,
        kind=PaymentMethodKind(payment.quote["kind"]),
        payment_ref=payment.payment_ref,
        fee=payment.fee,
        total=payment.total,
        state=PaymentState.PROCESSING,
        decline_code=None,
        updated_at=tx.now(),
    )


def _later_attempt(tx: Connection, run: CaptureRun, number: int, state: PaymentState) -> PaymentAttempt:
    note, facts = run.progress.notes[NOTE], run.progress.done[quote_step(number)]
    assert isinstance(note, BackupMethods)
    assert isinstance(facts, BackupQuoteFacts)
    return PaymentAttempt(
        payment_id=run.intent.payment_id,
        number=number,
        method=run.intent.fallback[number - 2],
        kind=note.kinds[number - 2],
        payment_ref=None if facts.is_refused else facts.payment_ref,
        fee=facts.fee,
        total=facts.total,
        state=state,
        decline_code=facts.decline_code,
        updated_at=tx.now(),
    )


def last_decline(run: CaptureRun, before: int | None = None) -> CaptureFacts | None:
    """The result of the last capture, of those before attempt `before`, if it was declined; None while one of them may
    be on its way."""
    last = len(run.intent.fallback) + 1 if before is None else before - 1
    steps = [capture_step(number) for number in range(last, 0, -1)]
    if any(step in run.progress.doing for step in steps):
        return None
    facts = next((found for step in steps if (found := run.progress.done.get(step)) is not None), None)
    return facts if isinstance(facts, CaptureFacts) and facts.state is PaymentState.DECLINED else None


def record_decline(tx: Transaction, run: CaptureRun, number: int) -> None:
    """The attempt that was sent last is DECLINED, and attempt `number` may follow. Raises NoLongerOpen if anything
    reported something else meanwhile."""
    payment = lock_payment(tx, run.intent.payment_id)
    declined = last_decline(run, number)
    if (
        payment is None
        or declined is None
        or payment.state is not PaymentState.PROCESSING
        or payment.capture_id != run.operation.id
        or any(has_moved_money(one.state) for one in attempts_of_payment(tx, payment.id))
    ):
        raise NoLongerOpen
    change_attempt(tx, payment.id, payment.payment_ref, PaymentState.DECLINED, declined.decline_code)
    record_unsent(tx, run)


def problem_of_late_attempt(run: CaptureRun, number: int, now: datetime) -> WriteProblem | None:
    """Why this attempt must not begin long after the request before it: the caller expects none any more, and the
    customer may have paid otherwise. None for an attempt that was begun."""
    step, sent_at = capture_step(number), run.operation.sent_at
    if step in run.progress.doing or step in run.progress.done or sent_at is None or now - sent_at <= _NEXT_WITHIN:
        return None
    message = "The decline before was known too late to charge a backup method. None was charged."
    return WriteProblem(ProblemCode.PROVIDER_TIMEOUT, message, (FALLBACK, str(number - 2)))


def record_unsent(tx: Transaction, run: CaptureRun) -> None:
    """The backup methods that were passed over are CANCELED attempts."""
    for number in range(2, len(run.intent.fallback) + 2):
        facts = run.progress.done.get(quote_step(number))
        if isinstance(facts, BackupQuoteFacts) and facts.is_refused:
            add_attempt(tx, _later_attempt(tx, run, number, PaymentState.CANCELED))


def start_attempt(tx: Transaction, run: CaptureRun, number: int) -> None:
    """The payment gets the backup method and its quote: from here on its capture may have been sent."""
    record_decline(tx, run, number)
    attempt = _later_attempt(tx, run, number, PaymentState.PROCESSING)
    add_attempt(tx, attempt)
    payment = switch_payment(tx, attempt, PaymentState.PROCESSING)
    append_event(
        tx,
        run.attributed(
            NewEvent(
                type=EventType.PAYMENT_UPDATED,
                provider=payment.method.provider,
                customer_ref=payment.method.customer_ref,
                method_ref=payment.method.method_ref,
                detail={"payment_id": payment.id, "state": payment.state.value, "attempt": number},
            )
        ),
    )
