"""What is told of a payment from outside the capture itself: by its vault's notification, or by a person.

No call reads a payment, so this is the only way in which a capture whose answer was lost is ever decided.
"""

from dataclasses import replace
from typing import Final

from app.store import Store, Tx
from app.store.records import (
    EventOrigin,
    EventType,
    NewEvent,
    OperationState,
    PaymentRecord,
    PaymentState,
    ReceiptRecord,
    WriteOutcome,
)
from app.vault.names import ProviderName
from app.wallet.inbound import Handler, Settle

_OPEN: Final = (PaymentState.QUOTED, PaymentState.PROCESSING, PaymentState.AUTHORIZED, PaymentState.UNKNOWN)
_SHOWN: Final = {OperationState.PENDING: PaymentState.PROCESSING, OperationState.UNKNOWN: PaymentState.UNKNOWN}


def exclusive_of(payment_id: str) -> str:
    """What a capture holds in the journal, so that there is one at most."""
    return f"capture:{payment_id}"


def payment_event(payment: PaymentRecord, state: PaymentState, **more: object) -> NewEvent:
    """One event per payment and final state, whoever tells of it first."""
    event = NewEvent(
        type=EventType.PAYMENT_UPDATED,
        customer_id=payment.customer_id,
        provider=payment.method.provider,
        customer_ref=payment.method.customer_ref,
        method_ref=payment.method.method_ref,
        once=f"payment|{payment.id}|{state.value}",
        detail={"payment_id": payment.id, "state": state.value},
    )
    return replace(event, **more)  # type: ignore[arg-type]


async def as_it_stands(store: Store, payment_id: str) -> PaymentRecord | None:
    """The payment, with what its capture is at: begun, or sent without an answer."""
    payment = await store.payments.payment(payment_id)
    if payment is None or payment.state is not PaymentState.QUOTED:
        return payment
    capture = await store.journal.by_exclusive(exclusive_of(payment_id))
    state = _SHOWN.get(capture.state) if capture else None
    return replace(payment, state=state) if state is not None else payment


async def decide(
    store: Store, payment: PaymentRecord, state: PaymentState, *, origin: EventOrigin, actor: str | None, tx: Tx
) -> bool:
    """Say how the payment ended. False when it had ended before. Its capture, if one waits, is finished soon after."""
    if await store.payments.change(payment.id, state, expected=_OPEN, tx=tx) is None:
        return False
    await store.events.append(payment_event(payment, state, origin=origin, actor=actor), tx=tx)
    capture = await store.journal.by_exclusive(exclusive_of(payment.id), tx=tx)
    if capture is not None and capture.state is OperationState.UNKNOWN:
        await store.journal.mark(
            capture, OperationState.UNKNOWN, outcome=WriteOutcome.UNKNOWN, reconcile_at=store.now(), tx=tx
        )
    return True


def tells_of_payments(store: Store, provider: ProviderName, state: PaymentState) -> Handler:
    """For a vault's deliveries that a payment ended so; payments that are not ours are ignored."""

    async def handler(receipt: ReceiptRecord, settle: Settle) -> None:
        payment = await store.payments.by_ref(provider, str(receipt.body.get("payment_uid", "")))
        async with store.transaction() as tx:
            if payment is not None:
                await decide(store, payment, state, origin=EventOrigin.PROVIDER_WEBHOOK, actor=None, tx=tx)
            await settle(tx)

    return handler
