"""Payments with stored methods, and their states."""

from collections.abc import Mapping
from typing import Any, Final

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.outbox import Transaction
from app.store.payment_attempts import attempt_by_ref, attempts_of_payment
from app.store.records import NewPaymentRecord, PaymentRecord, PaymentState
from app.store.statements import Query, values_of
from app.store.text import is_storable, storable
from app.store.ulids import PAYMENT, new_id
from app.vault.enums import ProviderName

_CHANGEABLE: Final = ("state", "decline_code", "refunded", "refunds", "capture_id")
_CREATE: Final = Query(
    PaymentRecord,
    """
    INSERT INTO payments (
        tenant, id, customer_id, provider, customer_ref, method_ref, payment_ref, state, currency, amount, tax, fee,
        total, reference, quote, initiator, merchant_reason, created_at, updated_at
    ) VALUES (
        :tenant, :id, :customer_id, :provider, :customer_ref, :method_ref, :payment_ref, :state, :currency, :amount,
        :tax, :fee, :total, :reference, :quote, :initiator, :merchant_reason, :now, :now
    ) RETURNING {columns}
    """,
)
_BY_ID: Final = Query(PaymentRecord, "SELECT {columns} FROM payments WHERE tenant = :tenant AND id = :id")
_LOCKED: Final = Query(PaymentRecord, "SELECT {columns} FROM payments WHERE tenant = :tenant AND id = :id FOR UPDATE")
_BY_REF: Final = Query(
    PaymentRecord,
    """
    SELECT {columns} FROM payments WHERE tenant = :tenant AND id = COALESCE(
        (SELECT id FROM payments {at}), (SELECT payment_id FROM payment_attempts {at})
    )
    """,
    at="WHERE tenant = :tenant AND provider = :provider AND payment_ref = :payment_ref",
)
_OF_CUSTOMER: Final = Query(
    PaymentRecord,
    "SELECT {columns} FROM payments WHERE tenant = :tenant AND customer_id = :customer_id"
    " ORDER BY id DESC LIMIT :limit",
)
_IN_STATE: Final = Query(
    PaymentRecord,
    "SELECT {columns} FROM payments WHERE tenant = :tenant AND state = :state AND id > :after ORDER BY id LIMIT :limit",
)
_CHANGE: Final = Query(
    PaymentRecord,
    """
    UPDATE payments SET
        state = :state, decline_code = :decline_code, refunded = :refunded, refunds = :refunds,
        capture_id = :capture_id, updated_at = :now
    WHERE tenant = :tenant AND id = :id RETURNING {columns}
    """,
)


def create_payment(tx: Transaction, new: NewPaymentRecord) -> PaymentRecord:
    storable(new.customer_id, new.reference, new.payment_ref, new.payment_id)
    made = tx.one(_CREATE, **values_of(new), id=new.payment_id or new_id(PAYMENT), now=tx.now())
    assert made is not None
    return made


def find_payment(db: Connection, payment_id: str) -> PaymentRecord | None:
    return db.one(_BY_ID, id=payment_id) if is_storable(payment_id) else None


def payment_by_ref(db: Connection, provider: ProviderName, payment_ref: str) -> PaymentRecord | None:
    """By the vault's key of it, or of one of its attempts, as in webhook deliveries."""
    return db.one(_BY_REF, provider=provider, payment_ref=payment_ref) if is_storable(payment_ref) else None


def payments_of_customer(db: Connection, customer_id: str, *, limit: int = 100) -> list[PaymentRecord]:
    """Newest first."""
    return db.all(_OF_CUSTOMER, customer_id=customer_id, limit=limit)


def payments_in_state(db: Connection, state: PaymentState, *, after: str = "", limit: int = 100) -> list[PaymentRecord]:
    """One page, oldest first."""
    return db.all(_IN_STATE, state=state, after=after, limit=limit)


def lock_payment(tx: Transaction, payment_id: str) -> PaymentRecord | None:
    """The payment, locked until `tx` ends."""
    return tx.one(_LOCKED, id=payment_id) if is_storable(payment_id) else None


def change_payment(tx: Transaction, payment_id: str, values: Mapping[str, Any]) -> PaymentRecord:
    """Set any of state, decline_code, refunded, refunds and capture_id of a locked payment."""
    known = tx.one(_BY_ID, id=payment_id)
    assert known is not None
    after = {name: values.get(name, getattr(known, name)) for name in _CHANGEABLE}
    changed = tx.one(_CHANGE, **after | {"refunds": dict(after["refunds"])}, id=payment_id, now=tx.now())
    assert changed is not None
    return changed


class Payments(Repository):
    """Does not check transitions (`app.vault.rules.payment_state`): call `lock_payment`, check, `change_payment`, in
    one transaction."""

    create = WriteMethod(create_payment)
    payment = ReadMethod(find_payment)
    by_ref = ReadMethod(payment_by_ref)
    of_customer = ReadMethod(payments_of_customer)
    in_state = ReadMethod(payments_in_state)
    attempts = ReadMethod(attempts_of_payment)
    attempt_by_ref = ReadMethod(attempt_by_ref)
    locked = WriteMethod(lock_payment)
    change = WriteMethod(change_payment)
