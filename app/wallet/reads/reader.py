"""Reads vaults: many customers, all vaults in parallel, with deadlines, and a source state for each vault."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol

from app.errors import (
    CircuitOpen,
    RejectReason,
    VaultError,
    VaultRefusedUs,
    VaultRejected,
    VaultThrottled,
    VaultTimeout,
)
from app.vault.enums import (
    AuthStatus,
    CustomerRef,
    MethodRef,
    ProviderName,
    SourceState,
)
from app.vault.frozen_dataclass import value
from app.vault.model import Card, PaymentMethod, VaultWallet
from app.vault.provider import Call, VaultProvider
from app.vault.rules.label import label_of
from app.vault.rules.order import by_provider
from app.wallet.reads.cache import Key, Read, SnapshotCache, Source, Waiter
from app.wallet.reads.policy import ReadPolicy
from app.wallet.reads.prefetch import PrefetchHints, Question
from app.wallet.reads.three_d_secure import StatusReader, StatusSeat

# Memory per method, with id and label, and per wallet without methods: measured on CPython.
METHOD_BYTES: Final = 1_400
WALLET_BYTES: Final = 1_000


class IdMaker(Protocol):
    """Makes a method's opaque id; raises ValueError if its refs are too long."""

    def encode(self, provider: ProviderName, customer_ref: CustomerRef, method_ref: MethodRef) -> str: ...


@value(frozen=True, slots=True)
class CachedEntry:
    """One method with its derived id and label, computed once per vault read."""

    method: PaymentMethod
    id: str
    label: str


@dataclass(slots=True, weakref_slot=True)
class CachedContent:
    """A vault's methods, prepared for responses: the same object while reads return the same. `skipped` counts
    unreadable records and methods without an id. `foresight` is set once statuses of its cards were read."""

    entries: tuple[CachedEntry, ...]
    skipped: int
    foresight: PrefetchHints | None = field(default=None, compare=False, repr=False)


@dataclass(slots=True)  # immutable in use; `frozen` would slow its creation, once per read
class CachedWallet:
    """One vault's wallet as cached."""

    wallet: VaultWallet
    content: CachedContent

    @property
    def entries(self) -> tuple[CachedEntry, ...]:
        return self.content.entries

    @property
    def skipped(self) -> int:
        return self.content.skipped

    @property
    def is_whole(self) -> bool:
        return not self.content.skipped and not self.wallet.truncated


@dataclass(slots=True, weakref_slot=True, kw_only=True)  # immutable in use; `frozen` is slower
class SourceReading:
    """One vault's result for one customer. `held` is None if there is nothing to show.

    `asked_at` and `fetched_at` are when the call began and ended; `latency_ms` is None if no call was made.
    """

    state: SourceState
    held: CachedWallet | None = None
    asked_at: datetime | None = None
    fetched_at: datetime | None = None
    is_stale: bool = False
    latency_ms: int | None = None
    retry_after_s: float | None = None
    message: str | None = None
    provider_request_id: str | None = None

    @property
    def wallet(self) -> VaultWallet | None:
        return self.held.wallet if self.held else None


class WalletReader:
    """Reads through the snapshot cache. One per process; belongs to one event loop."""

    def __init__(
        self,
        providers: Mapping[ProviderName, VaultProvider],
        snapshots: SnapshotCache,
        ids: IdMaker,
        policies: Mapping[ProviderName, ReadPolicy] | None = None,
        on_list: Callable[[VaultWallet], None] | None = None,
        on_status: Callable[[Card, AuthStatus, datetime], None] | None = None,
        on_not_found: Callable[[ProviderName, CustomerRef], None] | None = None,
    ) -> None:
        """Callbacks, which must be quick and must not raise: `on_list` for every list that a vault returned,
        `on_status` for every 3-D Secure status with the time its call began, `on_not_found` for every customer that a
        vault does not know."""
        self.providers = providers
        self.snapshots = snapshots
        self._ids = ids
        self._on_list = on_list
        self._on_not_found = on_not_found
        self._now: Callable[[], float] = self._loop_time
        self._policies = {name: (policies or {}).get(name, ReadPolicy()) for name in providers}
        self._sources = {name: self._source(name, policy) for name, policy in self._policies.items()}
        self.statuses = StatusReader(providers, snapshots, self._policies, lambda: self._now(), on_status)

    async def read(
        self,
        links: Mapping[ProviderName, CustomerRef],
        wanted: Sequence[ProviderName],
        call: Call,
        *,
        force_fresh: bool = False,
    ) -> dict[ProviderName, SourceReading]:
        """One customer at all wanted vaults that are linked and enabled, in parallel."""
        names = [name for name in wanted if name in links and name in self.providers]
        found = await asyncio.gather(
            *(self.read_many(name, [links[name]], call, force_fresh=force_fresh) for name in names)
        )
        return {name: readings[0] for name, readings in zip(names, found, strict=True)}

    async def read_many(
        self, name: ProviderName, refs: Sequence[CustomerRef], call: Call, *, force_fresh: bool = False
    ) -> list[SourceReading]:
        """Many customers at one vault, in the order of `refs`; never later than the deadline."""
        keys: list[Key] = [(name, ref, None) for ref in refs]
        until = self._policies[name].until(call, self._now())
        source = self._sources[name]
        found = await self.snapshots.read(keys, source, until=until, force_fresh=force_fresh, caller=call)
        return [to_reading(found[key]) for key in keys]

    def ask(self, name: ProviderName, ref: CustomerRef, call: Call) -> Waiter[CachedWallet]:
        """Start reading one customer at one vault; the result must be awaited with `answers`.

        Customers asked for with the same `call` in one turn of the event loop are batched, if the vault supports
        batches.
        """
        until = self._policies[name].until(call, self._now())
        return self.snapshots.join_or_start((name, ref, None), self._sources[name], until, call)

    async def answers(self, seats: Sequence[Waiter[CachedWallet]]) -> list[SourceReading]:
        """Results in the order of `seats`; never later than their deadlines."""
        return [to_reading(read) for read in await self.snapshots.wait_all(seats)]

    def get_fresh(self, name: ProviderName, ref: CustomerRef) -> SourceReading | None:
        """The result of `read_many` if a fresh snapshot is cached; None if it would have to wait."""
        fresh_for_s = self._policies[name].fresh_for_s
        snapshot = self.snapshots.get_fresh((name, ref, None), fresh_for_s) if fresh_for_s > 0 else None
        if snapshot is None:
            return None
        if snapshot.shown is None:
            snapshot.shown = to_reading(Read(snapshot))
        found: SourceReading = snapshot.shown
        return found

    def prefetch(
        self, name: ProviderName, ref: CustomerRef, question: Question | None, call: Call
    ) -> Mapping[MethodRef, StatusSeat]:
        """Prefetch the statuses that the same query needed for the cached list of this vault, in parallel with the
        list."""
        if question is None or name not in self.statuses.vaults:
            return {}
        held = self.snapshots.last((name, ref, None))
        foresight = None if held is None else held.content.foresight
        return {} if foresight is None else self.statuses.prefetch(name, ref, foresight.of(question), call)

    def _source(self, name: ProviderName, policy: ReadPolicy) -> Source[CachedWallet]:
        vault = self.providers[name]

        async def fetch(keys: Sequence[Key], call: Call) -> Mapping[Key, CachedWallet | VaultError]:
            found = await vault.wallets([ref for _, ref, _ in keys], policy.own_deadline(call, self._now()))
            held: dict[Key, CachedWallet | VaultError] = {}
            for key in keys:
                reply = found.get(key[1])
                if isinstance(reply, VaultError):
                    held[key] = reply
                    if self._on_not_found is not None and is_not_found(reply):
                        self._on_not_found(name, key[1])
                elif reply is not None:
                    if len(reply.methods) > policy.max_methods:
                        reply = cut(reply, policy.max_methods)
                    if self._on_list is not None:
                        self._on_list(reply)
                    held[key] = to_cached_wallet(reply, self._ids, self.snapshots.last(key))
            return held

        return Source(
            provider=name,
            fetch=fetch,
            weigh=lambda held: WALLET_BYTES + METHOD_BYTES * len(held.entries),
            fresh_for_s=policy.fresh_for_s,
            stale_if_error_for_s=policy.stale_if_error_for_s,
            batch_limit=max(1, vault.capabilities.batch_limit),
            is_complete=lambda held: held.is_whole,
        )

    def _loop_time(self) -> float:
        self._now = asyncio.get_running_loop().time  # cached: a reader belongs to one loop
        return self._now()


def cut(wallet: VaultWallet, most: int) -> VaultWallet:
    """The first `most` methods in list order, marked as truncated."""
    kept = tuple(sorted(wallet.methods, key=by_provider)[:most])
    return replace(wallet, methods=kept, truncated=True, reply=None)


def to_cached_wallet(wallet: VaultWallet, ids: IdMaker, last: CachedWallet | None = None) -> CachedWallet:
    """Prepare a wallet for responses, in a stable order. A method whose refs are too long for an id counts as skipped.

    `last` is the wallet cached before: if the vault's methods are the same objects, its content is reused; otherwise
    known ids are.
    """
    if last is not None and last.wallet.methods is wallet.methods and last.wallet.skipped == wallet.skipped:
        return last if last.wallet is wallet else CachedWallet(wallet, last.content)
    known = {one.method.method_ref: one.id for one in last.entries} if last is not None else {}
    entries: list[CachedEntry] = []
    for method in sorted(wallet.methods, key=by_provider):
        ref = method.method_ref
        try:
            method_id = known.get(ref) or ids.encode(method.provider, method.customer_ref, ref)
        except ValueError:
            continue
        entries.append(CachedEntry(method, method_id, label_of(method)))
    return CachedWallet(wallet, CachedContent(tuple(entries), wallet.skipped + len(wallet.methods) - len(entries)))


def to_reading(read: Read[CachedWallet]) -> SourceReading:
    """A source reading from a cache result."""
    latency_ms = None if read.latency_s is None else round(read.latency_s * 1000)
    error, snapshot = read.error, read.snapshot
    if snapshot is None:
        assert error is not None
        is_answer = is_not_found(error)
        return SourceReading(
            state=state_of(error),
            asked_at=read.asked_at if is_answer else None,
            fetched_at=read.answered_at if is_answer else None,
            latency_ms=latency_ms,
            retry_after_s=error.retry_after_s,
            message=message_of(error),
            provider_request_id=error.provider_request_id,
        )
    fresh = SourceReading(
        state=SourceState.OK if snapshot.value.is_whole else SourceState.PARTIAL,
        held=snapshot.value,
        asked_at=snapshot.asked_at,
        fetched_at=snapshot.as_of,
        latency_ms=latency_ms,
        message=None if snapshot.value.is_whole else "Some of what the vault holds could not be read.",
        provider_request_id=snapshot.value.wallet.provider_request_id,
    )
    if error is None:
        return fresh
    return replace(
        fresh,
        state=SourceState.STALE,
        is_stale=True,
        retry_after_s=error.retry_after_s,
        message=message_of(error),
        provider_request_id=error.provider_request_id,
    )


def is_not_found(error: VaultError) -> bool:
    """True if the vault answered that it does not know the customer."""
    return isinstance(error, VaultRejected) and error.reason is RejectReason.CUSTOMER_NOT_FOUND


def state_of(error: VaultError) -> SourceState:
    """Maps a vault error to its state in `sources`."""
    if is_not_found(error):
        return SourceState.CUSTOMER_NOT_FOUND
    if isinstance(error, VaultTimeout):
        return SourceState.TIMEOUT
    if isinstance(error, VaultThrottled):
        return SourceState.THROTTLED
    if isinstance(error, CircuitOpen):
        return SourceState.CIRCUIT_OPEN
    if isinstance(error, VaultRefusedUs):
        return SourceState.UNAUTHORIZED
    return SourceState.UNAVAILABLE


_MESSAGES: Final[Mapping[SourceState, str]] = {
    SourceState.CUSTOMER_NOT_FOUND: "The vault does not know this customer.",
    SourceState.TIMEOUT: "The vault did not answer in time.",
    SourceState.THROTTLED: "The rate limit of the vault is reached.",
    SourceState.CIRCUIT_OPEN: "The circuit breaker is open because too many calls to the vault failed.",
    SourceState.UNAUTHORIZED: "The vault does not accept the gateway's credentials.",
    SourceState.UNAVAILABLE: "The vault could not be read.",
}


def message_of(error: VaultError) -> str:
    """The gateway's own text: a vault's text never reaches a client."""
    return _MESSAGES[state_of(error)]
