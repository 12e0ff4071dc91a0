"""Noting what ordinary reads see: beside the answers, at a bounded pace, each customer now and then.

It builds the index from a vault's methods to their owners, which notifications and expiry sweeps need. A list that is
not noted today is noted another day; a burst of reads never becomes a burst of writes.
"""

import asyncio
import logging
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.store import Store
from app.store.errors import RETRY_STORE_S, StoreUnavailable
from app.store.records import EventOrigin
from app.vault.model import Card, SameReply, VaultWallet
from app.vault.names import AuthStatus, CustomerRef, MethodRef, ProviderName
from app.wallet.sightings import Sightings, StatusNoted

_log = logging.getLogger("vaultgraph.noting")
_QUEUE: Final = 200
_REMEMBERED: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NotingPace:
    """At most `per_s` lists and statuses a second are noted. Each customer's list, and a card's status that stays the
    same, every `again_after_s` seconds; a list of the very same bytes every `unchanged_after_s`. A list that arrives
    was asked for `longest_read_s` seconds before at most."""

    per_s: float = 20.0
    again_after_s: float = 60.0
    unchanged_after_s: float = 3_600.0
    longest_read_s: float = 10.0


@dataclass(frozen=True, slots=True)
class _List:
    """A complete list, and when it was asked for at the earliest."""

    wallet: VaultWallet
    asked_at: datetime

    @property
    def key(self) -> tuple[ProviderName, CustomerRef]:
        return self.wallet.provider, self.wallet.customer_ref


@dataclass(frozen=True, slots=True)
class _Status:
    """A card's 3-D Secure status, and when it was asked for."""

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


class Noting:
    """`saw` is called on the hot path: a look into a dictionary, and now and then a place in a queue."""

    def __init__(
        self,
        store: Store,
        sightings: Sightings,
        pace: NotingPace,
        is_written: Callable[[ProviderName, CustomerRef], bool] = lambda provider, ref: False,
    ) -> None:
        """`is_written` tells of whom we are writing just now: the write itself says what it changes."""
        self._is_written = is_written
        self._store = store
        self._sightings = sightings
        self._pace = pace
        self._longest_read = timedelta(seconds=pace.longest_read_s)
        self._queue: asyncio.Queue[_List | _Status | _NotFound] = asyncio.Queue()
        self._queued = 0  # `_QUEUE` at the most; the queue's own look at its size costs three calls
        self._last: OrderedDict[tuple[ProviderName, CustomerRef], tuple[float, weakref.ref[SameReply] | None]]
        self._last = OrderedDict()
        self._statuses: OrderedDict[tuple[ProviderName, CustomerRef, MethodRef], tuple[AuthStatus, float]]
        self._statuses = OrderedDict()
        self._not_found: OrderedDict[tuple[ProviderName, CustomerRef], float] = OrderedDict()

    def saw(self, wallet: VaultWallet) -> None:
        """A complete list has just been read from a vault."""
        if self._queued >= _QUEUE:
            return
        now = asyncio.get_running_loop().time()
        key = (wallet.provider, wallet.customer_ref)
        last, reply = self._last.get(key), wallet.reply
        if last is not None:
            at, noted = last
            # A write or an erasure drops the snapshot, and the reply with it: then it is not the same any more.
            is_same = reply is not None and noted is not None and noted() is reply
            if now - at < (self._pace.unchanged_after_s if is_same else self._pace.again_after_s):
                return
        self._last[key] = now, None if reply is None else weakref.ref(reply)
        self._last.move_to_end(key)
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        self._put(_List(wallet, datetime.now(UTC) - self._longest_read))

    def saw_status(self, card: Card, status: AuthStatus, asked_at: datetime) -> None:
        """A card's 3-D Secure status has just been read from its vault. The card's list was seen before it."""
        if self._queued >= _QUEUE:
            return
        now = asyncio.get_running_loop().time()
        key = card.provider, card.customer_ref, card.method_ref
        last = self._statuses.get(key)
        if last is not None and last[0] is status and now - last[1] < self._pace.again_after_s:
            return
        self._statuses[key] = (status, now)
        self._statuses.move_to_end(key)
        if len(self._statuses) > _REMEMBERED:
            self._statuses.popitem(last=False)
        self._put(_Status(card, status, asked_at))

    def saw_no_customer(self, provider: ProviderName, customer_ref: CustomerRef) -> None:
        """A vault has just said that it does not know this customer."""
        if self._queued >= _QUEUE:
            return
        now, key = asyncio.get_running_loop().time(), (provider, customer_ref)
        at = self._not_found.get(key)
        if at is not None and now - at < self._pace.again_after_s:
            return
        self._not_found[key] = now
        self._not_found.move_to_end(key)
        if len(self._not_found) > _REMEMBERED:
            self._not_found.popitem(last=False)
        self._last.pop(key, None)  # the next list is news
        self._put(_NotFound(key))

    def _put(self, seen: _List | _Status | _NotFound) -> None:
        self._queued += 1
        self._queue.put_nowait(seen)

    async def run(self) -> None:
        """Note what was seen until cancelled; what fails is logged and left for another day."""
        while True:
            seen = await self._queue.get()
            self._queued -= 1
            try:
                if isinstance(seen, _Status):
                    await self._note_status(seen)
                elif isinstance(seen, _NotFound):
                    await self._note_not_found(seen)
                elif not await self._note(seen):
                    self._last.pop(seen.key, None)
            except StoreUnavailable:
                if isinstance(seen, _List):
                    self._last.pop(seen.key, None)
                await asyncio.sleep(RETRY_STORE_S)
            except Exception:  # noqa: BLE001 - nothing here is worth more than the next list
                _log.exception("what a vault showed could not be noted")
                if isinstance(seen, _List):
                    self._last.pop(seen.key, None)
            await asyncio.sleep(1 / self._pace.per_s)

    async def _note_not_found(self, seen: _NotFound) -> None:
        if self._is_written(*seen.key):
            self._not_found.pop(seen.key, None)
        else:
            await self._sightings.not_found(*seen.key)

    async def _note_status(self, seen: _Status) -> None:
        origin = EventOrigin.RECONCILIATION
        noted = await self._sightings.status(seen.card, seen.status, origin, asked_at=seen.asked_at)
        if noted is StatusNoted.LEFT:
            self._statuses.pop(seen.key, None)

    async def _note(self, seen: _List) -> bool:
        """Whether the list was compared with the last one; else the next one is as good as this."""
        wallet = seen.wallet
        if self._is_written(wallet.provider, wallet.customer_ref):
            return False
        owners = await self._store.directory.owners_of(wallet.provider, [wallet.customer_ref])
        owner = owners.get(wallet.customer_ref)
        if owner is None:
            return False
        noted = await self._sightings.compare(wallet, owner, EventOrigin.RECONCILIATION, asked_at=seen.asked_at)
        return not noted.is_outdated
