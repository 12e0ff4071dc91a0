"""Background reconciliation: looks up operations that a dead process left PENDING, and those that are UNKNOWN."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from app.store.errors import logged
from app.store.records import OperationRecord
from app.vault.provider import Call
from app.wallet.wake import Wake
from app.wallet.writes.deps import loop_time
from app.wallet.writes.writer import WalletWriter

_log = logging.getLogger("vaultgraph.reconcile")
KEEP_KEYS: Final = timedelta(days=30)
KEEP_OWNERS: Final = timedelta(days=1)
_CLIENT: Final = "reconciler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds between runs and between clean-ups, and the number of operations processed concurrently."""

    sweep_every_s: float = 1.0
    clean_every_s: float = 3600.0
    concurrency: int = 4


class Reconciler:
    """One per process; any number may run, because each operation is leased to one process at a time."""

    def __init__(self, writer: WalletWriter, pace: Pace | None = None) -> None:
        self._writer = writer
        self._deps = writer.deps
        self._pace = pace or Pace()
        self._tasks: list[asyncio.Task[None]] = []
        self._gate = asyncio.Semaphore(self._pace.concurrency)
        self._sweep_wake = Wake()

    async def start(self) -> None:
        """Start both loops at once: after a crash, recovery must not wait for the first interval."""
        self._tasks = [
            asyncio.create_task(self._every(self._pace.sweep_every_s, "reconciliation", self.sweep, self._sweep_wake)),
            asyncio.create_task(self._every(self._pace.clean_every_s, "journal clean-up", self.clean, Wake())),
        ]

    def wake(self) -> None:
        """Sweep now: another process has left operations."""
        self._sweep_wake.wake()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def sweep(self) -> int:
        """Process the operations that no live process owns, once; returns how many."""
        owner, journal = self._deps.owner, self._deps.store.journal
        gone = await owner.killed() | {owner.id}  # own ones too: running operations are excluded below
        found = [*await journal.orphans(lease=owner.lease, dead=gone), *await journal.due()]
        waiting = {one.id: one for one in found if one.id not in owner.running}
        await asyncio.gather(*(self._resume(one) for one in waiting.values()))
        return len(waiting)

    async def clean(self) -> None:
        """Delete expired idempotency keys and records of dead processes."""
        now = self._deps.utc_now()
        await self._deps.store.journal.expire(now - KEEP_KEYS)
        await self._deps.store.worker_leases.forget(now - KEEP_OWNERS)

    async def _resume(self, operation: OperationRecord) -> None:
        async with self._gate:
            providers = [operation.provider] if operation.provider else []
            call = Call(
                deadline_at=loop_time() + self._deps.deadline_s(providers),
                request_id=str(uuid.uuid4()),
                client=_CLIENT,
            )
            with logged(_log, "%s could not be reconciled; retrying later", operation.id):
                found = await self._writer.resume(operation, call, is_patient=False)
                # With the same epoch, the process that runs it has finished it since it was found.
                if found.state is not operation.state and found.epoch != operation.epoch:
                    _log.info("%s was %s and is %s", operation.id, operation.state.value, found.state.value)

    async def _every(self, seconds: float, name: str, work: Callable[[], Awaitable[object]], wake: Wake) -> None:
        while True:
            with logged(_log, "%s failed; retrying", name):
                await work()
            await wake.wait(seconds)
