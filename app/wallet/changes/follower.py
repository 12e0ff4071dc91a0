"""Applies to this process's caches what other processes commit: replicas and commands."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from app.store import Store
from app.store.errors import logged
from app.store.records import ChangeNotice
from app.wallet.wake import Wake

_log = logging.getLogger("vaultgraph")


class ChangeFollower:
    """Reads the change log when woken, and every `poll_s` seconds. Own commits are applied at once, and once."""

    def __init__(
        self,
        store: Store,
        apply: Callable[[Sequence[ChangeNotice]], None],
        forget_all: Callable[[], None],
        *,
        poll_s: float,
    ) -> None:
        """`forget_all` is called if the log no longer has everything since the last look."""
        self._store = store
        self._apply = apply
        self._forget_all = forget_all
        self._poll_s = poll_s
        self._wake = Wake()
        self._turn = asyncio.Lock()
        self._version = 0
        self._own: set[int] = set()

    async def start(self) -> None:
        self._store.on_change(self._apply_own)
        self._version = await self._store.changes.version()

    def wake(self) -> None:
        self._wake.wake()

    async def run(self) -> None:
        """Follow until cancelled. A failure is logged and retried."""
        while True:
            await self._wake.wait(self._poll_s)
            with logged(_log, "the store's changes could not be read; retrying"):
                await self.catch_up()

    async def catch_up(self) -> None:
        """Apply everything that was committed before this call. Raises StoreUnavailable."""
        async with self._turn:
            if await self._store.changes.version() == self._version:
                return
            found = await self._store.changes.since(self._version)
            if found.is_complete:
                self._apply([one for one in found.rows if one.version not in self._own])
            else:
                self._forget_all()
            self._version = found.version
            self._own = {version for version in self._own if version > found.version}

    def _apply_own(self, changes: Sequence[ChangeNotice]) -> None:
        new = [one for one in changes if one.version > self._version]  # the rest was just read from the log
        self._own.update(one.version for one in new)
        self._apply(new)
