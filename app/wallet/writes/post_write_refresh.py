"""Reads the vault after a write and stores the result as last seen, so that later differences count as new changes. It
runs in the background and shares the read of the response, if there is one."""

import asyncio
import logging
from collections.abc import Collection
from typing import Final

from app.store.errors import StoreUnavailable
from app.store.records import NewEvent, OperationState
from app.vault.enums import CustomerRef, ProviderName, SourceState
from app.vault.model import VaultWallet
from app.wallet.changes.detector import ChangeDetector
from app.wallet.writes.deps import Deps, loop_time, until
from app.wallet.writes.handler import CompletedWrite
from app.wallet.writes.intents import Intent
from app.wallet.writes.run import WriteRun

_log = logging.getLogger("vaultgraph.writing")
_WITHIN_S: Final = 2.0


class PostWriteRefresh:
    """A failed read is not repeated: the next list is compared as usual (`ChangeDetector`)."""

    def __init__(self, deps: Deps, detector: ChangeDetector) -> None:
        self._deps = deps
        self._detector = detector
        self._tasks: set[asyncio.Task[None]] = set()

    def refresh(self, run: WriteRun[Intent], done: CompletedWrite) -> None:
        """Schedule the reads. The operation has ended, and its transaction is committed."""
        customer_id = run.operation.customer_id
        if customer_id is None or done.state is OperationState.UNKNOWN or not run.changed:
            return
        named = {(event.provider, event.customer_ref) for event in done.events}
        at = run.changed | {(name, ref) for name, ref in named if name is not None and ref is not None}
        for name, ref in at:
            if name in self._deps.providers:
                self._deps.drop(name, ref)  # only a new read shows the state after the write
                task = asyncio.get_running_loop().create_task(self._settle(run, name, ref, done.events))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _settle(
        self, run: WriteRun[Intent], name: ProviderName, ref: CustomerRef, written: Collection[NewEvent]
    ) -> None:
        call = until(run.call, loop_time() + _WITHIN_S)
        try:
            (reading,) = await self._deps.reader.read_many(name, [ref], call)
            if reading.state is SourceState.OK and reading.asked_at is not None:
                wallet: VaultWallet | None = reading.wallet
                assert wallet is not None
                customer_id = run.customer_id
                await self._detector.settle(wallet, customer_id, written, asked_at=reading.asked_at)
        except StoreUnavailable:
            return
        except Exception:  # noqa: BLE001 - the write itself has succeeded
            _log.exception("the state at %s after a write could not be recorded", name.value)
