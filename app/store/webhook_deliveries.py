"""Webhook deliveries: stored before they are acknowledged, processed in order, dead-lettered on failure."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, Update, and_, delete, exists, or_, select, update

from app.store.database import Database, Tx
from app.store.prepared import Asked, Insert, prepared
from app.store.records import DeliveryRecord, DeliveryState, NewDelivery
from app.store.tables import receipts
from app.store.text import is_storable, storable
from app.store.ulids import new_id

RECEIPT: Final = "rcp_"


class WebhookDeliveries:
    """Workers claim deliveries with a lease; after its expiry another worker can claim them.

    Call `done` in the transaction that applies the effect, so that it is applied exactly once.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, new: NewDelivery) -> DeliveryRecord | None:
        """Store a delivery, due immediately; None for a duplicate of source, account and delivery id."""
        storable(new.source, new.account, new.delivery_id, new.event_type, new.lane)
        now = self._db.now()
        row = {
            "tenant": self._db.tenant,
            "id": new_id(RECEIPT),
            "source": new.source,
            "account": new.account,
            "delivery_id": new.delivery_id,
            "event_type": new.event_type,
            "lane": new.lane,
            "body": dict(new.body),
            "state": DeliveryState.RECEIVED.value,
            "attempts": 0,
            "received_at": now,
            "next_attempt_at": now,
        }
        async with self._db.writing() as tx:
            made = (await tx.conn.execute(_add(self._db.insert), row)).first()
        return None if made is None else _record(made)

    async def claim(self, worker: str, *, lease: timedelta, limit: int = 10) -> list[DeliveryRecord]:
        """Due deliveries, oldest first, one per lane: the next in a lane waits until this one is done or dead."""
        now = self._db.now()
        async with self._db.writing() as tx:
            ids = list((await tx.conn.execute(*_due(self._db.tenant, now, limit))).scalars())
            if not ids:
                return []
            rows = await tx.conn.execute(*_claim(self._db.tenant, ids, claimed_by=worker, claimed_until=now + lease))
            return sorted((_record(row) for row in rows), key=lambda record: record.id)

    async def done(self, receipt_id: str, worker: str, *, tx: Tx | None = None) -> bool:
        """False if the worker's claim was lost: then roll the transaction back."""
        values = {"state": DeliveryState.DONE.value, "done_at": self._db.now(), "next_attempt_at": None, "error": None}
        return await self._settle(receipt_id, worker, values, tx)

    async def retry(self, receipt_id: str, worker: str, *, at: datetime, error: str) -> bool:
        """Release it, due again at `at`; its lane waits. `error` is a short reason without values."""
        return await self._settle(receipt_id, worker, {"next_attempt_at": at, "error": error}, None)

    async def dead(self, receipt_id: str, worker: str, *, error: str) -> bool:
        """Dead-letter it; its lane continues."""
        values = {"state": DeliveryState.DEAD.value, "next_attempt_at": None, "error": error}
        return await self._settle(receipt_id, worker, values, None)

    async def release(self, workers: Collection[str]) -> int:
        """Release the claims of dead workers: due again immediately. Returns their number."""
        held = (
            receipts.c.tenant == self._db.tenant,
            receipts.c.state == DeliveryState.RECEIVED.value,
            receipts.c.claimed_by.in_(workers),
            receipts.c.claimed_until > self._db.now(),
        )
        async with self._db.writing() as tx:
            return (await tx.conn.execute(update(receipts).where(*held).values(claimed_until=None))).rowcount

    async def replay(self, receipt_id: str, *, tx: Tx | None = None) -> DeliveryRecord | None:
        """Make a dead or done delivery due again; None if it is neither."""
        values = {
            "state": DeliveryState.RECEIVED.value,
            "attempts": 0,
            "next_attempt_at": self._db.now(),
            "claimed_by": None,
            "claimed_until": None,
            "done_at": None,
        }
        over = [DeliveryState.DEAD.value, DeliveryState.DONE.value]
        statement = update(receipts).where(self._is(receipt_id), receipts.c.state.in_(over)).values(values)
        async with self._db.writing(tx) as own:
            row = (await own.conn.execute(statement.returning(*receipts.c))).first()
        return None if row is None else _record(row)

    async def receipt(self, receipt_id: str) -> DeliveryRecord | None:
        if not is_storable(receipt_id):
            return None
        async with self._db.reading() as conn:
            row = (await conn.execute(select(receipts).where(self._is(receipt_id)))).first()
        return None if row is None else _record(row)

    async def all(
        self, state: DeliveryState | None = None, *, after: str = "", limit: int = 100
    ) -> list[DeliveryRecord]:
        """One page, oldest first."""
        query = select(receipts).where(receipts.c.tenant == self._db.tenant, receipts.c.id > after)
        if state is not None:
            query = query.where(receipts.c.state == state.value)
        async with self._db.reading() as conn:
            return [_record(row) for row in await conn.execute(query.order_by(receipts.c.id).limit(limit))]

    async def expire(self, before: datetime) -> int:
        """Delete deliveries done before `before`, not open or dead ones; returns their number."""
        old = and_(receipts.c.state == DeliveryState.DONE.value, receipts.c.done_at < before)
        async with self._db.writing() as tx:
            gone = await tx.conn.execute(delete(receipts).where(receipts.c.tenant == self._db.tenant, old))
            return gone.rowcount

    async def _settle(self, receipt_id: str, worker: str, values: Mapping[str, Any], tx: Tx | None) -> bool:
        freed = {**values, "claimed_by": None, "claimed_until": None}
        async with self._db.writing(tx) as own:
            settled = await own.conn.execute(*_settle(self._db.tenant, receipt_id, worker, **freed))
            return settled.rowcount == 1

    def _is(self, receipt_id: str) -> ColumnElement[bool]:
        return and_(receipts.c.tenant == self._db.tenant, receipts.c.id == receipt_id)


@cache
def _add(insert: Insert) -> Any:
    return insert(receipts).on_conflict_do_nothing().returning(*receipts.c)


@prepared
def _due(tenant: Asked, now: Asked, limit: Asked) -> Select[Any]:
    earlier = receipts.alias("earlier")
    is_blocked = exists().where(
        earlier.c.tenant == receipts.c.tenant,
        earlier.c.lane == receipts.c.lane,
        earlier.c.state == DeliveryState.RECEIVED.value,
        earlier.c.id < receipts.c.id,
    )
    return (
        select(receipts.c.id)
        .where(
            receipts.c.tenant == tenant,
            receipts.c.state == DeliveryState.RECEIVED.value,
            receipts.c.next_attempt_at <= now,
            or_(receipts.c.claimed_until.is_(None), receipts.c.claimed_until <= now),
            ~is_blocked,
        )
        .order_by(receipts.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


@prepared
def _claim(tenant: Asked, ids: Asked) -> Any:
    claim = update(receipts).where(receipts.c.tenant == tenant, receipts.c.id.in_(ids))
    return claim.values(attempts=receipts.c.attempts + 1).returning(*receipts.c)


@prepared
def _settle(tenant: Asked, receipt_id: Asked, worker: Asked) -> Update:
    claimed = receipts.c.claimed_by == worker, receipts.c.state == DeliveryState.RECEIVED.value
    return update(receipts).where(receipts.c.tenant == tenant, receipts.c.id == receipt_id, *claimed)


def _record(row: Row[Any]) -> DeliveryRecord:
    return DeliveryRecord(
        id=row.id,
        source=row.source,
        account=row.account,
        delivery_id=row.delivery_id,
        event_type=row.event_type,
        lane=row.lane,
        body=row.body,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        error=row.error,
        received_at=row.received_at,
        next_attempt_at=row.next_attempt_at,
        done_at=row.done_at,
    )
