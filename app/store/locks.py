"""Locks, for example one writer per customer and vault: in-process, plus between processes PostgreSQL's advisory locks,
or for SQLite locks of a file.

PostgreSQL releases a session's advisory locks when the process or its connection ends. If only the connection ends, the
holders do not notice; the journal's check for `unreconciled` operations then protects against concurrent writes.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from hashlib import sha256
from typing import Final

from app.store.connection import Driver
from app.store.database import Database
from app.store.errors import LockTimeout, StoreUnavailable
from app.store.file_locks import IS_SUPPORTED, FileLocks
from app.store.statements import Statement
from app.vault.enums import CustomerRef, ProviderName

_FIRST_PAUSE_S: Final = 0.005
_LONGEST_PAUSE_S: Final = 0.05
_TRY: Final = Statement("SELECT pg_try_advisory_lock(:key)")
_FREE: Final = Statement("SELECT pg_advisory_unlock(:key)")


class Locks:
    """`hold` waits for a limited time, in FIFO order within this process; `leadership` does not wait."""

    def __init__(self, database: Database) -> None:
        self._tenant = database.tenant
        self._local = _LocalLocks()
        self._shared: _SharedLocks | None = None
        if not database.engine.is_sqlite:
            self._shared = _AdvisoryLocks(database)
        elif IS_SUPPORTED:
            self._shared = _OfFile(database.engine.address)

    def customer_vault_lock(
        self, provider: ProviderName, customer_ref: CustomerRef, *, wait_s: float = 8.0
    ) -> AbstractAsyncContextManager[None]:
        """The lock for writes to one customer at one vault. Raises LockTimeout after `wait_s` seconds."""
        return self.hold(f"vault|{provider.value}|{customer_ref}", wait_s=wait_s)

    def hold(self, name: str, *, wait_s: float) -> AbstractAsyncContextManager[None]:
        """A named lock; not re-entrant. Raises LockTimeout after `wait_s` seconds."""
        name = f"{self._tenant}|{name}"
        if self._shared is None:
            return self._local.hold(name, wait_s)
        return self._hold_everywhere(self._shared, name, wait_s)

    @asynccontextmanager
    async def _hold_everywhere(self, shared: "_SharedLocks", name: str, wait_s: float) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        async with self._local.hold(name, wait_s):
            await shared.acquire(name, until - loop.time())
            try:
                yield
            finally:
                await shared.release(name)

    @asynccontextmanager
    async def leadership(self, duty: str) -> AsyncIterator[bool]:
        """Leader election: True in at most one process while the block runs, for tasks of a single replica."""
        hold = self.hold(f"leader|{duty}", wait_s=0)
        try:
            await hold.__aenter__()
        except LockTimeout:
            yield False
            return
        try:
            yield True
        finally:
            await hold.__aexit__(None, None, None)

    async def close(self) -> None:
        if self._shared is not None:
            await self._shared.close()


class _LocalLocks:
    """In-process locks by name, removed when unused."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def hold(self, name: str, wait_s: float) -> AsyncIterator[None]:
        lock = self._locks.setdefault(name, asyncio.Lock())
        self._users[name] = self._users.get(name, 0) + 1
        try:
            await self._acquire(name, lock, wait_s)
            try:
                yield
            finally:
                lock.release()
        finally:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name], self._locks[name]

    async def _acquire(self, name: str, lock: asyncio.Lock, wait_s: float) -> None:
        if self._users[name] == 1:
            await lock.acquire()  # does not wait: no other user
            return
        try:
            async with asyncio.timeout(max(wait_s, 0)):
                await lock.acquire()
        except TimeoutError:
            raise LockTimeout("the lock is held in this process") from None


class _SharedLocks(ABC):
    """Locks between processes. Tried until one is free, which no process waits for in the kernel or the database."""

    async def acquire(self, name: str, wait_s: float) -> None:
        key = _key(name)
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        pause = _FIRST_PAUSE_S
        while not await self._try(key):
            left = until - loop.time()
            if left <= 0:
                raise LockTimeout("the lock is held by another process")
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE_S)

    @abstractmethod
    async def release(self, name: str) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def _try(self, key: int) -> bool: ...


class _OfFile(_SharedLocks):
    def __init__(self, file: str) -> None:
        self._locks: Final = FileLocks(file)

    async def release(self, name: str) -> None:
        self._locks.unlock(_key(name))

    async def close(self) -> None:
        self._locks.close()

    async def _try(self, key: int) -> bool:
        return self._locks.try_lock(key)


class _AdvisoryLocks(_SharedLocks):
    """Advisory locks in one database session of this process.

    `pg_try_advisory_lock` does not block, so one session serves all waiters and no pool is exhausted.
    """

    def __init__(self, database: Database) -> None:
        self._database: Final = database
        self._session: Final = database.engine.pool(1)
        self._releases: set[asyncio.Task[None]] = set()

    async def release(self, name: str) -> None:
        await asyncio.shield(self._free(_key(name)))

    async def close(self) -> None:
        while self._releases:
            await asyncio.wait(list(self._releases))
        await self._session.close()

    async def _try(self, key: int) -> bool:
        is_held = False

        def attempt(driver: Driver) -> None:
            nonlocal is_held
            is_held = bool(driver.rows(_TRY, {"key": key})[0][0])

        try:
            await self._database.run(self._session, self._database.availability.writes, attempt)
        except asyncio.CancelledError:
            if is_held:
                self._free(key)
            raise
        return is_held

    def _free(self, key: int) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._unlock(key))
        self._releases.add(task)
        task.add_done_callback(self._releases.discard)
        return task

    async def _unlock(self, key: int) -> None:
        with suppress(StoreUnavailable):  # a lost session has released its locks
            await self._session.run(lambda driver: driver.run(_FREE, {"key": key}))


def _key(name: str) -> int:
    """A signed 64-bit hash. On a collision, two names share a lock, which is safe."""
    return int.from_bytes(sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big", signed=True)
