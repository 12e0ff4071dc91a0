"""Applies payment status updates from capture answers, webhooks, operators and reconciliation.

No vault call reads a payment, so only these reports decide a capture whose answer was lost.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from app.errors import VaultError
from app.store import Store, Transaction
from app.store.events import append_event
from app.store.journal import mark_operation
from app.store.journal_reads import find_operation
from app.store.payment_attempts import (
    attempt_by_ref,
    attempts_of_payment,
    change_attempt,
    drop_attempts,
    switch_payment,
)
from app.store.payments import change_payment, lock_payment
from app.store.records import (
    DeliveryRecord,
    EventOrigin,
    EventType,
    NewEvent,
    OperationState,
    PaymentRecord,
    PaymentState,
    ResultRow,
    WriteOutcome,
)
from app.vault.enums import PaymentMethodKind, ProviderName
from app.vault.payments import Amounts, NewPayment, PaymentRef, Quote
from app.vault.rules.payment_amounts import differences
from app.vault.rules.payment_state import has_ended_unpaid, has_moved_money, may_follow
from app.wallet.changes.webhook_worker import Handler, Settle
from app.wallet.commands import WriteResult
from app.wallet.problems import ProblemCode, WriteProblem
from app.wallet.writes.refusals import outcome_unknown
from app.wallet.writes.stored_result import Json, problem_row, to_json

_NO_AMOUNTS: Final = Amounts()
_log = logging.getLogger("vaultgraph.payments")
_S = PaymentState
_ANSWERS: Final = (_S.PROCESSING, _S.AUTHORIZED, _S.CAPTURED)
"""States of a capture that is successful so far: the reported amounts must equal the quote."""
_UNKNOWN: Final = (
    "It is unknown whether the money was taken, and the vault has no call to look it up. Its webhook or an operator "
    "(`vaultgraph payments resolve`) will decide; then this request returns the outcome. Until then, do not pay again."
)
_SILENT: Final = (_S.QUOTED, _S.PROCESSING, _S.UNKNOWN)
"""States that only describe the progress of a capture: no events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A refunded amount in minor units: `total` so far, or `part` of the refund that `report` describes."""

    report: str
    total: int | None = None
    part: int | None = None

    @property
    def has_amount(self) -> bool:
        """True if the vault reported an amount."""
        return self.total is not None or self.part is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusUpdate:
    """A report about a payment. `answered` are the amounts in the report; `payment_ref` is the vault's key in it, which
    may be of an earlier attempt."""

    state: PaymentState
    origin: EventOrigin
    actor: str | None = None
    request_id: str | None = None
    decline_code: str | None = None
    answered: Amounts = _NO_AMOUNTS
    refund: Refund | None = None
    payment_ref: str | None = None


@dataclass(frozen=True, slots=True)
class CaptureResult:
    """The outcome of a capture's operation, given its payment's state."""

    state: OperationState
    outcome: WriteOutcome
    problems: tuple[WriteProblem, ...] = ()


def exclusive_of(payment_id: str) -> str:
    """The exclusive resource of a capture in the journal: at most one operation holds it."""
    return f"capture:{payment_id}"


def quote_of(payment: PaymentRecord) -> Quote:
    """Exactly what was quoted: the vault compares every number."""
    new = NewPayment(
        method_ref=payment.method.method_ref,
        method_kind=PaymentMethodKind(payment.quote["kind"]),
        amount=payment.amount,
        tax=payment.tax or 0,
        currency=payment.currency,
        reference=payment.reference,
    )
    ref = PaymentRef(payment.payment_ref or "")
    return Quote(payment_ref=ref, payment=new, fee=payment.fee or 0, total=payment.total or 0)


def is_decided(payment: PaymentRecord) -> bool:
    return has_moved_money(payment.state) or has_ended_unpaid(payment.state)


def capture_result_of(payment: PaymentRecord) -> CaptureResult | None:
    """None while the payment's state does not decide its capture."""
    if has_moved_money(payment.state):
        return CaptureResult(OperationState.SUCCEEDED, WriteOutcome.APPLIED)
    if has_ended_unpaid(payment.state):
        return CaptureResult(OperationState.FAILED, WriteOutcome.NOT_APPLIED, (unpaid(payment),))
    if payment.state is PaymentState.UNKNOWN:
        return CaptureResult(OperationState.UNKNOWN, WriteOutcome.UNKNOWN, (capture_unknown(payment.method.provider),))
    return None


def capture_unknown(provider: ProviderName | None, error: VaultError | None = None) -> WriteProblem:
    return replace(outcome_unknown(provider, error), message=_UNKNOWN)


def unpaid(payment: PaymentRecord) -> WriteProblem:
    is_declined = payment.state is PaymentState.DECLINED
    message = "The payment was declined" if is_declined else "The vault rejected the capture"
    return WriteProblem(
        ProblemCode.DECLINED if is_declined else ProblemCode.PROVIDER_REJECTED,
        f"{message}; no money was taken. To pay, request a new quote.",
        ("payment_id",),
        provider=payment.method.provider,
        outcome=WriteOutcome.NOT_APPLIED,
        provider_code=payment.decline_code,
    )


def settle_payment(
    tx: Transaction,
    payment_id: str,
    update: StatusUpdate,
    *,
    by_its_capture: bool = False,
    has_attempts: bool = True,
) -> PaymentRecord | None:
    """Apply one report; returns the updated payment, or None if nothing changed.

    Appends an event. Unless the capture's own operation reports (`by_its_capture`), also appends an audit event and
    ends that operation. `has_attempts` is False for a payment that is known to have no backup methods.
    """
    payment = lock_payment(tx, payment_id)
    if payment is not None and not by_its_capture:
        payment = _decisive(tx, payment, update)
    if payment is None:
        return None
    state = update.state
    changes: Json = {}
    if update.refund is not None and update.refund.has_amount:
        changes = _refunded(payment, update.refund)
        if changes.get("refunded", payment.refunded or 0) < (payment.total or 0):
            state = PaymentState.CAPTURED  # only partly refunded
    found = differences(quote_of(payment), update.answered) if update.state in _ANSWERS else {}
    if found:
        _log.error("%s: the vault's amounts differ from the quote; an operator must decide", payment.id)
        append_event(tx, _audit(payment, update, payment.state, {"differences": dict(found)}))
        state = state if has_ended_unpaid(payment.state) else PaymentState.UNKNOWN
    if may_follow(payment.state, state):
        changes |= {"state": state.value, "decline_code": update.decline_code}
    if not changes:
        return None
    was, payment = payment.state, change_payment(tx, payment.id, changes)
    if has_attempts:
        payment = _follow(tx, payment)
    if payment.state not in _SILENT:
        append_event(tx, _event(payment, update))
    if not by_its_capture:
        append_event(tx, _audit(payment, update, was, {}))
        _end_capture(tx, payment)
    return payment


def _decisive(tx: Transaction, payment: PaymentRecord, update: StatusUpdate) -> PaymentRecord | None:
    """The payment as this report of one of its attempts finds it; None if the report decides nothing about it.

    An attempt that was declined stays so, unless money moved after all.
    """
    attempt = attempt_by_ref(tx, payment.id, update.payment_ref or payment.payment_ref)
    if attempt is None:
        return payment
    if has_ended_unpaid(attempt.state) and not has_moved_money(update.state):
        return None
    if attempt.payment_ref != payment.payment_ref:
        if not may_follow(attempt.state, update.state):
            return None
        _log.error("%s: money was taken for an attempt that had been declined", payment.id)
        change_attempt(tx, payment.id, attempt.payment_ref, update.state, update.decline_code)
        append_event(tx, _audit(payment, update, payment.state, {"attempt": attempt.number}))
        return switch_payment(tx, attempt, payment.state) if has_ended_unpaid(payment.state) else None
    if update.state is PaymentState.DECLINED and update.origin is EventOrigin.PROVIDER_WEBHOOK:
        capture = find_operation(tx, payment.capture_id) if payment.capture_id else None
        if capture is not None and capture.state is OperationState.PENDING:  # it decides whether another method follows
            change_attempt(tx, payment.id, attempt.payment_ref, update.state, update.decline_code)
            append_event(tx, _audit(payment, update, payment.state, {"attempt": attempt.number}))
            return None
    return payment


def _follow(tx: Transaction, payment: PaymentRecord) -> PaymentRecord:
    """The payment after a change of its state, which its attempt gets too. If it ended unpaid although an earlier
    attempt took the money, that attempt decides. Back at QUOTED, nothing was tried."""
    if payment.state is PaymentState.QUOTED:
        drop_attempts(tx, payment.id)
        return payment
    change_attempt(tx, payment.id, payment.payment_ref, payment.state, payment.decline_code)
    if not has_ended_unpaid(payment.state):
        return payment
    taken = next((one for one in attempts_of_payment(tx, payment.id) if has_moved_money(one.state)), None)
    return switch_payment(tx, taken, taken.state) if taken else payment


def _end_capture(tx: Transaction, payment: PaymentRecord) -> None:
    """End the operation of the capture with its payment's outcome; a running one ends itself."""
    capture = find_operation(tx, payment.capture_id) if payment.capture_id else None
    ending = capture_result_of(payment)
    if capture is None or ending is None or capture.state in (OperationState.PENDING, ending.state):
        return
    result = WriteResult(customer_id=payment.customer_id, payment_id=payment.id, problems=ending.problems)
    row = ResultRow(
        row=0,
        provider=payment.method.provider,
        state=ending.state,
        outcome=ending.outcome,
        method_ref=payment.method.method_ref,
        error=problem_row(ending.problems[0]) if ending.problems else None,
    )
    mark_operation(
        tx,
        capture,
        ending.state,
        outcome=ending.outcome,
        result=to_json(result),
        rows=(row,),
        expected=(capture.state,),
    )


def _refunded(payment: PaymentRecord, refund: Refund) -> Json:
    """The changes of a refund: amounts only grow, and a repeated report adds nothing."""
    refunds = dict(payment.refunds)
    if refund.total is None and refund.part is not None:
        refunds[refund.report] = refund.part
    refunded = max(payment.refunded or 0, refund.total or 0, sum(refunds.values()))
    if refunded == (payment.refunded or 0):
        return {}
    return {"refunded": refunded, "refunds": refunds}


def _event(payment: PaymentRecord, update: StatusUpdate) -> NewEvent:
    detail: Json = {"payment_id": payment.id, "state": payment.state.value}
    if payment.refunded is not None:
        detail["refunded"] = payment.refunded
    return NewEvent(
        type=EventType.PAYMENT_UPDATED,
        origin=update.origin,
        customer_id=payment.customer_id,
        provider=payment.method.provider,
        customer_ref=payment.method.customer_ref,
        method_ref=payment.method.method_ref,
        actor=update.actor,
        request_id=update.request_id,
        detail=detail,
    )


def _audit(payment: PaymentRecord, update: StatusUpdate, was: PaymentState, more: Mapping[str, Any]) -> NewEvent:
    return replace(
        _event(payment, update),
        type=EventType.MUTATION,
        outcome=payment.state.value,
        detail={"payment": payment.id, "was": was.value, "reported": update.state.value, **more},
    )


def payment_status_handler(store: Store, provider: ProviderName, state: PaymentState) -> Handler:
    """For a vault's deliveries that report this state; unknown payments are ignored."""

    async def handler(receipt: DeliveryRecord, settle: Settle) -> None:
        payment_ref = str(receipt.body.get("payment_uid", ""))
        payment = await store.payments.by_ref(provider, payment_ref)
        update = StatusUpdate(
            state=state,
            origin=EventOrigin.PROVIDER_WEBHOOK,
            payment_ref=payment_ref,
            answered=Amounts(**receipt.body.get("amounts", {})),
            refund=_refund_of(receipt) if state is PaymentState.REFUNDED else None,
        )

        def apply(tx: Transaction) -> None:
            if payment is not None:
                settle_payment(tx, payment.id, update)
            settle(tx)

        await store.transaction(apply)

    return handler


def _refund_of(receipt: DeliveryRecord) -> Refund:
    return Refund(report=receipt.delivery_id, **receipt.body.get("refund", {}))
