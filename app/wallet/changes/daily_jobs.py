"""Daily jobs, run by the leading process: events for expiring cards, and moves of methods whose new one was seen,
and removal of data past its retention."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.store import Store
from app.store.errors import StoreUnavailable
from app.store.moves import MoveState
from app.store.records import EventType, NewEvent, ObservedRecord
from app.vault.rules.expiry import ExpiryClock

_log = logging.getLogger("vaultgraph.daily_jobs")
_LOCK: Final = "daily-sweep"
_PAGE: Final = 500
_RETRY_S: Final = 60.0
_LOOK_BACK: Final = timedelta(days=365)
"""Cards that expired longer ago produce no event. Events must be kept longer than this: they record what was
reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Retention times in the store."""

    operations: timedelta = timedelta(days=30)
    events: timedelta = timedelta(days=400)
    changes: timedelta = timedelta(days=2)
    deliveries: timedelta = timedelta(days=30)


class DailyJobs:
    """Every replica calls `run`; only the leader does the work."""

    def __init__(
        self,
        store: Store,
        *,
        every_s: float,
        soon_days: int,
        keep: Retention | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._every_s = every_s
        self._soon_days = soon_days
        self._keep = keep or Retention()
        self._now = now

    async def run(self) -> None:
        """Run the jobs at once and then every `every_s` seconds, until cancelled."""
        while True:
            pause_s = self._every_s
            try:
                async with self._store.locks.leadership(_LOCK) as leads:
                    if leads:
                        await self.sweep()
            except StoreUnavailable:
                pause_s = min(pause_s, _RETRY_S)
            except Exception:  # noqa: BLE001 - the loop must survive until the next run
                _log.exception("the daily jobs failed; they will be retried")
            await asyncio.sleep(pause_s)

    async def sweep(self) -> int:
        """Append one event per card that expires soon or has expired; remove old data. Returns the number of events."""
        appended = 0
        async for page in self._pages():
            events = [event for record in page if (event := self._event(record)) is not None]
            appended += len(await self._store.events.append_all(events)) if events else 0
        await complete_moves(self._store)
        now = self._now()
        await self._store.journal.expire(now - self._keep.operations)
        await self._store.events.expire(now - self._keep.events)
        await self._store.changes.prune(now - self._keep.changes)
        await self._store.deliveries.expire(now - self._keep.deliveries)
        await self._store.endpoint_deliveries.expire(now - self._keep.deliveries, dead_before=now - self._keep.events)
        return appended

    async def _pages(self) -> AsyncIterator[list[ObservedRecord]]:
        now = self._now()
        first_month, last_month = _month(ExpiryClock.at(now - _LOOK_BACK, 0).current), _month(self._clock(now).soon)
        last: ObservedRecord | None = None
        while True:
            page = await self._store.observed_methods.expiring(first_month, last_month, after=last, limit=_PAGE)
            if page:
                yield page
            if len(page) < _PAGE:
                return
            last = page[-1]

    def _clock(self, now: datetime) -> ExpiryClock:
        return ExpiryClock.at(now, self._soon_days)

    def _event(self, record: ObservedRecord) -> NewEvent | None:
        if record.expiry is None:
            return None
        clock = self._clock(self._now())
        year, month = (int(part) for part in record.expiry.split("-"))
        if (year, month) < clock.current:
            kind = EventType.METHOD_EXPIRED
        elif (year, month) < clock.soon:
            kind = EventType.METHOD_EXPIRING
        else:
            return None
        return NewEvent(
            type=kind,
            customer_id=record.customer_id,
            provider=record.provider,
            customer_ref=record.customer_ref,
            method_ref=record.method_ref,
            once=f"{kind.value}|{record.provider.value}|{record.customer_ref}|{record.method_ref}|{record.expiry}",
            detail={"expiry": record.expiry},
        )


async def complete_moves(store: Store) -> int:
    """Complete the pairs of moving methods whose new one was seen since; returns their number."""
    done, last = 0, None
    while page := await store.moves.ready(after=last):
        for move in page:
            done += (await store.moves.complete(move)).state is MoveState.DONE
        last = page[-1].old
    return done


def _month(month: tuple[int, int]) -> str:
    return f"{month[0]:04d}-{month[1]:02d}"
