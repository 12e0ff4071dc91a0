"""Worker lease: the process's heartbeat, and which other processes are dead."""

import asyncio
import logging
import os
import secrets
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from app.store import Store
from app.store.errors import StoreUnavailable, logged
from app.store.journal_reads import LEASE
from app.store.records import LeaseRecord, OperationRecord
from app.vault.enums import CustomerRef, ProviderName
from app.wallet.changes.detector import SETTLING

_log = logging.getLogger("vaultgraph.writing")


class WorkerLease:
    """One per process. `running` holds the operations that this process works on now.

    `writing` counts the operations that hold the lock, per vault customer.

    An operation of this owner that is not in `running` was abandoned, for example by an error: it is an orphan like one
    of a dead process.
    """

    def __init__(
        self,
        store: Store,
        utc_now: Callable[[], datetime],
        *,
        lease: timedelta = LEASE,
        keys: Callable[[], Mapping[str, Sequence[str]]] = dict,
    ) -> None:
        """`keys` returns the names of this process's keys by setting, in their order."""
        self.host = socket.gethostname()
        self.id = _new_id()
        self.lease = lease
        self.running: set[str] = set()
        self.writing: Counter[tuple[ProviderName, CustomerRef]] = Counter()
        self._written_until: dict[tuple[ProviderName, CustomerRef], float] = {}
        self._store = store
        self._utc_now = utc_now
        self._keys = keys
        self._heartbeat: asyncio.Task[None] | None = None
        # Processes that share a SQLite file share a machine, so their pids can be looked up.
        self._sees_pids = store.engine.is_sqlite

    @contextmanager
    def at(self, provider: ProviderName, ref: CustomerRef) -> Iterator[None]:
        """While a write holds this customer's lock."""
        self.writing[provider, ref] += 1
        try:
            yield
        finally:
            self.writing[provider, ref] -= 1
            if not self.writing[provider, ref]:
                del self.writing[provider, ref]
            self._settles(provider, ref)

    def _settles(self, provider: ProviderName, ref: CustomerRef) -> None:
        now = asyncio.get_running_loop().time()
        self._written_until.pop((provider, ref), None)  # so that the oldest stay first
        self._written_until[provider, ref] = now + SETTLING.total_seconds()
        while (oldest := next(iter(self._written_until.items())))[1] <= now:
            del self._written_until[oldest[0]]

    def is_settling(self, provider: ProviderName, ref: CustomerRef) -> bool:
        """True while a write runs there, and shortly after it: lists read in that time are not compared."""
        until = self._written_until.get((provider, ref))
        is_fresh = until is not None and asyncio.get_running_loop().time() < until
        return is_fresh or self.is_writing(provider, ref)

    def is_writing(self, provider: ProviderName, ref: CustomerRef) -> bool:
        return self.writing[provider, ref] > 0

    async def start(self) -> None:
        await self._store.worker_leases.register(self.id, host=self.host, pid=os.getpid(), keys=self._keys())
        self._heartbeat = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """Release the lease: other processes may take over pending operations."""
        if self._heartbeat is None:
            return
        self._heartbeat.cancel()
        await asyncio.gather(self._heartbeat, return_exceptions=True)
        self._heartbeat = None
        with suppress(StoreUnavailable):  # the lease expires instead
            await self._store.worker_leases.stop(self.id)

    async def is_abandoned(self, operation: OperationRecord) -> bool:
        """True if no process works on this PENDING operation."""
        if operation.owner_id == self.id:
            return operation.id not in self.running
        owner = next((one for one in await self._store.worker_leases.all() if one.id == operation.owner_id), None)
        if owner is None or owner.stopped_at is not None or owner.beat_at < self._utc_now() - self.lease:
            return True
        return self._is_killed(owner)

    async def killed(self) -> set[str]:
        """Owners that are known to be dead although their lease is still valid."""
        return {one.id for one in await self._store.worker_leases.all() if one.id != self.id and self._is_killed(one)}

    async def announce_keys(self) -> None:
        """Publish the keys that this process knows, after a change. Raises StoreUnavailable."""
        await self._store.worker_leases.beat(self.id, keys=self._keys())

    async def others(self) -> list[LeaseRecord]:
        """The other live processes. Raises StoreUnavailable."""
        since = self._utc_now() - self.lease
        return [
            one
            for one in await self._store.worker_leases.all()
            if one.id != self.id and one.stopped_at is None and one.beat_at >= since and not self._is_killed(one)
        ]

    async def is_first_everywhere(self, setting: str, name: str) -> bool:
        """True if every live process uses the key of this name for new data. Raises StoreUnavailable.

        Only then is existing data stored anew under it: during a rotation, no process replaces what another one needs.
        """
        return all(next(iter(one.keys.get(setting, ())), None) == name for one in await self.others())

    def _is_killed(self, owner: LeaseRecord) -> bool:
        if not self._sees_pids or owner.host != self.host:
            return False
        # A container's process has the same pid after a restart, so another owner with this pid is dead.
        return owner.pid == os.getpid() or not _is_running(owner.pid)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.lease.total_seconds() / 3)
            with logged(_log, "the heartbeat could not be written; retrying"):
                if not await self._store.worker_leases.beat(self.id, keys=self._keys()):
                    # Register the new id before operations use it: otherwise they would look abandoned.
                    fresh = _new_id()
                    await self._store.worker_leases.register(fresh, host=self.host, pid=os.getpid(), keys=self._keys())
                    self.id = fresh


def _new_id() -> str:
    return f"own_{os.getpid()}_{secrets.token_hex(8)}"


def _is_running(pid: int) -> bool:
    with suppress(PermissionError):  # a process of another user: it runs
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Killed but not yet reaped by its parent: on Linux, signals to it still succeed."""
    with suppress(OSError):  # without /proc, assume that it runs
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] == "Z"
    return False
