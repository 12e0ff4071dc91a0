"""Payments by stored methods: quoted, captured, and what became of them."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Row, select, update

from app.store.database import Database, Tx
from app.store.records import MethodAddress, NewPayment, PaymentRecord, PaymentState
from app.store.tables import payments
from app.store.text import is_storable, storable
from app.store.ulids import PAYMENT, new_id
from app.vault.names import CustomerRef, MethodRef, ProviderName


class Payments:
    """That a payment is captured once is the journal's to see to (`NewOperation.exclusive`)."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def create(self, new: NewPayment, *, tx: Tx | None = None) -> PaymentRecord:
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
        """By the vault's own key: what a notification names."""
        is_it = (payments.c.provider == provider.value) & (payments.c.payment_ref == payment_ref)
        return await self._one(is_it, payment_ref, None)

    async def of_customer(self, customer_id: str, *, limit: int = 100) -> list[PaymentRecord]:
        """The newest first."""
        query = select(payments).where(payments.c.tenant == self._db.tenant, payments.c.customer_id == customer_id)
        async with self._db.reading() as conn:
            rows = await conn.execute(query.order_by(payments.c.id.desc()).limit(limit))
            return [_record(row) for row in rows]

    async def change(
        self,
        payment_id: str,
        state: PaymentState,
        *,
        expected: Collection[PaymentState],
        values: Mapping[str, Any] | None = None,
        tx: Tx | None = None,
    ) -> PaymentRecord | None:
        """Move to `state` from one of `expected`, else None; `values` may set payment_ref, tax, fee, total,
        decline_code and quote."""
        statement = (
            update(payments)
            .where(
                payments.c.tenant == self._db.tenant,
                payments.c.id == payment_id,
                payments.c.state.in_([each.value for each in expected]),
            )
            .values({**(values or {}), "state": state.value, "updated_at": self._db.now()})
            .returning(*payments.c)
        )
        async with self._db.writing(tx) as own:
            row = (await own.conn.execute(statement)).first()
        return None if row is None else _record(row)

    async def _one(self, condition: ColumnElement[bool], value: str, tx: Tx | None) -> PaymentRecord | None:
        if not is_storable(value):
            return None
        async with self._db.reading(tx) as conn:
            query = select(payments).where(payments.c.tenant == self._db.tenant, condition)
            row = (await conn.execute(query)).first()
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
        quote=row.quote,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
