"""The context of one request: caller, deadline and loaders."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol, Self

import strawberry
from msgspec import Struct

from app.store.records import ConsentRecord, PaymentAttempt, PaymentRecord
from app.vault.enums import CircuitState, CustomerRef, MethodRef, ProviderName
from app.vault.provider import Call, TraceHeaders
from app.wallet.caller import Caller
from app.wallet.commands import WriteResult
from app.wallet.reads.build_wallet import DefaultInfo, WalletRules
from app.wallet.reads.customers import CustomerCache, DirectoryEntry, MethodAddress
from app.wallet.reads.export import CustomerExport
from app.wallet.reads.reader import SourceReading, WalletReader
from app.wallet.reads.wallet_cache import WalletCache
from resolvers.audit import AuditTrail, NoTrail, Refusal, Refusals
from resolvers.events import EventFeed, EventLog, NoEvents, unchanged
from resolvers.inputs.urls import ReturnOrigins
from resolvers.loaders import Loaders
from resolvers.search import CustomerFinder, ExpiryReader, NoSearch
from resolvers.writer import NoWrites, OperationReader, Writer


class IdReader(Protocol):
    def encode(self, provider: ProviderName, customer_ref: CustomerRef, method_ref: MethodRef) -> str: ...

    def decode(self, method_id: str) -> MethodAddress | None: ...


_UTC_NOW: Final = partial(datetime.now, UTC)


def _closed(provider: ProviderName) -> CircuitState:
    return CircuitState.CLOSED


def _as_spelled(provider: ProviderName, ref: str) -> CustomerRef:
    return CustomerRef(ref)


class Exporter(Protocol):
    async def export(self, customer_id: str, call: Call, *, with_refs: bool = False) -> CustomerExport | None: ...


class WorkBudget(Protocol):
    """The limits of the response. `take_work` charges a field for the items that its resolver examines."""

    def take_work(self, items: int) -> None: ...


class NoBudget:
    """For operations without limits."""

    def take_work(self, items: int) -> None:
        return None


_NO_BUDGET: Final = NoBudget()


async def _not_by_us(customer_id: str, address: MethodAddress) -> bool:
    return False


async def _not_merged(customer_id: str) -> str | None:
    return None


class _NoExports:
    """For a schema without a store."""

    async def export(self, customer_id: str, call: Call, *, with_refs: bool = False) -> CustomerExport | None:
        return None


async def _unnoted(default: DefaultInfo) -> bool:
    return False


async def _no_consents(customer_id: str) -> list[ConsentRecord]:
    return []


async def _no_attempts(payment_id: str) -> list[PaymentAttempt]:
    return []


async def _no_payment(payment_id: str) -> PaymentRecord | None:
    return None


@dataclass(kw_only=True)
class Services:
    """The process's services, as resolvers use them. Created once. `rules.operations` lists the enabled vaults.

    `deleted_by_us` returns whether a method that its vault shows as inactive was deleted through the gateway.
    `merged_into` returns the id of the customer into which one was merged, None if it was not.
    `note_choice` records what lists change about a stored default, and returns whether it was cleared.
    `revalidate` returns a caller with its current rights, or None; a stream calls it at least every `recheck_s`.
    `canonical_ref` normalises a vault's customer ref.
    """

    directory: CustomerCache
    reader: WalletReader
    ids: IdReader
    rules: WalletRules
    deadline_s: float = 3.0
    list_limit: int = 1_000
    test_mode: bool = False
    return_origins: ReturnOrigins = field(default_factory=ReturnOrigins)
    writer: Writer = field(default_factory=NoWrites)
    operations: OperationReader = field(default_factory=NoWrites)
    payment: Callable[[str], Awaitable[PaymentRecord | None]] = _no_payment
    merged_into: Callable[[str], Awaitable[str | None]] = _not_merged
    consents: Callable[[str], Awaitable[list[ConsentRecord]]] = _no_consents
    payment_attempts: Callable[[str], Awaitable[list[PaymentAttempt]]] = _no_attempts
    exporter: Exporter = field(default_factory=_NoExports)
    circuit: Callable[[ProviderName], CircuitState] = _closed
    deleted_by_us: Callable[[str, MethodAddress], Awaitable[bool]] = _not_by_us
    note_choice: Callable[[DefaultInfo], Awaitable[bool]] = _unnoted
    audit: AuditTrail = field(default_factory=NoTrail)
    events: EventLog = field(default_factory=NoEvents)
    customer_search: CustomerFinder = field(default_factory=NoSearch)
    observed: ExpiryReader = field(default_factory=NoSearch)
    feed: EventFeed = field(default_factory=NoEvents)
    revalidate: Callable[[Caller], Awaitable[Caller | None]] = unchanged
    recheck_s: float = 15.0
    canonical_ref: Callable[[ProviderName, str], CustomerRef] = _as_spelled
    utc_now: Callable[[], datetime] = _UTC_NOW
    wallets: WalletCache = field(init=False)

    def __post_init__(self) -> None:
        self.wallets = WalletCache(self.rules, self.reader.snapshots)


class Context(Struct, kw_only=True):  # created in C
    """The context of one request. Create it with `create` on the running loop, and always `close` it.

    `writes` has the results of the mutation's root fields that ran, by their keys in the response; None for one that
    raised or is running.

    `analyses` keeps what `app.execution.selected` finds out about the operation if it has no plan. For streams:
    `resume_after` is the client's last event id (Last-Event-ID), `event_id` the id of the current event. `has_failed`
    is True once the store was unavailable for a write.
    """

    services: Services
    caller: Caller
    call: Call
    loaders: Loaders
    _tasks: set[asyncio.Task[Any]]
    budget: WorkBudget = _NO_BUDGET
    resume_after: str | None = None
    event_id: str | None = None
    analyses: dict[Any, Any] = {}
    has_failed: bool = False
    writes: dict[str, WriteResult | None] | None = None
    writes_refused: Mapping[str, tuple[str, ...]] | None = None
    _refusals: Refusals | None = None

    @classmethod
    def create(
        cls,
        services: Services,
        caller: Caller,
        request_id: str,
        deadline_at: float | None = None,
        trace: TraceHeaders | None = None,
    ) -> Self:
        """`deadline_at` is on the loop's clock; by default the configured seconds from now."""
        if deadline_at is None:
            deadline_at = asyncio.get_running_loop().time() + services.deadline_s
        call = Call(deadline_at=deadline_at, request_id=request_id, client=caller.key, trace=trace)
        tasks: set[asyncio.Task[Any]] = set()
        return cls(services=services, caller=caller, call=call, loaders=Loaders(services, call, tasks), _tasks=tasks)

    @property
    def refusals(self) -> Refusals:
        if self._refusals is None:
            self._refusals = Refusals()
        return self._refusals

    @property
    def request_id(self) -> str:
        return self.call.request_id

    @property
    def upstream_calls(self) -> int:
        """The number of vault calls made for this request so far."""
        return self.call.meter.calls

    def cached_entry(self, customer_id: str) -> DirectoryEntry | None:
        """As `entry`, without awaiting; None also if the customer is not cached."""
        return self.services.directory.cached(customer_id) if self.caller.may_see(customer_id) else None

    async def entry(self, customer_id: str) -> DirectoryEntry | None:
        """A customer, or None if unknown or not visible to this caller, which must not be distinguishable."""
        if not self.caller.may_see(customer_id):
            self.refusals.add(Refusal("Customer", "NOT_GRANTED", customer_id[:80]))
            return None
        known = self.services.directory.cached(customer_id)
        return known if known is not None else await self.loaders.entries.load(customer_id)

    def after_write(self) -> None:
        """Read everything anew from now on, with a fresh deadline.

        Mutation fields run in sequence, so no read of an earlier field is still running.
        """
        deadline_at = asyncio.get_running_loop().time() + self.services.deadline_s
        self.call = replace(self.call, deadline_at=max(self.call.deadline_at, deadline_at))
        self.analyses.clear()  # the caller's rights may have changed
        self._tasks = {one for one in self._tasks if not one.done()}
        self.loaders = Loaders(self.services, self.call, self._tasks)

    def close(self) -> None:
        """Cancel pending work; shared reads continue for other requests. Idempotent."""
        for task in self._tasks:
            task.cancel()
        if self._refusals is not None:
            self._refusals.tell(self.services.audit, self.caller, self.call.request_id)

    def response_extensions(self) -> Mapping[str, Any]:
        """`sources`: the rows that make the response incomplete, for every customer in it. Absent if there are none."""
        rows = self.loaders.incomplete_sources()
        return {"sources": [_echo(customer_id, row) for customer_id, row in rows]} if rows else {}


def _echo(customer_id: str, row: SourceReading) -> Mapping[str, Any]:
    shown = {
        "customerId": customer_id,
        "provider": row.provider.name,
        "state": row.state.value,
        "truncated": row.truncated or None,
        "message": row.message,
        "retryAfterSeconds": row.retry_after_seconds,
        "providerRequestId": row.provider_request_id,
    }
    return {key: value for key, value in shown.items() if value is not None}


Info = strawberry.Info[Context, None]
