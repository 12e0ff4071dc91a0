"""What one request carries: who asks, until when, and its loaders."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol, Self, TypeVar

import strawberry

from app.store.records import PaymentRecord
from app.vault.names import CircuitState, CustomerRef, MethodRef, ProviderName
from app.vault.provider import Call
from app.wallet.assemble import AssemblyRules, DefaultInfo
from app.wallet.assembler import Assembler
from app.wallet.caller import Caller
from app.wallet.directory import DirectoryCache, DirectoryEntry, MethodAddress
from app.wallet.foresight import Question
from app.wallet.reading import WalletReader
from resolvers.audit import AuditTrail, NoTrail, Refusal, Refusals
from resolvers.events import EventFeed, EventLog, NoEvents, unchanged
from resolvers.inputs.urls import ReturnOrigins
from resolvers.loaders import EntryLoader, OwnerLoader
from resolvers.wallets import CustomerWallet
from resolvers.writer import NoWrites, Operations, Writer

T = TypeVar("T")


class IdReader(Protocol):
    def encode(self, provider: ProviderName, customer_ref: CustomerRef, method_ref: MethodRef) -> str: ...

    def decode(self, method_id: str) -> MethodAddress | None: ...


def _closed(provider: ProviderName) -> CircuitState:
    return CircuitState.CLOSED


def _as_spelled(provider: ProviderName, ref: str) -> CustomerRef:
    return CustomerRef(ref)


class Budget(Protocol):
    """What the answer may hold. `take_work`: a resolver looks through so many things for one field."""

    def take_work(self, items: int) -> None: ...


class NoBudget:
    """For operations that nobody bounds."""

    def take_work(self, items: int) -> None:
        return None


async def _not_by_us(customer_id: str, address: MethodAddress) -> bool:
    return False


async def _unnoted(default: DefaultInfo) -> bool:
    return False


async def _no_payment(payment_id: str) -> PaymentRecord | None:
    return None


@dataclass(kw_only=True)
class Services:
    """What resolvers use of the process; made once. `rules.operations` has the vaults that are enabled.

    `deleted_by_us` tells whether a customer's method that its vault shows as inactive was deleted through us.
    `note_choice` writes down what lists change about a stored default, and answers whether it was forgotten. `again`
    answers a caller with the rights it has now, None when it has none; a stream asks at least every `recheck_s`.
    `canonical_ref` gives a vault's customer ref its one spelling.
    """

    directory: DirectoryCache
    reader: WalletReader
    ids: IdReader
    rules: AssemblyRules
    deadline_s: float = 3.0
    list_limit: int = 1_000
    test_mode: bool = False
    return_origins: ReturnOrigins = field(default_factory=ReturnOrigins)
    writer: Writer = field(default_factory=NoWrites)
    operations: Operations = field(default_factory=NoWrites)
    payment: Callable[[str], Awaitable[PaymentRecord | None]] = _no_payment
    circuit: Callable[[ProviderName], CircuitState] = _closed
    deleted_by_us: Callable[[str, MethodAddress], Awaitable[bool]] = _not_by_us
    note_choice: Callable[[DefaultInfo], Awaitable[bool]] = _unnoted
    audit: AuditTrail = field(default_factory=NoTrail)
    events: EventLog = field(default_factory=NoEvents)
    feed: EventFeed = field(default_factory=NoEvents)
    again: Callable[[Caller], Awaitable[Caller | None]] = unchanged
    recheck_s: float = 15.0
    canonical_ref: Callable[[ProviderName, str], CustomerRef] = _as_spelled
    utc_now: Callable[[], datetime] = lambda: datetime.now(UTC)
    assembler: Assembler = field(init=False)

    def __post_init__(self) -> None:
        self.assembler = Assembler(self.rules)


@dataclass(kw_only=True)
class Context:
    """One request. Make it with `create` on the running loop, and `close` it whatever happened.

    `question` is the operation's: the same whenever the same fields are asked for; None where nobody says.
    Of a stream: `resume_after` is the last event id that its client had (Last-Event-ID), `event_id` that of the answer.
    `has_failed` once the store was not there for a write.
    """

    services: Services
    caller: Caller
    call: Call
    budget: Budget = field(default_factory=NoBudget, init=False)
    refusals: Refusals = field(default_factory=Refusals, init=False)
    resume_after: str | None = field(default=None, init=False)
    event_id: str | None = field(default=None, init=False)
    question: Question | None = field(default=None, init=False)
    has_failed: bool = field(default=False, init=False)
    writes_refused: Mapping[str, tuple[str, ...]] | None = field(default=None, init=False)
    _wallets: dict[str, CustomerWallet] = field(default_factory=dict, init=False)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set, init=False)
    _entries: EntryLoader | None = field(default=None, init=False)
    _owners: OwnerLoader | None = field(default=None, init=False)

    # Loaders are made when the first field needs one: most requests need none.

    @property
    def entries(self) -> EntryLoader:
        if self._entries is None:
            self._entries = EntryLoader(self.services.directory, self.adopt)
        return self._entries

    @property
    def owners(self) -> OwnerLoader:
        if self._owners is None:
            self._owners = OwnerLoader(self.services.directory, self.adopt)
        return self._owners

    def _load_anew(self) -> None:
        self._entries = self._owners = None

    @classmethod
    def create(
        cls,
        services: Services,
        caller: Caller,
        request_id: str,
        deadline_at: float | None = None,
        traceparent: str | None = None,
    ) -> Self:
        """`deadline_at` is on the loop's clock; without one, the setting's seconds from now."""
        if deadline_at is None:
            deadline_at = asyncio.get_running_loop().time() + services.deadline_s
        call = Call(deadline_at=deadline_at, request_id=request_id, traceparent=traceparent, client=caller.key)
        return cls(services=services, caller=caller, call=call)

    @property
    def request_id(self) -> str:
        return self.call.request_id

    @property
    def asks(self) -> Question | None:
        """What is asked with these rights; None where nobody says. Others' rights might reach other fields."""
        return None if self.question is None else (self.question, self.caller.scopes)

    @property
    def upstream_calls(self) -> int:
        """Calls to vaults made for this request so far."""
        return self.call.meter.calls

    async def entry(self, customer_id: str) -> DirectoryEntry | None:
        """One of our customers; None when unknown or not this caller's to see: the two must look alike."""
        if not self.caller.may_see(customer_id):
            self.refusals.add(Refusal("Customer", "NOT_GRANTED", customer_id[:80]))
            return None
        known = self.services.directory.at_hand(customer_id)
        return known if known is not None else await self.entries.load(customer_id)

    def wallet_of(self, entry: DirectoryEntry) -> CustomerWallet:
        """The request's one wallet of a customer, however many fields and aliases ask."""
        found = self._wallets.get(entry.customer.id)
        if found is None:
            found = self._wallets[entry.customer.id] = CustomerWallet(self, entry)
        return found

    def after_write(self) -> None:
        """Whatever is asked from now on in this request is read anew, with as much time as a request has.

        Mutation fields run one after the other, so nobody is still reading for an earlier one.
        """
        deadline_at = asyncio.get_running_loop().time() + self.services.deadline_s
        self.call = replace(self.call, deadline_at=max(self.call.deadline_at, deadline_at))
        self._wallets.clear()
        self._load_anew()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something that several fields wait for; it ends with the request at the latest."""
        task = asyncio.get_running_loop().create_task(work)
        self._keep(task)
        return task

    def adopt(self) -> None:
        """Make the running task one of the request's: loaders start their own."""
        task = asyncio.current_task()
        if task is not None:
            self._keep(task)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Let go of whatever is still on its way; shared reads go on for others. Harmless when repeated."""
        for task in tuple(self._tasks):
            task.cancel()
        # No circles: what a request leaves must be gone with it, not when the collector comes.
        self._load_anew()
        for wallet in self._wallets.values():
            wallet.let_go()
        self.refusals.tell(self.services.audit, self.caller, self.request_id)

    def response_extensions(self) -> Mapping[str, Any]:
        """`sources`: the rows that make the answer incomplete, for every customer in it. Absent when there is none."""
        rows = [row for wallet in self._wallets.values() for row in wallet.troubles()]
        return {"sources": rows} if rows else {}


Info = strawberry.Info[Context, None]
