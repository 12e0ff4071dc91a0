"""After a write has been answered: look at what it led to, so that whatever differs from then on is told as another
change. Nobody waits for it, and where the answer reads the vault anyway, it is the same read."""

import asyncio
import logging
from collections.abc import Collection
from typing import Final

from app.store.errors import StoreUnavailable
from app.store.records import NewEvent, OperationState
from app.vault.model import VaultWallet
from app.vault.names import CustomerRef, ProviderName, SourceState
from app.wallet.sightings import Sightings
from app.wallet.writing.deps import Deps, loop_time, until
from app.wallet.writing.intents import Intent
from app.wallet.writing.session import Session
from app.wallet.writing.usecase import Done

_log = logging.getLogger("vaultgraph.writing")
_WITHIN_S: Final = 2.0


class Afterwards:
    """A look that fails is not made again: the next list is compared with care (`Sightings`)."""

    def __init__(self, deps: Deps, sightings: Sightings) -> None:
        self._deps = deps
        self._sightings = sightings
        self._tasks: set[asyncio.Task[None]] = set()

    def look(self, session: Session[Intent], done: Done) -> None:
        """The operation has ended, and its transaction is committed."""
        customer_id = session.operation.customer_id
        if customer_id is None or done.state is OperationState.UNKNOWN or not session.changed:
            return
        told = {(event.provider, event.customer_ref) for event in done.events}
        at = session.changed | {(name, ref) for name, ref in told if name is not None and ref is not None}
        for name, ref in at:
            if name in self._deps.providers:
                self._deps.drop(name, ref)  # only what is asked for from now on is what the write led to
                task = asyncio.get_running_loop().create_task(self._settle(session, name, ref, done.events))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _settle(
        self, session: Session[Intent], name: ProviderName, ref: CustomerRef, told: Collection[NewEvent]
    ) -> None:
        call = until(session.call, loop_time() + _WITHIN_S)
        try:
            (reading,) = await self._deps.reader.read_many(name, [ref], call)
            if reading.state is SourceState.OK and reading.asked_at is not None:
                wallet: VaultWallet | None = reading.wallet
                assert wallet is not None
                customer_id = session.operation.customer_id or ""
                await self._sightings.settle(wallet, customer_id, told, asked_at=reading.asked_at)
        except StoreUnavailable:
            return
        except Exception:  # noqa: BLE001 - the write has ended well, and is not to be undone by this
            _log.exception("what a write led to at %s could not be noted", name.value)
