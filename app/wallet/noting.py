"""Noting what ordinary reads see: beside the answers, at a bounded pace, each customer now and then.

It builds the index from a vault's methods to their owners, which notifications and expiry sweeps need. A list that is
not noted today is noted another day; a burst of reads never becomes a burst of writes.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.store import Store
from app.store.records import EventOrigin
from app.vault.model import VaultWallet
from app.vault.names import CustomerRef, ProviderName
from app.wallet.sightings import Sightings

_log = logging.getLogger("vaultgraph.noting")
_QUEUE: Final = 200
_REMEMBERED: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NotingPace:
    """At most `per_s` lists a second are noted, and each customer's every `again_after_s` seconds."""

    per_s: float = 20.0
    again_after_s: float = 60.0


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
        self._queue: asyncio.Queue[VaultWallet] = asyncio.Queue(_QUEUE)
        self._last: OrderedDict[tuple[ProviderName, CustomerRef], float] = OrderedDict()

    def saw(self, wallet: VaultWallet) -> None:
        """A complete list has just been read from a vault."""
        now = asyncio.get_running_loop().time()
        key = (wallet.provider, wallet.customer_ref)
        last = self._last.get(key)
        if (last is not None and now - last < self._pace.again_after_s) or self._queue.full():
            return
        self._last[key] = now
        self._last.move_to_end(key)
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        self._queue.put_nowait(wallet)

    async def run(self) -> None:
        """Note what was seen until cancelled; what fails is logged and left for another day."""
        while True:
            wallet = await self._queue.get()
            try:
                await self._note(wallet)
            except Exception:  # noqa: BLE001 - nothing here is worth more than the next list
                _log.exception("a list of %s could not be noted", wallet.provider.value)
            await asyncio.sleep(1 / self._pace.per_s)

    async def _note(self, wallet: VaultWallet) -> None:
        if self._is_written(wallet.provider, wallet.customer_ref):
            self._last.pop((wallet.provider, wallet.customer_ref), None)
            return
        owners = await self._store.directory.owners_of(wallet.provider, [wallet.customer_ref])
        owner = owners.get(wallet.customer_ref)
        if owner is not None:
            await self._sightings.compare(wallet, owner, EventOrigin.RECONCILIATION)
