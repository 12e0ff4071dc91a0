"""Records what ordinary reads return: in the background, at a bounded rate, each customer at intervals.

This builds the index from a vault's methods to their customers, which webhooks and expiry jobs need. A list that is not
recorded now is recorded at a later read; a burst of reads never becomes a burst of writes.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.caching.lru import LruCache
from app.store import Connection, Store, Transaction
from app.store.directory_reads import owners_of_refs
from app.store.errors import RETRY_STORE_S, StoreUnavailable
from app.store.link_health import is_marked_not_found
from app.store.records import EventOrigin, ObservedChanges
from app.vault.enums import AuthStatus, CustomerRef, MethodRef, ProviderName
from app.vault.model import Card, ReplyDigest, VaultWallet
from app.wallet.changes.detector import (
    NO_CHANGES,
    ChangeDetector,
    SeenList,
    StatusRecorded,
    check_list,
    check_status,
    compare_list,
    record_not_found,
    record_status,
)

_log = logging.getLogger("vaultgraph.observations")
_QUEUE: Final = 200
_REMEMBERED: Final = 20_000
_NEVER: Final = float("-inf")
_Customer = tuple[ProviderName, CustomerRef]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationPace:
    """At most `per_s` lists and statuses are recorded per second, in batches of one transaction every `every_s`
    seconds. A customer's list, and an unchanged 3-D Secure status, is recorded at most every `again_after_s` seconds;
    an unchanged list every `unchanged_after_s`. `longest_read_s` is the longest time that a read may have taken."""

    per_s: float = 20.0
    every_s: float = 0.5
    again_after_s: float = 60.0
    unchanged_after_s: float = 3_600.0
    longest_read_s: float = 10.0

    @property
    def batch(self) -> int:
        return max(1, round(self.per_s * self.every_s))


@dataclass(slots=True, eq=False)
class _List:
    """A complete list, and the earliest time its read may have begun."""

    wallet: VaultWallet
    asked_at: datetime
    seen: SeenList | None = None
    changes: ObservedChanges = NO_CHANGES

    @property
    def key(self) -> tuple[ProviderName, CustomerRef]:
        return self.wallet.provider, self.wallet.customer_ref

    def check(self, db: Connection) -> bool | None:
        """Whether it is recorded, as far as that is known without a transaction. If not, the next one is recorded at
        once; None: `record` decides."""
        provider, ref = self.key
        owner = owners_of_refs(db, provider, [ref]).get(ref)
        if owner is None:
            return False
        self.seen = SeenList(self.wallet, owner, EventOrigin.RECONCILIATION, self.asked_at)
        known = check_list(db, self.seen)
        return None if known is None else not known.is_outdated

    def record(self, tx: Transaction) -> bool:
        assert self.seen is not None
        self.changes = compare_list(tx, self.seen)
        return not self.changes.is_outdated


@dataclass(frozen=True, slots=True, eq=False)
class _Status:
    """A card's 3-D Secure status, and when its read began."""

    card: Card
    status: AuthStatus
    asked_at: datetime

    @property
    def key(self) -> tuple[ProviderName, CustomerRef, MethodRef]:
        return self.card.provider, self.card.customer_ref, self.card.method_ref

    def check(self, db: Connection) -> bool | None:
        known = check_status(db, self.card, self.status)
        return None if known is None else known is not StatusRecorded.LEFT

    def record(self, tx: Transaction) -> bool:
        origin = EventOrigin.RECONCILIATION
        found = record_status(tx, self.card, self.status, origin, asked_at=self.asked_at)
        return found is not StatusRecorded.LEFT


@dataclass(frozen=True, slots=True, eq=False)
class _NotFound:
    """A customer that its vault does not know."""

    key: tuple[ProviderName, CustomerRef]

    def check(self, db: Connection) -> bool | None:
        return True if is_marked_not_found(db, *self.key) else None

    def record(self, tx: Transaction) -> bool:
        record_not_found(tx, *self.key)
        return True


_Observation = _List | _Status | _NotFound


class ObservationQueue:
    """A bounded queue of observations. `record` runs on the hot path: one dictionary lookup, rarely a queue entry."""

    def __init__(
        self,
        store: Store,
        detector: ChangeDetector,
        pace: ObservationPace,
        is_written: Callable[[ProviderName, CustomerRef], bool] = lambda provider, ref: False,
    ) -> None:
        """`is_written` is true while a write for the customer is running: the write records its own changes."""
        self._is_written = is_written
        self._store = store
        self._detector = detector
        self._pace = pace
        self._longest_read = timedelta(seconds=pace.longest_read_s)
        self._queue: asyncio.Queue[_Observation] = asyncio.Queue()
        self._now: Callable[[], float] = self._loop_time
        self._queued = 0  # at most `_QUEUE`; `Queue.qsize` costs three calls
        self._last: LruCache[_Customer, tuple[float, ReplyDigest | None]] = LruCache(_REMEMBERED)
        self._statuses: LruCache[tuple[ProviderName, CustomerRef, MethodRef], tuple[AuthStatus, float]]
        self._statuses = LruCache(_REMEMBERED)
        self._not_found: LruCache[_Customer, float] = LruCache(_REMEMBERED)

    def record(self, wallet: VaultWallet) -> None:
        """Record a complete list that was just read from a vault."""
        # A write or an erasure drops the snapshot, and with it the reply: the same bytes are then another one.
        now, reply = self._now(), wallet.reply
        if self._queued >= _QUEUE or (reply is not None and now - reply.recorded_at < self._pace.unchanged_after_s):
            return
        key = wallet.provider, wallet.customer_ref
        last = self._last.get(key)
        if last is not None and now - last[0] < self._pace.again_after_s:
            return
        self._last.put(key, (now, reply))
        if reply is not None:
            reply.recorded_at = now
        self._put(_List(wallet, datetime.now(UTC) - self._longest_read))

    def _loop_time(self) -> float:
        self._now = asyncio.get_running_loop().time  # cached: belongs to one loop
        return self._now()

    def record_status(self, card: Card, status: AuthStatus, asked_at: datetime) -> None:
        """Record a card's 3-D Secure status that was just read. The card's list was seen before it."""
        if self._queued >= _QUEUE:
            return
        now = self._now()
        key = card.provider, card.customer_ref, card.method_ref
        last = self._statuses.get(key)
        if last is not None and last[0] is status and now - last[1] < self._pace.again_after_s:
            return
        self._statuses.put(key, (status, now))
        self._put(_Status(card, status, asked_at))

    def record_not_found(self, provider: ProviderName, customer_ref: CustomerRef) -> None:
        """Record that a vault does not know this customer."""
        if self._queued >= _QUEUE:
            return
        now, key = self._now(), (provider, customer_ref)
        at = self._not_found.get(key)
        if at is not None and now - at < self._pace.again_after_s:
            return
        self._not_found.put(key, now)
        last = self._last.pop(key)  # record the next list at once, even if it is the one before
        if last is not None and last[1] is not None:
            last[1].recorded_at = _NEVER
        self._put(_NotFound(key))

    def _put(self, seen: _Observation) -> None:
        self._queued += 1
        self._queue.put_nowait(seen)

    async def run(self) -> None:
        """Process the queue until cancelled, in batches. A failure is logged; a later read is recorded instead."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self._pace.batch and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            self._queued -= len(batch)
            try:
                await self._process(batch)
            except StoreUnavailable:
                for seen in batch:
                    self._forget(seen)
                await asyncio.sleep(RETRY_STORE_S)
            await asyncio.sleep(self._pace.every_s)

    async def _process(self, batch: Sequence[_Observation]) -> None:
        try:
            await self._record(batch)
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001 - the loop must survive: the next list replaces this one
            if len(batch) > 1:  # find the one that cannot be recorded
                for seen in batch:
                    await self._process([seen])
                return
            _log.exception("an observation of a vault could not be recorded")
            self._forget(batch[0])

    async def _record(self, batch: Sequence[_Observation]) -> None:
        """One read, and one transaction for what it does not settle."""
        ours = [seen for seen in batch if not isinstance(seen, _Status) and self._is_written(*seen.key)]
        batch = [seen for seen in batch if seen not in ours]  # a running write records its own changes
        checked = await self._store.read(_check, batch)
        undecided = [seen for seen, found in zip(batch, checked, strict=True) if found is None]
        recorded = await self._store.transaction(_record, undecided) if undecided else []
        for seen in undecided:
            if isinstance(seen, _List) and seen.seen is not None:
                self._detector.report_added(seen.seen, seen.changes)
        left = [seen for seen, found in zip(batch, checked, strict=True) if found is False]
        left += [seen for seen, is_recorded in zip(undecided, recorded, strict=True) if not is_recorded]
        for seen in (*ours, *left):
            self._forget(seen)

    def _forget(self, seen: _Observation) -> None:
        """Record the next one at once."""
        if isinstance(seen, _List):
            self._last.pop(seen.key)
            if seen.wallet.reply is not None:
                seen.wallet.reply.recorded_at = _NEVER
        elif isinstance(seen, _Status):
            self._statuses.pop(seen.key)
        else:
            self._not_found.pop(seen.key)


def _check(db: Connection, batch: Sequence[_Observation]) -> list[bool | None]:
    """None also for what follows something undecided of the same customer, because that may decide it."""
    undecided: set[tuple[ProviderName, CustomerRef]] = set()
    checked: list[bool | None] = []
    for seen in batch:
        customer = seen.key[:2]
        found = None if customer in undecided else seen.check(db)
        if found is None:
            undecided.add(customer)
        checked.append(found)
    return checked


def _record(tx: Transaction, batch: Sequence[_Observation]) -> list[bool]:
    recorded: list[bool] = []
    for seen in batch:
        known = seen.check(tx)
        recorded.append(seen.record(tx) if known is None else known)
    return recorded
