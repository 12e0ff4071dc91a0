"""Records what ordinary reads return: in the background, at a bounded rate, each customer at intervals.

This builds the index from a vault's methods to their customers, which webhooks and expiry jobs need. A list that is not
recorded now is recorded at a later read; a burst of reads never becomes a burst of writes.
"""

import asyncio
import logging
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.caching.lru import LruCache
from app.store import Store
from app.store.errors import RETRY_STORE_S, StoreUnavailable
from app.store.records import EventOrigin
from app.vault.enums import AuthStatus, CustomerRef, MethodRef, ProviderName
from app.vault.model import Card, ReplyDigest, VaultWallet
from app.wallet.changes.detector import ChangeDetector, StatusRecorded

_log = logging.getLogger("vaultgraph.observations")
_QUEUE: Final = 200
_REMEMBERED: Final = 20_000
_Customer = tuple[ProviderName, CustomerRef]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationPace:
    """At most `per_s` lists and statuses are recorded per second. A customer's list, and an unchanged 3-D Secure
    status, is recorded at most every `again_after_s` seconds; a byte-identical list every `unchanged_after_s`.
    `longest_read_s` is the longest time that a read may have taken."""

    per_s: float = 20.0
    again_after_s: float = 60.0
    unchanged_after_s: float = 3_600.0
    longest_read_s: float = 10.0


@dataclass(frozen=True, slots=True)
class _List:
    """A complete list, and the earliest time its read may have begun."""

    wallet: VaultWallet
    asked_at: datetime

    @property
    def key(self) -> tuple[ProviderName, CustomerRef]:
        return self.wallet.provider, self.wallet.customer_ref


@dataclass(frozen=True, slots=True)
class _Status:
    """A card's 3-D Secure status, and when its read began."""

    card: Card
    status: AuthStatus
    asked_at: datetime

    @property
    def key(self) -> tuple[ProviderName, CustomerRef, MethodRef]:
        return self.card.provider, self.card.customer_ref, self.card.method_ref


@dataclass(frozen=True, slots=True)
class _NotFound:
    """A customer that its vault does not know."""

    key: tuple[ProviderName, CustomerRef]


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
        self._queue: asyncio.Queue[_List | _Status | _NotFound] = asyncio.Queue()
        self._queued = 0  # at most `_QUEUE`; `Queue.qsize` costs three calls
        self._last: LruCache[_Customer, tuple[float, weakref.ref[ReplyDigest] | None]] = LruCache(_REMEMBERED)
        self._statuses: LruCache[tuple[ProviderName, CustomerRef, MethodRef], tuple[AuthStatus, float]]
        self._statuses = LruCache(_REMEMBERED)
        self._not_found: LruCache[_Customer, float] = LruCache(_REMEMBERED)

    def record(self, wallet: VaultWallet) -> None:
        """Record a complete list that was just read from a vault."""
        if self._queued >= _QUEUE:
            return
        now = asyncio.get_running_loop().time()
        key = (wallet.provider, wallet.customer_ref)
        last, reply = self._last.get(key), wallet.reply
        if last is not None:
            at, known = last
            # A write or an erasure drops the snapshot and with it the reply, so the reference is dead.
            is_same = reply is not None and known is not None and known() is reply
            if now - at < (self._pace.unchanged_after_s if is_same else self._pace.again_after_s):
                return
        self._last.put(key, (now, None if reply is None else weakref.ref(reply)))
        self._put(_List(wallet, datetime.now(UTC) - self._longest_read))

    def record_status(self, card: Card, status: AuthStatus, asked_at: datetime) -> None:
        """Record a card's 3-D Secure status that was just read. The card's list was seen before it."""
        if self._queued >= _QUEUE:
            return
        now = asyncio.get_running_loop().time()
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
        now, key = asyncio.get_running_loop().time(), (provider, customer_ref)
        at = self._not_found.get(key)
        if at is not None and now - at < self._pace.again_after_s:
            return
        self._not_found.put(key, now)
        self._last.pop(key)  # record the next list at once
        self._put(_NotFound(key))

    def _put(self, seen: _List | _Status | _NotFound) -> None:
        self._queued += 1
        self._queue.put_nowait(seen)

    async def run(self) -> None:
        """Process the queue until cancelled. A failure is logged; a later read is recorded instead."""
        while True:
            seen = await self._queue.get()
            self._queued -= 1
            try:
                if isinstance(seen, _Status):
                    await self._record_status(seen)
                elif isinstance(seen, _NotFound):
                    await self._record_not_found(seen)
                elif not await self._record_list(seen):
                    self._last.pop(seen.key)
            except StoreUnavailable:
                if isinstance(seen, _List):
                    self._last.pop(seen.key)
                await asyncio.sleep(RETRY_STORE_S)
            except Exception:  # noqa: BLE001 - the loop must survive: the next list replaces this one
                _log.exception("an observation of a vault could not be recorded")
                if isinstance(seen, _List):
                    self._last.pop(seen.key)
            await asyncio.sleep(1 / self._pace.per_s)

    async def _record_not_found(self, seen: _NotFound) -> None:
        if self._is_written(*seen.key):
            self._not_found.pop(seen.key)
        else:
            await self._detector.not_found(*seen.key)

    async def _record_status(self, seen: _Status) -> None:
        origin = EventOrigin.RECONCILIATION
        result = await self._detector.status(seen.card, seen.status, origin, asked_at=seen.asked_at)
        if result is StatusRecorded.LEFT:
            self._statuses.pop(seen.key)

    async def _record_list(self, seen: _List) -> bool:
        """True if the list was compared with the last one. If not, the next list is recorded at once."""
        wallet = seen.wallet
        if self._is_written(wallet.provider, wallet.customer_ref):
            return False
        owners = await self._store.directory.owners_of(wallet.provider, [wallet.customer_ref])
        owner = owners.get(wallet.customer_ref)
        if owner is None:
            return False
        result = await self._detector.compare(wallet, owner, EventOrigin.RECONCILIATION, asked_at=seen.asked_at)
        return not result.is_outdated
