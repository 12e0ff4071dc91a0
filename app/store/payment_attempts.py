"""The methods that were tried for a payment. Only payments with backup methods have rows; the payment's own row has the
columns of the attempt that decides it."""

from typing import Final

from app.store.connection import Connection
from app.store.outbox import Transaction
from app.store.records import PaymentAttempt, PaymentRecord, PaymentState
from app.store.statements import Query, Statement, values_of
from app.store.text import storable

_ADD: Final = Statement(
    """
    INSERT INTO payment_attempts (
        tenant, payment_id, number, provider, customer_ref, method_ref, kind, payment_ref, fee, total, state,
        decline_code, updated_at
    ) VALUES (
        :tenant, :payment_id, :number, :provider, :customer_ref, :method_ref, :kind, :payment_ref, :fee, :total, :state,
        :decline_code, :updated_at
    ) ON CONFLICT (tenant, payment_id, number) DO NOTHING
    """
)
_OF_PAYMENT: Final = Query(
    PaymentAttempt,
    "SELECT {columns} FROM payment_attempts WHERE tenant = :tenant AND payment_id = :payment_id ORDER BY number",
)
_OF_CUSTOMER: Final = Query(
    PaymentAttempt,
    "SELECT {columns} FROM payment_attempts WHERE tenant = :tenant AND payment_id IN"
    " (SELECT id FROM payments WHERE tenant = :tenant AND customer_id = :customer_id) ORDER BY payment_id, number",
)
_BY_REF: Final = Query(
    PaymentAttempt,
    "SELECT {columns} FROM payment_attempts"
    " WHERE tenant = :tenant AND payment_id = :payment_id AND payment_ref = :payment_ref",
)
_CHANGE: Final = Statement(
    """
    UPDATE payment_attempts SET state = :state, decline_code = :decline_code, updated_at = :now
    WHERE tenant = :tenant AND payment_id = :payment_id AND payment_ref = :payment_ref
    """
)
_DROP: Final = Statement("DELETE FROM payment_attempts WHERE tenant = :tenant AND payment_id = :payment_id")
_SWITCH: Final = Query(
    PaymentRecord,
    """
    UPDATE payments SET
        provider = :provider, customer_ref = :customer_ref, method_ref = :method_ref, payment_ref = :payment_ref,
        fee = :fee, total = :total, quote = :quote, state = :state, decline_code = NULL, updated_at = :now
    WHERE tenant = :tenant AND id = :payment_id RETURNING {columns}
    """,
)


def add_attempt(tx: Transaction, attempt: PaymentAttempt) -> None:
    """Nothing changes if the payment has an attempt of this number."""
    storable(attempt.payment_ref, attempt.method.method_ref, attempt.method.customer_ref)
    tx.execute(_ADD, **values_of(attempt))


def attempts_of_payment(db: Connection, payment_id: str) -> list[PaymentAttempt]:
    """In the order in which they were tried; empty for a payment without backup methods."""
    return db.all(_OF_PAYMENT, payment_id=payment_id)


def attempts_of_customer(db: Connection, customer_id: str) -> list[PaymentAttempt]:
    """Of all payments; in the order in which those of each were tried."""
    return db.all(_OF_CUSTOMER, customer_id=customer_id)


def attempt_by_ref(db: Connection, payment_id: str, payment_ref: str | None) -> PaymentAttempt | None:
    return db.one(_BY_REF, payment_id=payment_id, payment_ref=payment_ref) if payment_ref is not None else None


def change_attempt(
    tx: Transaction, payment_id: str, payment_ref: str | None, state: PaymentState, decline_code: str | None
) -> None:
    """The attempt with this key at its vault, if there is one."""
    tx.execute(
        _CHANGE,
        payment_id=payment_id,
        payment_ref=payment_ref,
        state=state.value,
        decline_code=decline_code,
        now=tx.now(),
    )


def drop_attempts(tx: Transaction, payment_id: str) -> None:
    tx.execute(_DROP, payment_id=payment_id)


def switch_payment(tx: Transaction, attempt: PaymentAttempt, state: PaymentState) -> PaymentRecord:
    """Show the attempt as the payment's method, quote and key at its vault."""
    values = values_of(attempt) | {"state": state.value, "quote": {"kind": attempt.kind.value}}
    switched = tx.one(_SWITCH, **values, now=tx.now())
    assert switched is not None
    return switched
