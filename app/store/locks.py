"""Locks, for example one writer per customer and vault: in-process, plus PostgreSQL advisory locks between processes.

PostgreSQL releases a session's advisory locks when the process or its connection ends. If only the connection ends, the
holders do not notice; the journal's check for `unreconciled` operations then protects against concurrent writes.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import greenlet_spawn

from app.store.availability import outage
from app.store.database import Database
from app.store.errors import LockTimeout, StoreUnavailable
from app.vault.enums import CustomerRef, ProviderName

_FIRST_PAUSE_S: Final = 0.005
_LONGEST_PAUSE_S: Final = 0.05
_TRY: Final = text("SELECT pg_try_advisory_lock(:key)")
_FREE: Final = text("SELECT pg_advisory_unlock(:key)")


class Locks:
    """`hold` waits for a limited time, in FIFO order within this process; `leadership` does not wait."""

    def __init__(self, database: Database) -> None:
        self._tenant = database.tenant
        self._local = _LocalLocks()
        self._shared = None if database.is_sqlite else _SharedLocks(database)

    @asynccontextmanager
    async def customer_vault_lock(
        self, provider: ProviderName, customer_ref: CustomerRef, *, wait_s: float = 8.0
    ) -> AsyncIterator[None]:
        """The lock for writes to one customer at one vault. Raises LockTimeout after `wait_s` seconds."""
        async with self.hold(f"vault|{provider.value}|{customer_ref}", wait_s=wait_s):
            yield

    @asynccontextmanager
    async def hold(self, name: str, *, wait_s: float) -> AsyncIterator[None]:
        """A named lock; not re-entrant. Raises LockTimeout after `wait_s` seconds."""
        name = f"{self._tenant}|{name}"
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        async with self._local.hold(name, wait_s):
            if self._shared is None:
                yield
                return
            await self._shared.acquire(name, until - loop.time())
            try:
                yield
            finally:
                await self._shared.release(name)

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


class _SharedLocks:
    """Advisory locks in one database session of this process.

    `pg_try_advisory_lock` does not block, so one connection serves all waiters and the pool is not exhausted. Calls
    run in separate tasks, because a cancelled query would close the connection and release all locks.
    """

    def __init__(self, database: Database) -> None:
        self._engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._session: Connection | None = None
        self._access = database.availability.writes
        self._session_lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

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

    async def release(self, name: str) -> None:
        await asyncio.shield(self._spawn(self._free(_key(name))))

    async def close(self) -> None:
        while self._tasks:
            await asyncio.wait(list(self._tasks))
        async with self._session_lock:
            session, self._session = self._session, None
            if session is not None:
                await greenlet_spawn(session.invalidate)  # a pooled connection would keep the locks
                await greenlet_spawn(session.close)

    async def _try(self, key: int) -> bool:
        attempt = self._spawn(self._try_lock(key))
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            self._spawn(self._undo(attempt, key))
            raise

    async def _undo(self, attempt: asyncio.Task[bool], key: int) -> None:
        """Release the lock if the attempt succeeds after its caller was cancelled."""
        with suppress(StoreUnavailable):  # a lost connection has released the locks
            if await attempt:
                await self._free(key)

    async def _try_lock(self, key: int) -> bool:
        async with self._session_lock:
            try:
                try:
                    return await self._run(key)
                except DBAPIError as error:
                    if not error.connection_invalidated:
                        raise
                    await self._drop()
                return await self._run(key)
            except Exception as error:
                self._access.failed(error)
                raise

    async def _run(self, key: int) -> bool:
        if self._session is None:
            self._session = await greenlet_spawn(self._engine.connect)
        found = bool(await greenlet_spawn(self._session.scalar, _TRY, {"key": key}))
        self._access.worked()
        return found

    async def _free(self, key: int) -> None:
        async with self._session_lock:
            if self._session is None:
                return
            try:
                await greenlet_spawn(self._session.execute, _FREE, {"key": key})
            except DBAPIError as error:
                if outage(error) is None:
                    raise
                await self._drop()  # a lost connection has released the locks

    async def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await greenlet_spawn(session.close)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _key(name: str) -> int:
    """A signed 64-bit hash. On a collision, two names share a lock, which is safe."""
    return int.from_bytes(sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big", signed=True)
