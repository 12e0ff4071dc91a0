"""Reads vaults: many customers, all vaults in parallel, with deadlines, and a source state for each vault."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil
from typing import Any, Final, Protocol, cast

from msgspec import Struct, structs

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
from app.vault.model import Card, PaymentMethod, VaultProfile, VaultWallet
from app.vault.provider import Call, DirectVault, StartedRead, VaultProvider
from app.vault.rules.filter import is_hidden
from app.vault.rules.label import label_of
from app.vault.rules.order import by_provider
from app.wallet.reads.cache import Key, Read, Snapshot, SnapshotCache, Source
from app.wallet.reads.policy import ReadPolicy
from app.wallet.reads.three_d_secure import StatusReader

# Memory per method, with id and label, and per wallet without methods: measured on CPython.
METHOD_BYTES: Final = 1_400
WALLET_BYTES: Final = 1_000
ADDRESS_BYTES: Final = 900  # also more than a phone or an e-mail address needs
HARMLESS: Final = frozenset(
    {
        SourceState.OK,
        SourceState.NOT_LINKED,
        SourceState.CUSTOMER_NOT_FOUND,
        SourceState.DISABLED,
        SourceState.SKIPPED,
    }
)
"""A response is complete despite sources in these states."""


class IdMaker(Protocol):
    """Makes a method's opaque id; raises ValueError if its refs are too long."""

    def encode(self, provider: ProviderName, customer_ref: CustomerRef, method_ref: MethodRef) -> str: ...


@value(frozen=True, slots=True)
class CachedMethod:
    """One method with its derived id and label, computed once per change of the method."""

    method: PaymentMethod
    id: str
    label: str


@dataclass(slots=True, eq=False)
class CachedWallet:
    """A vault's methods, prepared for responses: the same object while the vault returns the same methods.

    `source` are the vault's own; `skipped` counts unreadable records and methods without an id, `without_id` only the
    latter; `visible` counts the methods that are not hidden; `size` is in bytes.
    """

    source: tuple[PaymentMethod, ...]
    methods: tuple[CachedMethod, ...]
    without_id: int
    skipped: int
    truncated: bool
    is_whole: bool
    visible: int
    size: int


class SourceReading(Struct, kw_only=True):  # immutable in use; created in C, for each read
    """One vault's part of a wallet, and how it was read: a row of `sources`. `cached` is None if there is nothing to
    show.

    `asked_at` and `fetched_at` are when the call began and ended; `latency_ms` is None if no call was made;
    `method_count` None: unknown. `snapshot` is None if the data is stale.
    """

    provider: ProviderName
    state: SourceState
    cached: CachedWallet | None = None
    wallet: VaultWallet | None = None
    asked_at: datetime | None = None
    fetched_at: datetime | None = None
    is_stale: bool = False
    latency_ms: int | None = None
    retry_after_s: float | None = None
    message: str | None = None
    provider_request_id: str | None = None
    method_count: int | None = None
    skipped_count: int = 0
    truncated: bool = False
    snapshot: Snapshot[VaultWallet] | None = None

    @property
    def retry_after_seconds(self) -> int | None:
        return None if self.retry_after_s is None else ceil(self.retry_after_s)


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
        self._policies = {name: (policies or {}).get(name, ReadPolicy()) for name in providers}
        self._sources = {name: self._source(name, policy) for name, policy in self._policies.items()}
        self.statuses = StatusReader(providers, snapshots, self._policies, on_status)

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
        found = await self.read_all([(name, links[name]) for name in names], call, force_fresh=force_fresh)
        return dict(zip(names, found, strict=True))

    async def read_many(
        self, name: ProviderName, refs: Sequence[CustomerRef], call: Call, *, force_fresh: bool = False
    ) -> list[SourceReading]:
        """Many customers at one vault, in the order of `refs`; never later than the deadline."""
        return await self.read_all([(name, ref) for ref in refs], call, force_fresh=force_fresh)

    async def read_all(
        self, wanted: Sequence[tuple[ProviderName, CustomerRef]], call: Call, *, force_fresh: bool = False
    ) -> list[SourceReading]:
        """Different customers at different vaults, all in parallel, in the order of `wanted`; never later than the
        deadline. Customers of one vault share calls if the vault can read several at once."""
        reads = await self.try_all([(name, ref, None) for name, ref in wanted], call, force_fresh=force_fresh)
        for read in reads:
            if read.bug is not None:
                raise read.bug
        return [to_reading(name, read) for (name, _), read in zip(wanted, reads, strict=True)]

    async def try_all(self, keys: Sequence[Key], call: Call, *, force_fresh: bool = False) -> list[Read[Any]]:
        """As `read_all`, for lists and 3-D Secure statuses, with an adapter's bug in place of the read that it
        prevented."""
        lists, statuses = self._sources, self.statuses.sources
        wanted = [(key, lists[key[0]] if key[2] is None else statuses[key[0]]) for key in keys]
        return await self.snapshots.read(wanted, call, force_fresh=force_fresh)

    def _source(self, name: ProviderName, policy: ReadPolicy) -> Source[VaultWallet]:
        providers, most = self.providers, policy.max_methods

        def fetch(keys: Sequence[Key], call: Call) -> Awaitable[Mapping[CustomerRef, VaultWallet | VaultError]]:
            vault = providers[name]  # which a reload of the settings may have replaced
            return vault.wallets([key[1] for key in keys] if keys[1:] else (keys[0][1],), call)

        def prepare(wallet: VaultWallet, last: CachedWallet | None) -> tuple[VaultWallet, CachedWallet]:
            if wallet.methods[most:]:
                wallet = cut(wallet, most)
            if self._on_list is not None:
                self._on_list(wallet)
            return wallet, to_cached_wallet(self._ids, wallet, last)

        def begin(key: Key, call: Call, on_done: Callable[[Any], object]) -> StartedRead | None:
            return direct[name].begin_wallet(key[1], call, on_done)

        def value_of(key: Key, started: Any, call: Call) -> VaultWallet | None:
            return direct[name].wallet_in(key[1], started, call)

        def complete(key: Key, started: Any, call: Call) -> Awaitable[VaultWallet]:
            return direct[name].complete_wallet(key[1], started, call)

        direct = cast(Mapping[ProviderName, DirectVault], providers)
        is_direct = isinstance(providers[name], DirectVault)
        return Source(
            provider=name,
            fetch=fetch,
            begin=begin if is_direct else None,
            value_of=value_of,
            complete=complete,
            prepare=prepare,
            fresh_for_s=policy.fresh_for_s,
            stale_if_error_for_s=policy.stale_if_error_for_s,
            deadline_s=policy.deadline_s,
            is_kept=policy.keeps_replies,
            batch_limit=max(1, self.providers[name].capabilities.batch_limit),
            on_error=self._on_error,
        )

    def _on_error(self, key: Key, error: VaultError) -> None:
        if self._on_not_found is not None and is_not_found(error):
            self._on_not_found(key[0], key[1])


def cut(wallet: VaultWallet, most: int) -> VaultWallet:
    """The first `most` methods in list order, marked as truncated."""
    kept = tuple(sorted(wallet.methods, key=by_provider)[:most])
    return replace(wallet, methods=kept, truncated=True, reply=None)


def to_cached_wallet(ids: IdMaker, wallet: VaultWallet, last: CachedWallet | None = None) -> CachedWallet:
    """Prepare a wallet for responses, in a stable order. A method whose refs are too long for an id counts as skipped.

    `last` is the wallet cached before: it is returned again if the vault's methods are the same objects; otherwise
    known ids are reused.
    """
    methods = wallet.methods
    if last is not None and last.source is methods:
        skipped = wallet.skipped + last.without_id
        if (last.skipped, last.truncated) == (skipped, wallet.truncated):
            return last
    known = {one.method.method_ref: one.id for one in last.methods} if last is not None else {}
    cached: list[CachedMethod] = []
    visible = 0
    for method in sorted(methods, key=by_provider):
        ref = method.method_ref
        try:
            method_id = known.get(ref) or ids.encode(method.provider, method.customer_ref, ref)
        except ValueError:
            continue
        cached.append(CachedMethod(method, method_id, label_of(method)))
        visible += not is_hidden(method.status)
    without_id = len(methods) - len(cached)
    skipped = wallet.skipped + without_id
    return CachedWallet(
        source=methods,
        methods=tuple(cached),
        without_id=without_id,
        skipped=skipped,
        truncated=wallet.truncated,
        is_whole=not skipped and not wallet.truncated,
        visible=visible,
        size=WALLET_BYTES + METHOD_BYTES * len(cached) + _profile_bytes(wallet.profile),
    )


def _profile_bytes(profile: VaultProfile | None) -> int:
    if profile is None:
        return 0
    return ADDRESS_BYTES * sum(len(one or ()) for one in (profile.addresses, profile.phones, profile.emails))


def to_reading(provider: ProviderName, read: Read[VaultWallet]) -> SourceReading:
    """A source reading from a cache result."""
    error, snapshot = read.error, read.snapshot
    latency_ms = None if read.latency_s is None else int(read.latency_s * 1000 + 0.5)
    if snapshot is None:
        assert error is not None
        is_answer = is_not_found(error)
        return SourceReading(
            provider=provider,
            state=state_of(error),
            asked_at=read.asked_at if is_answer else None,
            fetched_at=read.answered_at if is_answer else None,
            latency_ms=latency_ms,
            retry_after_s=error.retry_after_s,
            message=message_of(error),
            provider_request_id=error.provider_request_id,
            method_count=0 if is_answer else None,
        )
    cached: CachedWallet = snapshot.prepared
    fresh = SourceReading(
        provider=provider,
        state=SourceState.OK if cached.is_whole else SourceState.PARTIAL,
        cached=cached,
        wallet=snapshot.value,
        asked_at=snapshot.asked_at,
        fetched_at=snapshot.as_of,
        latency_ms=latency_ms,
        message=None if cached.is_whole else "Some of what the vault holds could not be read.",
        provider_request_id=snapshot.value.provider_request_id,
        method_count=cached.visible,
        skipped_count=cached.skipped,
        truncated=cached.truncated,
        snapshot=snapshot,
    )
    if error is None:
        return fresh
    return structs.replace(
        fresh,
        state=SourceState.STALE,
        is_stale=True,
        retry_after_s=error.retry_after_s,
        message=message_of(error),
        provider_request_id=error.provider_request_id,
        snapshot=None,
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
