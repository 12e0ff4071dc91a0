"""Payments with stored methods, and their states."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Row, select, update

from app.store.database import Database, Tx
from app.store.records import MethodAddress, NewPaymentRecord, PaymentRecord, PaymentState
from app.store.tables import payments
from app.store.text import is_storable, storable
from app.store.ulids import PAYMENT, new_id
from app.vault.enums import CustomerRef, MethodRef, ProviderName


class Payments:
    """Does not check transitions (`app.vault.rules.payment_state`): call `locked`, check, `change`, in one `tx`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def create(self, new: NewPaymentRecord, *, tx: Tx | None = None) -> PaymentRecord:
        storable(new.customer_id, new.reference, new.payment_ref, new.payment_id)
        now = self._db.now()
        row = {
            "tenant": self._db.tenant,
            "id": new.payment_id or new_id(PAYMENT),
            "customer_id": new.customer_id,
            "provider": new.method.provider.value,
            "customer_ref": new.method.customer_ref,
            "method_ref": new.method.method_ref,
            "payment_ref": new.payment_ref,
            "state": new.state.value,
            "currency": new.currency,
            "amount": new.amount,
            "tax": new.tax,
            "fee": new.fee,
            "total": new.total,
            "reference": new.reference,
            "quote": dict(new.quote),
            "created_at": now,
            "updated_at": now,
        }
        async with self._db.writing(tx) as own:
            made = await own.conn.execute(self._db.insert(payments).values(row).returning(*payments.c))
            return _record(made.one())

    async def payment(self, payment_id: str, *, tx: Tx | None = None) -> PaymentRecord | None:
        return await self._one(payments.c.id == payment_id, payment_id, tx)

    async def by_ref(self, provider: ProviderName, payment_ref: str) -> PaymentRecord | None:
        """By the vault's key, as in webhook deliveries."""
        is_it = (payments.c.provider == provider.value) & (payments.c.payment_ref == payment_ref)
        return await self._one(is_it, payment_ref, None)

    async def of_customer(self, customer_id: str, *, limit: int = 100) -> list[PaymentRecord]:
        """Newest first."""
        query = select(payments).where(payments.c.tenant == self._db.tenant, payments.c.customer_id == customer_id)
        async with self._db.reading() as conn:
            rows = await conn.execute(query.order_by(payments.c.id.desc()).limit(limit))
            return [_record(row) for row in rows]

    async def in_state(self, state: PaymentState, *, after: str = "", limit: int = 100) -> list[PaymentRecord]:
        """One page, oldest first."""
        query = select(payments).where(
            payments.c.tenant == self._db.tenant, payments.c.state == state.value, payments.c.id > after
        )
        async with self._db.reading() as conn:
            return [_record(row) for row in await conn.execute(query.order_by(payments.c.id).limit(limit))]

    async def locked(self, payment_id: str, *, tx: Tx) -> PaymentRecord | None:
        """The payment, locked until `tx` ends."""
        return await self._one(payments.c.id == payment_id, payment_id, tx, is_locked=True)

    async def change(self, payment_id: str, values: Mapping[str, Any], *, tx: Tx) -> PaymentRecord:
        """Set any of state, decline_code, refunded, refunds and capture_id of a `locked` payment."""
        statement = (
            update(payments)
            .where(payments.c.tenant == self._db.tenant, payments.c.id == payment_id)
            .values({**values, "updated_at": self._db.now()})
            .returning(*payments.c)
        )
        return _record((await tx.conn.execute(statement)).one())

    async def _one(
        self, condition: ColumnElement[bool], value: str, tx: Tx | None, *, is_locked: bool = False
    ) -> PaymentRecord | None:
        if not is_storable(value):
            return None
        query = select(payments).where(payments.c.tenant == self._db.tenant, condition)
        async with self._db.reading(tx) as conn:
            row = (await conn.execute(query.with_for_update() if is_locked else query)).first()
        return None if row is None else _record(row)


def _record(row: Row[Any]) -> PaymentRecord:
    return PaymentRecord(
        id=row.id,
        customer_id=row.customer_id,
        method=MethodAddress(ProviderName(row.provider), CustomerRef(row.customer_ref), MethodRef(row.method_ref)),
        payment_ref=row.payment_ref,
        state=PaymentState(row.state),
        currency=row.currency,
        amount=row.amount,
        tax=row.tax,
        fee=row.fee,
        total=row.total,
        reference=row.reference,
        decline_code=row.decline_code,
        refunded=row.refunded,
        refunds=row.refunds or {},
        capture_id=row.capture_id,
        quote=row.quote,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
