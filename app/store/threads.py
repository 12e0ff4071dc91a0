"""Threads that each own one database connection, and run whole jobs on it.

A job is one hop to a thread and one back, however many statements it runs. `concurrent.futures` makes 40 Python calls
for that, this pool 12.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

from app.store.connection import Driver
from app.store.errors import StoreUnavailable

T = TypeVar("T")


class _Job(Generic[T]):
    """`claim` is taken once: by the thread that runs the job, or by the caller that gives it up before."""

    __slots__ = ("_then", "_waiter", "claim", "driver", "is_done", "loop", "result", "work")

    def __init__(self, work: Callable[[Driver], T], then: Callable[[T], None] | None) -> None:
        self.work = work
        self.loop = asyncio.get_running_loop()
        self.result: asyncio.Future[T] = self.loop.create_future()
        self.claim = threading.Lock()
        self.driver: Driver | None = None  # while it runs
        self.is_done = False
        self._then = then
        self._waiter: asyncio.Future[None] | None = None

    def finish(self, found: Any, error: BaseException | None) -> None:
        """On the event loop."""
        self.is_done = True
        try:
            if error is None and self._then is not None:
                self._then(found)
        finally:
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
            if not self.result.done():  # else the caller was cancelled
                if error is None:
                    self.result.set_result(found)
                else:
                    self.result.set_exception(error)

    async def wait(self) -> None:
        """Wait until the job is done, ignoring further cancellations."""
        while not self.is_done:
            self._waiter = self.loop.create_future()
            with suppress(asyncio.CancelledError):
                await self._waiter


class ThreadPool:
    """At most `size` threads, started when needed; each connects when it gets its first job.

    A job that has not ended after `limit_s` fails with StoreUnavailable: its connection is closed.
    """

    def __init__(self, connect: Callable[[], Driver], size: int, limit_s: float | None = None) -> None:
        self._connect: Final = connect
        self._size: Final = size
        self._limit_s: Final = limit_s
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0

    async def run(self, work: Callable[[Driver], T], then: Callable[[T], None] | None = None) -> T:
        """Run `work` in a thread. If the caller is cancelled, a job that has begun still runs to its end, and the
        cancellation is raised afterwards. `then` runs on the event loop if and only if `work` succeeded."""
        job = _Job(work, then)
        if self._unfinished >= len(self._threads) < self._size:
            self._start_thread()
        self._unfinished += 1
        self._jobs.put(job)
        timer = None if self._limit_s is None else job.loop.call_later(self._limit_s, self._expire, job)
        try:
            return await job.result
        except asyncio.CancelledError:
            if not job.claim.acquire(blocking=False):
                await job.wait()
            raise
        finally:
            self._unfinished -= 1
            if timer is not None:
                timer.cancel()

    @property
    def usage(self) -> tuple[int, int, int]:
        """Connections in use, idle connections, and jobs that wait for one."""
        opened, jobs = len(self._threads), self._unfinished
        return min(jobs, opened), max(0, opened - jobs), max(0, jobs - opened)

    async def close(self) -> None:
        """End the threads and close their connections, after the jobs that were submitted."""
        while self._threads:  # jobs that are submitted meanwhile start new threads, with a queue of their own
            threads, self._threads = self._threads, []
            jobs, self._jobs = self._jobs, SimpleQueue()
            for _ in threads:
                jobs.put(None)
            for thread in threads:
                await asyncio.to_thread(thread.join)

    def _start_thread(self) -> None:
        # A daemon: an open connection must not keep the process from exiting.
        thread = threading.Thread(target=self._serve, args=(self._jobs,), name="vaultgraph-store", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            if not self._threads:
                raise StoreUnavailable(type(error).__name__) from None
            return
        self._threads.append(thread)

    def _serve(self, jobs: "SimpleQueue[_Job[Any] | None]") -> None:
        driver: Driver | None = None
        while (job := jobs.get()) is not None:
            if job.claim.locked():
                continue
            found, error = None, None
            try:
                if driver is not None and not driver.is_usable():
                    driver.close()
                    driver = None
                if driver is None:
                    driver = self._connect()
            except BaseException as raised:  # noqa: BLE001 - raised in the caller
                error = raised
            job.driver = driver
            # Taken with a connection: a caller that gives up while the thread connects does not wait for it.
            if not job.claim.acquire(blocking=False):
                job.driver = None
                continue
            try:
                if driver is not None and error is None:
                    found = job.work(driver)
            except BaseException as raised:  # noqa: BLE001 - raised in the caller
                error = raised
            job.driver = None
            try:  # noqa: SIM105 - `suppress` is three calls more for each job
                job.loop.call_soon_threadsafe(job.finish, found, error)
            except RuntimeError:  # the event loop is closed: no caller waits
                pass
            del job, found, error
        if driver is not None:
            driver.close()

    @staticmethod
    def _expire(job: _Job[Any]) -> None:
        if job.claim.acquire(blocking=False):
            job.finish(None, StoreUnavailable("TimeoutError"))
        elif (driver := job.driver) is not None:
            driver.abort()
