"""The data loaders of one request: the only way from a resolver to a vault.

Each key is loaded once per request, however many fields need it, and keys that are requested in the same turn of the
event loop are loaded together. What fresh snapshots contain is answered without a loader.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, structs

from app.errors import CircuitOpen
from app.execution.selected import IS_DEFERRED
from app.store.records import ConsentRecord, MethodAddress
from app.vault.enums import CustomerRef, ProviderName, SourceState
from app.vault.model import Card, VaultProfile
from app.vault.provider import Call
from app.wallet.reads.build_wallet import Wallet
from app.wallet.reads.cache import Key, Read
from app.wallet.reads.customers import CustomerCache, DirectoryEntry
from app.wallet.reads.reader import HARMLESS, SourceReading, to_reading
from app.wallet.reads.three_d_secure import StatusRead, StatusReading, status_key
from app.wallet.reads.waiting import wait_shared
from app.wallet.reads.wallet_cache import BuiltWallet
from resolvers.needs import Needs, Start, nothing
from resolvers.request_loader import RequestLoader, Tasks

if TYPE_CHECKING:
    from resolvers.context import Info, Services

_UNREAD: Final = frozenset({SourceState.SKIPPED, SourceState.DISABLED, SourceState.NOT_LINKED})
_MOST_CARDS: Final = 4  # selections for which a wallet keeps the cards that they show
CustomerKey = tuple[ProviderName, CustomerRef]
CustomerState = Sequence[tuple[Key, StatusReading]]
"""What a request shows of a customer besides the wallet: statuses of cards."""


class EntryLoader(RequestLoader[str, "DirectoryEntry | None"]):
    """Loads directory entries by customer id; None for unknown ones."""

    def __init__(self, directory: CustomerCache, tasks: Tasks) -> None:
        super().__init__(tasks)
        self._directory = directory

    async def batch_load_fn(self, ids: list[str]) -> list[DirectoryEntry | None]:
        found = await self._directory.entries(ids)
        return [found.get(customer_id) for customer_id in ids]


class OwnerLoader(RequestLoader[CustomerKey, "str | None"]):
    """Loads customer ids by a vault's customer ref; None if it is not linked."""

    def __init__(self, directory: CustomerCache, tasks: Tasks) -> None:
        super().__init__(tasks)
        self._directory = directory

    async def batch_load_fn(self, keys: list[CustomerKey]) -> list[str | None]:
        found: dict[CustomerKey, str] = {}
        for provider in {name for name, _ in keys}:
            owners = await self._directory.store.owners_of(provider, [ref for name, ref in keys if name == provider])
            found.update({(provider, ref): owner for ref, owner in owners.items()})
        return [found.get(key) for key in keys]


class ConsentLoader(RequestLoader[str, Mapping[MethodAddress, ConsentRecord]]):
    """Loads the consents of a customer's methods by customer id."""

    def __init__(self, services: "Services", tasks: Tasks) -> None:
        super().__init__(tasks)
        self._services = services

    async def batch_load_fn(self, ids: list[str]) -> list[Mapping[MethodAddress, ConsentRecord]]:
        found = [await self._services.consents(customer_id) for customer_id in ids]
        return [{one.method: one for one in consents} for consents in found]


class WalletRequest(Struct):  # created in C, once per read
    """A customer's wallet with `vaults`, read from `lists`. `known` are the readings that the request has already.

    `statuses` are 3-D Secure statuses to read in parallel with the lists.
    """

    entry: DirectoryEntry
    vaults: frozenset[ProviderName]
    lists: list[Key]
    known: Mapping[ProviderName, SourceReading]
    statuses: list[Key]


class WalletLoader(RequestLoader[WalletRequest, BuiltWallet]):
    """Loads wallets. All vaults are read in parallel, and many customers of one vault in one call where it can.

    `statuses` gets the 3-D Secure statuses that were read with them.
    """

    def __init__(self, services: "Services", call: Call, tasks: Tasks, statuses: dict[Key, StatusRead]) -> None:
        super().__init__(tasks)
        self._services, self._call, self._statuses = services, call, statuses

    def get_cache_key(self, request: WalletRequest) -> Any:
        return request.entry.customer.id, request.vaults

    async def batch_load_fn(self, requests: list[WalletRequest]) -> list[BuiltWallet]:
        keys: list[Key] = []
        for one in requests:
            keys += one.lists
            keys += one.statuses
        found = dict(zip(keys, await self._services.reader.try_all(keys, self._call), strict=True))
        for request in requests:
            for key in request.statuses:
                self._statuses[key] = found[key]
        built: list[Any] = []
        for request in requests:  # a comprehension would be a call, and so would `append`
            built += (self._built(request, found),)  # an exception in a place rejects that key alone
        return built

    def _built(self, request: WalletRequest, found: Mapping[Key, Read[Any]]) -> BuiltWallet | Exception:
        readings = dict(request.known)
        for key in request.lists:
            read = found[key]
            if read.bug is not None:
                return read.bug
            readings[key[0]] = to_reading(key[0], read)
        services = self._services
        return services.wallets.get_or_build(request.entry, request.vaults, readings, services.utc_now())


class StatusLoader(RequestLoader[Key, StatusRead]):
    """Loads cards' 3-D Secure results, each a call of its own."""

    def __init__(self, services: "Services", call: Call, tasks: Tasks) -> None:
        super().__init__(tasks)
        self._services, self._call = services, call

    async def batch_load_fn(self, keys: list[Key]) -> list[StatusRead]:
        return await self._services.reader.try_all(keys, self._call)


class Loaders(Struct, dict=True):  # created in C, once per request; `dict` for the cached properties
    """One request's loaders, created when they are first needed, and what they have loaded."""

    _services: "Services"
    _call: Call
    _tasks: Tasks
    _requested: dict[str, frozenset[ProviderName]] = {}  # by customer
    _built: dict[str, dict[frozenset[ProviderName], BuiltWallet]] = {}
    _deferred: dict[frozenset[ProviderName], WalletLoader] = {}
    _prefetched: dict[Key, StatusRead] = {}
    _statuses: dict[Key, StatusReading] = {}
    _failed_statuses: set[CustomerKey] = set()
    _cut: dict[str, frozenset[ProviderName]] = {}  # by customer: vaults of the methods that a list leaves out
    _wallets: WalletLoader | None = None

    @cached_property
    def entries(self) -> EntryLoader:
        return EntryLoader(self._services.directory, self._tasks)

    @cached_property
    def consents(self) -> ConsentLoader:
        return ConsentLoader(self._services, self._tasks)

    @cached_property
    def owners(self) -> OwnerLoader:
        return OwnerLoader(self._services.directory, self._tasks)

    @property
    def wallets(self) -> WalletLoader:
        if self._wallets is None:
            self._wallets = WalletLoader(self._services, self._call, self._tasks, self._prefetched)
        return self._wallets

    @cached_property
    def status_reads(self) -> StatusLoader:
        return StatusLoader(self._services, self._call, self._tasks)

    def wallet(
        self,
        entry: DirectoryEntry,
        needs: Needs,
        info: "Info",
        also: ProviderName | None = None,
        start: Start = nothing,
    ) -> BuiltWallet | Awaitable[BuiltWallet]:
        """The customer's wallet with the vaults and 3-D Secure statuses that the selection needs. No awaitable if
        everything is fresh.

        With `also`, for a selection on one method, it shows that method's vault and those that are read anyway; for
        deferred fields, that method's vault alone, since what is read at the same time depends on chance.
        """
        customer_id = entry.customer.id
        vaults = needs.vaults(info) if needs.narrowed else needs.fixed
        if also is not None:
            vaults = vaults.union((also,), () if IS_DEFERRED.get() else self._requested.get(customer_id, ()))
        is_deferred = IS_DEFERRED.get()
        if not is_deferred:
            requested = self._requested.get(customer_id)  # as `announce`
            self._requested[customer_id] = vaults if requested is None else vaults | requested
        built = self._at_hand(entry, vaults)
        if built is None or (needs.statuses and self._missing_statuses(_cards(built, needs, info, start))):
            loader = self._deferred_loader(vaults) if is_deferred else self.wallets
            return self._load(entry, vaults, needs, info, start, loader)
        if built.wallet.methods[self._services.list_limit :]:
            self._note_cut(built.wallet, needs, info)
        return built

    def read_ahead(self, entry: DirectoryEntry, needs: Needs, info: "Info") -> None:
        """Start reading what the selection's deferred fields need."""
        wallets = self._built.get(entry.customer.id)
        for one in needs.deferred:
            vaults = one.vaults(info)
            if one.has_fields:
                loading = self._deferred_loader(vaults).load(self._request(entry, vaults, wallets, ()))
                loading.add_done_callback(_mark_retrieved)

    async def deferred_wallet(self, entry: DirectoryEntry, needs: Needs, info: "Info") -> BuiltWallet:
        """As `wallet`, for deferred fields: what only others need is not waited for."""
        vaults = needs.vaults(info)
        return await self._load(entry, vaults, needs, info, nothing, self._deferred_loader(vaults))

    def _deferred_loader(self, vaults: frozenset[ProviderName]) -> WalletLoader:
        """A loader for each set of vaults: a loader answers when all of its vaults have."""
        if vaults not in self._deferred:
            self._deferred[vaults] = WalletLoader(self._services, self._call, self._tasks, self._prefetched)
        return self._deferred[vaults]

    def announce(self, customer_id: str, needs: Needs, info: "Info") -> None:
        """A wallet with these needs follows once the customer is known: what `also` adds must not depend on which of
        two store reads ends first."""
        if needs.has_fields and not IS_DEFERRED.get():
            self._requested[customer_id] = needs.vaults(info).union(self._requested.get(customer_id, ()))

    def status(self, card: Card) -> StatusReading | Awaitable[StatusReading]:
        """A card's 3-D Secure status: at once if the selection's needs included it."""
        known = self._statuses.get(status_key(card))
        return known if known is not None else self._load_status(card)

    def as_of(self, customer_id: str, provider: ProviderName) -> datetime:
        """When the vault returned the data shown."""
        found = [built.wallet.sources[provider].fetched_at for built in self._built[customer_id].values()]
        return next(one for one in found if one is not None)

    def profile(self, customer_id: str, provider: ProviderName) -> VaultProfile | None:
        """What the vault keeps besides the methods shown; None if nothing."""
        for built in self._built[customer_id].values():
            wallet = built.wallet.sources[provider].wallet
            if wallet is not None:
                return wallet.profile
        return None

    def sources(self, wallet: Wallet, rows: list[SourceReading] | None = None) -> list[SourceReading]:
        """A row for each vault; PARTIAL if a status could not be read there, or a list leaves out methods of it.

        `rows` are those of the wallet, if there is a list of them; it is returned if nothing is to be changed.
        """
        if rows is None:
            rows = list(wallet.sources.values())
        if self._failed_statuses:
            links = wallet.entry.links
            failed = {link.provider for link in links if (link.provider, link.customer_ref) in self._failed_statuses}
            rows = [_without_status(row) if row.provider in failed else row for row in rows]
        if self._cut and (cut := self._cut.get(wallet.entry.customer.id)):
            rows = [_truncated(row, self._services.list_limit) if row.provider in cut else row for row in rows]
        return rows

    def state_of(self, entry: DirectoryEntry) -> CustomerState | None:
        """None if `sources` show something of this request alone."""
        if self._failed_statuses or self._cut:
            return None
        owned = {(link.provider, link.customer_ref) for link in entry.links}
        return [(key, status) for key, status in self._statuses.items() if key[:2] in owned]

    def is_in(self, state: CustomerState) -> bool:
        """True if the request shows these statuses, and its `sources` nothing of it alone."""
        known = self._statuses
        for key, status in state:
            if key not in known or known[key] != status:
                return False
        return not self._failed_statuses and not self._cut

    def incomplete_sources(self) -> list[tuple[str, SourceReading]]:
        """Customer id and row, for each vault that makes the response incomplete."""
        found: dict[tuple[str, ProviderName], SourceReading] = {}
        is_plain = not self._failed_statuses and not self._cut
        for customer_id in self._built:
            for built in self._built[customer_id].values():
                rows = built.wallet.sources.values() if is_plain else self.sources(built.wallet)
                for row in rows:
                    if row.state not in HARMLESS:
                        found[customer_id, row.provider] = row
        return [(customer_id, row) for (customer_id, _), row in found.items()] if found else []

    def _at_hand(self, entry: DirectoryEntry, vaults: frozenset[ProviderName]) -> BuiltWallet | None:
        """The wallet if this request has loaded it, or fresh snapshots contain it."""
        customer_id, services = entry.customer.id, self._services
        wallets = self._built.get(customer_id)
        if wallets is not None:
            return wallets.get(vaults)
        built = services.wallets.get_fresh(entry, vaults, services.utc_now())
        if built is None or built.wallet.default.choice_change is not None:
            return None
        self._built[customer_id] = {vaults: built}
        return built

    async def _load(
        self,
        entry: DirectoryEntry,
        vaults: frozenset[ProviderName],
        needs: Needs,
        info: "Info",
        start: Start,
        loader: WalletLoader,
    ) -> BuiltWallet:
        customer_id, services = entry.customer.id, self._services
        wallets = self._built.get(customer_id)
        built = None if wallets is None else wallets.get(vaults)
        last, cards = None, list[Card]()
        if built is None:
            if needs.statuses:
                # The last wallet implies which statuses are needed: they are read in parallel with the vaults' lists.
                last = services.wallets.last(customer_id, vaults)
                cards = [] if last is None else _cards(last, needs, info, start)
            built = await wait_shared(loader.load(self._request(entry, vaults, wallets, cards)))
            default = built.wallet.default
            if default.choice_change is not None and await services.note_choice(default):
                entry = replace(entry, choice=None)
                built = services.wallets.get_or_build(entry, vaults, _readings(built.wallet), services.utc_now())
            self._built.setdefault(customer_id, {})[vaults] = built
        if needs.statuses:
            if last is None or last.wallet.methods is not built.wallet.methods:
                cards = _cards(built, needs, info, start)
            missing = self._missing_statuses(cards)
            if missing:
                await self._load_statuses(missing)
        if built.wallet.methods[services.list_limit :]:
            self._note_cut(built.wallet, needs, info)
        return built

    def _note_cut(self, wallet: Wallet, needs: Needs, info: "Info") -> None:
        """Remember what the selected lists leave out, before `sources` are shown."""
        cut, customer_id = needs.cut(wallet, info), wallet.entry.customer.id
        if cut:
            self._cut[customer_id] = self._cut.get(customer_id, frozenset()) | cut

    def _request(
        self,
        entry: DirectoryEntry,
        vaults: frozenset[ProviderName],
        wallets: Mapping[frozenset[ProviderName], BuiltWallet] | None,
        cards: Iterable[Card],
    ) -> WalletRequest:
        known: dict[ProviderName, SourceReading] = {}
        for built in wallets.values() if wallets is not None else ():
            known.update(_readings(built.wallet))
        enabled = self._services.reader.providers
        lists: list[Key] = []  # loops without `append`: each comprehension would be a call
        readings: dict[ProviderName, SourceReading] = {}
        for link in entry.links:
            name = link.provider
            if name in vaults:
                if name in known:
                    readings[name] = known[name]
                elif name in enabled:
                    lists += ((name, link.customer_ref, None),)
        statuses: list[Key] = []
        for card in cards:
            statuses += ((card.provider, card.customer_ref, card.method_ref),)
        return WalletRequest(entry, vaults, lists, readings, statuses)

    async def _load_statuses(self, cards: Sequence[Card]) -> None:
        is_apart = IS_DEFERRED.get()  # a loader answers when all of its statuses have been read
        loader = StatusLoader(self._services, self._call, self._tasks) if is_apart else self.status_reads
        loads = [loader.load(status_key(card)) for card in cards]
        statuses = self._services.reader.statuses
        for card, loading in zip(cards, loads, strict=True):
            self._keep_status(card, status_key(card), statuses.to_reading(card, await wait_shared(loading)))

    async def _load_status(self, card: Card) -> StatusReading:
        await self._load_statuses([card])
        return self._statuses[status_key(card)]

    def _missing_statuses(self, cards: Iterable[Card]) -> list[Card]:
        """Those that are neither known to this request nor fresh."""
        missing: list[Card] = []
        statuses, prefetched = self._services.reader.statuses, self._prefetched
        for card in cards:
            key = card.provider, card.customer_ref, card.method_ref  # `status_key`
            if key in self._statuses:
                continue
            if key not in prefetched:
                found = statuses.get_fresh(card)
            # A half-open circuit lets one call through, the list's, whose success may have closed the circuit.
            elif isinstance(prefetched[key].error, CircuitOpen):
                found = None
            else:
                found = statuses.to_reading(card, prefetched[key])
            if found is None:
                missing.append(card)
            else:
                self._statuses[key] = found  # as `_keep_status`
                if found.failed:
                    self._failed_statuses.add((card.provider, card.customer_ref))
        return missing

    def _keep_status(self, card: Card, key: Key, status: StatusReading) -> None:
        self._statuses[key] = status
        if status.failed:
            self._failed_statuses.add((card.provider, card.customer_ref))


def _cards(built: BuiltWallet, needs: Needs, info: "Info", start: Start) -> list[Card]:
    """`needs.cards`, kept with the wallet if they depend on nothing else."""
    if needs.has_arguments or start is not nothing:
        return needs.cards(built.wallet, info, start)
    key, known = needs.statuses, built.cards
    if key not in known:
        if len(known) >= _MOST_CARDS:
            known.clear()
        known[key] = needs.cards(built.wallet, info, start)
    return known[key]


def _mark_retrieved(loading: "asyncio.Future[Any]") -> None:
    """Or asyncio logs an exception that nothing waited for, because the request ended first."""
    if not loading.cancelled():
        loading.exception()


def _readings(wallet: Wallet) -> dict[ProviderName, SourceReading]:
    """Of the vaults that were read for it, in the order of the customer's links."""
    sources = wallet.sources
    return {link.provider: one for link in wallet.entry.links if (one := sources[link.provider]).state not in _UNREAD}


def _without_status(row: SourceReading) -> SourceReading:
    if row.state is not SourceState.OK:
        return row
    return structs.replace(row, state=SourceState.PARTIAL, message="A card's 3-D Secure status could not be read.")


def _truncated(row: SourceReading, limit: int) -> SourceReading:
    if row.state is not SourceState.OK:
        return structs.replace(row, truncated=True)
    message = f"paymentMethods lists {limit} methods at most: read the others with paymentMethodsConnection."
    return structs.replace(row, state=SourceState.PARTIAL, truncated=True, message=message)
