"""A writer over real adapters, the sandbox and a new store, with the demo customers linked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from app.cli.demo_data import add_demo_customers
from app.providers.registry import build_providers
from app.sandbox.demo import ALEX, KIM, SAM
from app.store import Store
from app.store.records import MethodAddress
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.vault.model import NewMethod, PaymentMethod
from app.wallet.caller import ALL_SCOPES, Caller
from app.wallet.commands import Actor, AddMethod, WriteResult
from app.wallet.digest import DigestKeys
from app.wallet.ids import Ids
from app.wallet.reads.build_wallet import WalletRules
from app.wallet.reads.cache import SnapshotCache
from app.wallet.reads.policy import ReadPolicy
from app.wallet.reads.reader import WalletReader
from app.wallet.writes import WalletWriter
from app.wallet.writes.deps import Deps, fresh_wallet
from app.wallet.writes.lease import WorkerLease
from tests.contract.cases import CASES
from tests.support.calls import settings_on, soon
from tests.support.sandbox import RunningSandbox

P = ProviderName
BY_NAME = {case.name: case for case in CASES}
STAFF = Actor(caller=Caller(name="tests", scopes=ALL_SCOPES))
_KEYS = count(1)


class Died(BaseException):
    """Raised at a point to simulate SIGKILL: no application code may catch it."""


def new_key() -> str:
    return f"key-for-tests-{next(_KEYS):08d}"


class AheadClock:
    """The time plus the amount by which a test has advanced it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, **by: float) -> None:
        self.ahead += timedelta(**by)


def open_store(url: str, clock: AheadClock | None = None) -> Store:
    """A store whose clock is an `AheadClock`; a `Bench` on it uses the same clock."""
    return Store.open(url, clock=clock or AheadClock())


class Bench:
    """The writing side of one process. `deadline_s` is every vault's write deadline.

    After a lost reply, the clock is advanced until no request can be in flight, so that one reconciliation decides and
    no test waits. Without `is_hurried` it takes real time.
    """

    def __init__(
        self,
        sandbox: RunningSandbox,
        store: Store,
        *,
        deadline_s: float = 8.0,
        is_hurried: bool = True,
        **settings: Any,
    ) -> None:
        clock = store._db.now
        assert isinstance(clock, AheadClock)
        self.clock, self._is_hurried = clock, is_hurried
        same = {name.value: {"write_deadline_s": deadline_s, "breaker": {"minimum_calls": 10_000}} for name in P}
        for name, wanted in settings.items():
            same[name] = {**same[name], **wanted} if name in same else wanted
        self.settings = settings_on(sandbox, raw_cards=True, **same)
        self.sandbox = sandbox
        self.store = store
        self.providers = build_providers(self.settings)
        self.ids = Ids(self.settings.id_key.first.reveal())
        self.reader = WalletReader(
            self.providers,
            SnapshotCache(10_000_000, utc_now=clock),
            self.ids,
            dict.fromkeys(P, ReadPolicy(deadline_s=2)),
        )
        self.points: list[str] = []
        self.die_at: str | None = None
        self.at: dict[str, Callable[[], object]] = {}
        self.deps = Deps(
            store=store,
            reader=self.reader,
            ids=self.ids,
            rules=WalletRules(
                operations={name: vault.capabilities.operations for name, vault in self.providers.items()},
                precedence=tuple(P),
                group_secret=b"g" * 32,
            ),
            owner=WorkerLease(store, clock),
            digest_keys=DigestKeys(self.settings.digest_key.reveal(), lambda secret: secret),
            deadlines_s=dict.fromkeys(P, deadline_s),
            utc_now=clock,
            reached=self._reached,
        )
        self.writer = WalletWriter(self.deps)

    def _reached(self, point: str) -> None:
        """Record a point; a test may do something there (`at`), or end the process (`die_at`)."""
        self.points.append(point)
        if point.startswith("lost:") and self._is_hurried:
            self.clock.advance(seconds=10)
        if point in self.at:
            self.at[point]()
        if point == self.die_at:
            raise Died(point)

    async def open(self) -> None:
        await self.store.transaction(add_demo_customers, (ALEX, SAM, KIM))
        await self.deps.owner.start()

    async def close(self) -> None:
        await self.writer.drain()
        await self.deps.owner.stop()
        for vault in self.providers.values():
            await vault.close()

    # ---- asking ----

    def method(self, name: ProviderName, kind: str | None = None) -> NewMethod:
        makers = BY_NAME[name].new_methods
        return makers[kind or next(iter(makers))](self.sandbox)

    def adding(self, name: ProviderName, **changes: Any) -> AddMethod:
        given: dict[str, Any] = {"customer_id": ALEX.id, "idempotency_key": new_key()}
        if "method" not in changes:
            given["method"] = self.method(name)
        return AddMethod(**given | changes)

    async def until_settled(self, ask: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
        """Retry like a client, while the reply says that the write may be retried."""
        for _ in range(100):
            result = await ask()
            if not any(problem.retryable for problem in result.problems):
                return result
            await asyncio.sleep(0.05)
        raise AssertionError(f"never settled: {result.problems}")

    async def add(self, name: ProviderName, **changes: Any) -> WriteResult:
        return await self.writer.run(self.adding(name, **changes), STAFF, soon())

    async def wallet(self, name: ProviderName, ref: str | None = None) -> dict[MethodRef, PaymentMethod]:
        found = await fresh_wallet(self.providers[name], CustomerRef(ref or ALEX.refs[name.value]), soon())
        return {method.method_ref: method for method in found.methods}

    def address(self, name: ProviderName, method: str) -> MethodAddress:
        return MethodAddress(name, CustomerRef(ALEX.refs[name.value]), MethodRef(method))

    def id(self, name: ProviderName, method: str) -> str:
        return self.ids.encode_address(self.address(name, method))

    async def first(self, name: ProviderName, place: int = 0) -> PaymentMethod:
        """One of Alex's active methods."""
        shown = [one for one in (await self.wallet(name)).values() if one.status.value == "ACTIVE"]
        return shown[place]


@asynccontextmanager
async def bench_on(sandbox: RunningSandbox, store: Store, **how: Any) -> AsyncIterator[Bench]:
    bench = Bench(sandbox, store, **how)
    await bench.open()
    try:
        yield bench
    finally:
        await bench.close()


async def dead(task: "asyncio.Task[Any] | Any") -> None:
    """Wait for a write that a test made die."""
    try:
        await task
    except Died:
        return
    raise AssertionError("it lived on")


@pytest.fixture
async def bench(sandbox: RunningSandbox, sqlite_url: str) -> AsyncIterator[Bench]:
    store = open_store(sqlite_url)
    async with bench_on(sandbox, store) as opened:
        yield opened
    await store.close()
