"""The data loaders of one request: the only way from a resolver to a vault.

Each key is loaded once per request, however many fields need it, and keys that are requested in the same turn of the
event loop are loaded together. What fresh snapshots contain is answered without a loader.
"""

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from aiodataloader import DataLoader

from app.errors import CircuitOpen
from app.vault.enums import CustomerRef, ProviderName, SourceState
from app.vault.model import Card
from app.vault.provider import Call
from app.wallet.reads.build_wallet import Wallet
from app.wallet.reads.cache import Key
from app.wallet.reads.customers import CustomerCache, DirectoryEntry
from app.wallet.reads.reader import HARMLESS, SourceReading
from app.wallet.reads.three_d_secure import StatusRead, StatusReading, status_key
from app.wallet.reads.waiting import wait_shared
from app.wallet.reads.wallet_cache import BuiltWallet
from resolvers.needs import Needs, Start, nothing

if TYPE_CHECKING:
    from resolvers.context import Info, Services

_UNREAD: Final = frozenset({SourceState.SKIPPED, SourceState.DISABLED, SourceState.NOT_LINKED})
Tasks = set["asyncio.Task[Any]"]
"""The tasks of a request, which cancels them at its end. Loaders start their own tasks and add them."""
CustomerKey = tuple[ProviderName, CustomerRef]


def adopt(tasks: Tasks) -> None:
    """Add the running task."""
    task = asyncio.current_task()
    if task is not None:
        tasks.add(task)


class EntryLoader(DataLoader[str, "DirectoryEntry | None"]):
    """Loads directory entries by customer id; None for unknown ones."""

    def __init__(self, directory: CustomerCache, tasks: Tasks) -> None:
        super().__init__()
        self._directory, self._tasks = directory, tasks

    async def batch_load_fn(self, ids: list[str]) -> list[DirectoryEntry | None]:
        adopt(self._tasks)
        found = await self._directory.entries(ids)
        return [found.get(customer_id) for customer_id in ids]


class OwnerLoader(DataLoader[CustomerKey, "str | None"]):
    """Loads customer ids by a vault's customer ref; None if it is not linked."""

    def __init__(self, directory: CustomerCache, tasks: Tasks) -> None:
        super().__init__()
        self._directory, self._tasks = directory, tasks

    async def batch_load_fn(self, keys: list[CustomerKey]) -> list[str | None]:
        adopt(self._tasks)
        found: dict[CustomerKey, str] = {}
        for provider in {name for name, _ in keys}:
            owners = await self._directory.store.owners_of(provider, [ref for name, ref in keys if name == provider])
            found.update({(provider, ref): owner for ref, owner in owners.items()})
        return [found.get(key) for key in keys]


@dataclass(slots=True, eq=False)
class WalletRequest:
    """A customer's wallet with the vaults that `links` name. `known` are the readings that the request has already."""

    entry: DirectoryEntry
    vaults: frozenset[ProviderName]
    links: Sequence[CustomerKey]
    known: Mapping[ProviderName, SourceReading]


class WalletLoader(DataLoader[WalletRequest, BuiltWallet]):
    """Loads wallets. All vaults are read in parallel, and many customers of one vault in one call where it can."""

    def __init__(self, services: "Services", call: Call, tasks: Tasks) -> None:
        super().__init__()
        self._services, self._call, self._tasks = services, call, tasks

    def get_cache_key(self, request: WalletRequest) -> Any:
        return request.entry.customer.id, request.vaults

    async def batch_load_fn(self, requests: list[WalletRequest]) -> list[BuiltWallet]:
        adopt(self._tasks)
        missing = [link for one in requests for link in one.links if link[0] not in one.known]
        found = dict(zip(missing, await self._services.reader.try_all(missing, self._call), strict=True))
        # An exception in a place rejects that key alone.
        return [self._built(one, found) for one in requests]  # type: ignore[misc]

    def _built(
        self, request: WalletRequest, found: Mapping[CustomerKey, SourceReading | Exception]
    ) -> BuiltWallet | Exception:
        readings: dict[ProviderName, SourceReading] = {}
        for link in request.links:
            name = link[0]
            reading = request.known[name] if name in request.known else found[link]
            if isinstance(reading, Exception):
                return reading
            readings[name] = reading
        services = self._services
        return services.wallets.get_or_build(request.entry, request.vaults, readings, services.utc_now())


class StatusLoader(DataLoader[Key, StatusRead]):
    """Loads one card's 3-D Secure result, which is a call of its own."""

    batch = False

    def __init__(self, services: "Services", call: Call, tasks: Tasks) -> None:
        super().__init__()
        self._services, self._call, self._tasks = services, call, tasks

    async def batch_load_fn(self, keys: list[Key]) -> list[StatusRead]:
        adopt(self._tasks)
        return [await self._services.reader.statuses.read(key, self._call) for key in keys]


class Loaders:
    """One request's loaders, created when they are first needed, and what they have loaded."""

    def __init__(self, services: "Services", call: Call, tasks: Tasks) -> None:
        self._services = services
        self._call = call
        self._tasks = tasks
        self._requested: dict[str, frozenset[ProviderName]] = {}  # by customer
        self._built: dict[str, dict[frozenset[ProviderName], BuiltWallet]] = {}
        self._statuses: dict[Key, StatusReading] = {}
        self._failed_statuses: set[CustomerKey] = set()

    @cached_property
    def entries(self) -> EntryLoader:
        return EntryLoader(self._services.directory, self._tasks)

    @cached_property
    def owners(self) -> OwnerLoader:
        return OwnerLoader(self._services.directory, self._tasks)

    @cached_property
    def wallets(self) -> WalletLoader:
        return WalletLoader(self._services, self._call, self._tasks)

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

        With `also`, for a selection on one method, it shows that method's vault and those that are read anyway.
        """
        customer_id = entry.customer.id
        vaults = needs.vaults(info) if needs.narrowed else needs.fixed
        if also is not None:
            vaults = vaults.union((also,), self._requested.get(customer_id, ()))
        requested = self._requested.get(customer_id)
        self._requested[customer_id] = vaults if requested is None else vaults | requested
        built = self._at_hand(entry, vaults)
        if built is None or (needs.statuses and not self._has_statuses(needs.cards(built.wallet, info, start))):
            return self._load(entry, vaults, needs, info, start)
        return built

    def status(self, card: Card) -> StatusReading | Awaitable[StatusReading]:
        """A card's 3-D Secure status: at once if the selection's needs included it."""
        known = self._statuses.get(status_key(card))
        return known if known is not None else self._load_status(card)

    def as_of(self, customer_id: str, provider: ProviderName) -> datetime:
        """When the vault returned the data shown."""
        found = [built.wallet.sources[provider].fetched_at for built in self._built[customer_id].values()]
        return next(one for one in found if one is not None)

    def sources(self, wallet: Wallet) -> list[SourceReading]:
        """A row for each vault; PARTIAL if a status could not be read there."""
        rows = list(wallet.sources.values())
        if self._failed_statuses:
            links = wallet.entry.links
            failed = {link.provider for link in links if (link.provider, link.customer_ref) in self._failed_statuses}
            rows = [_without_status(row) if row.provider in failed else row for row in rows]
        return rows

    def incomplete_sources(self) -> list[tuple[str, SourceReading]]:
        """Customer id and row, for each vault that makes the response incomplete."""
        found: dict[tuple[str, ProviderName], SourceReading] = {}
        for customer_id, wallets in self._built.items():
            for built in wallets.values():
                rows = self.sources(built.wallet)
                found.update({(customer_id, row.provider): row for row in rows if row.state not in HARMLESS})
        return [(customer_id, row) for (customer_id, _), row in found.items()]

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
        self, entry: DirectoryEntry, vaults: frozenset[ProviderName], needs: Needs, info: "Info", start: Start
    ) -> BuiltWallet:
        customer_id, services = entry.customer.id, self._services
        wallets = self._built.get(customer_id)
        built = None if wallets is None else wallets.get(vaults)
        last, cards = None, None
        if built is None:
            loading = self.wallets.load(self._request(entry, vaults, wallets))
            if needs.statuses:
                # The last wallet implies which statuses are needed: they are read in parallel with the vaults' lists.
                last = services.wallets.last(customer_id, vaults)
                cards = [] if last is None else needs.cards(last, info, start)
                for card in cards:
                    self.status_reads.load(status_key(card))
            built = await wait_shared(loading)
            default = built.wallet.default
            if default.choice_change is not None and await services.note_choice(default):
                entry = replace(entry, choice=None)
                built = services.wallets.get_or_build(entry, vaults, _readings(built.wallet), services.utc_now())
            self._built.setdefault(customer_id, {})[vaults] = built
        if needs.statuses:
            prefetched = frozenset([status_key(card) for card in cards or ()])
            if cards is None or last is None or last.methods is not built.wallet.methods:
                cards = needs.cards(built.wallet, info, start)
            await self._load_statuses(cards, prefetched)
        return built

    def _request(
        self,
        entry: DirectoryEntry,
        vaults: frozenset[ProviderName],
        wallets: Mapping[frozenset[ProviderName], BuiltWallet] | None,
    ) -> WalletRequest:
        enabled = self._services.reader.providers
        links = [
            (link.provider, link.customer_ref)
            for link in entry.links
            if link.provider in vaults and link.provider in enabled
        ]
        known: dict[ProviderName, SourceReading] = {}
        for built in wallets.values() if wallets is not None else ():
            known.update(_readings(built.wallet))
        return WalletRequest(entry, vaults, links, known)

    async def _load_statuses(self, cards: Iterable[Card], prefetched: Collection[Key]) -> None:
        statuses, loader = self._services.reader.statuses, self.status_reads
        missing = [(card, key) for card in cards if (key := status_key(card)) not in self._statuses]
        loads = [loader.load(key) for _, key in missing]
        for (card, key), loading in zip(missing, loads, strict=True):
            read = await wait_shared(loading)
            if key in prefetched and isinstance(read.error, CircuitOpen):
                # A half-open circuit lets one call through, the list's, whose success may have closed the circuit.
                loader.clear(key)
                read = await wait_shared(loader.load(key))
            self._keep_status(card, key, statuses.to_reading(card, read))

    async def _load_status(self, card: Card) -> StatusReading:
        await self._load_statuses([card], ())
        return self._statuses[status_key(card)]

    def _has_statuses(self, cards: Iterable[Card]) -> bool:
        """True if all are known to this request or fresh."""
        for card in cards:
            key = status_key(card)
            if key not in self._statuses:
                found = self._services.reader.statuses.get_fresh(card)
                if found is None:
                    return False
                self._keep_status(card, key, found)
        return True

    def _keep_status(self, card: Card, key: Key, status: StatusReading) -> None:
        self._statuses[key] = status
        if status.failed:
            self._failed_statuses.add((card.provider, card.customer_ref))


def _readings(wallet: Wallet) -> dict[ProviderName, SourceReading]:
    """Of the vaults that were read for it, in the order of the customer's links."""
    sources = wallet.sources
    return {link.provider: one for link in wallet.entry.links if (one := sources[link.provider]).state not in _UNREAD}


def _without_status(row: SourceReading) -> SourceReading:
    if row.state is not SourceState.OK:
        return row
    return replace(row, state=SourceState.PARTIAL, message="A card's 3-D Secure status could not be read.")
