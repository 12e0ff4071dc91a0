"""The data loaders of one request: the only way from a resolver to a vault.

Each key is loaded once per request, however many fields need it, and keys that are requested in the same turn of the
event loop are loaded together. What fresh snapshots contain is answered without a loader.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from aiodataloader import DataLoader

from app.errors import CircuitOpen
from app.vault.enums import CustomerRef, ProviderName, SourceState
from app.vault.model import Card
from app.vault.provider import Call
from app.wallet.reads.build_wallet import Wallet
from app.wallet.reads.cache import Key
from app.wallet.reads.customers import CustomerCache, DirectoryEntry
from app.wallet.reads.reader import SourceReading, WalletReader
from app.wallet.reads.three_d_secure import StatusRead, StatusReading, status_key
from app.wallet.reads.waiting import wait_all
from app.wallet.reads.wallet_cache import BuiltWallet
from resolvers.needs import Needs, Start, nothing

if TYPE_CHECKING:
    from resolvers.context import Info, Services

Value = TypeVar("Value")
Adopt = Callable[[], None]
"""Registers the running task with the request, which cancels it at its end: loaders start their own tasks."""
CustomerKey = tuple[ProviderName, CustomerRef]


class EntryLoader(DataLoader[str, "DirectoryEntry | None"]):
    """Loads directory entries by customer id; None for unknown ones."""

    def __init__(self, directory: CustomerCache, adopt: Adopt) -> None:
        super().__init__()
        self._directory, self._adopt = directory, adopt

    async def batch_load_fn(self, ids: list[str]) -> list[DirectoryEntry | None]:
        self._adopt()
        found = await self._directory.entries(ids)
        return [found.get(customer_id) for customer_id in ids]


class OwnerLoader(DataLoader[CustomerKey, "str | None"]):
    """Loads customer ids by a vault's customer ref; None if it is not linked."""

    def __init__(self, directory: CustomerCache, adopt: Adopt) -> None:
        super().__init__()
        self._directory, self._adopt = directory, adopt

    async def batch_load_fn(self, keys: list[CustomerKey]) -> list[str | None]:
        self._adopt()
        found: dict[CustomerKey, str] = {}
        for provider in {name for name, _ in keys}:
            owners = await self._directory.store.owners_of(provider, [ref for name, ref in keys if name == provider])
            found.update({(provider, ref): owner for ref, owner in owners.items()})
        return [found.get(key) for key in keys]


class VaultWalletLoader(DataLoader[CustomerKey, SourceReading]):
    """Loads one vault's part of a wallet. Vaults are read in parallel; a vault's customers in one call where it can."""

    def __init__(self, reader: WalletReader, call: Call, adopt: Adopt) -> None:
        super().__init__()
        self._reader, self._call, self._adopt = reader, call, adopt

    async def batch_load_fn(self, keys: list[CustomerKey]) -> list[SourceReading]:
        self._adopt()
        # An exception in a place rejects that key alone.
        return await self._reader.try_all(keys, self._call)  # type: ignore[return-value]


class StatusLoader(DataLoader[Key, StatusRead]):
    """Loads one card's 3-D Secure result, which is a call of its own."""

    batch = False

    def __init__(self, reader: WalletReader, call: Call, adopt: Adopt) -> None:
        super().__init__()
        self._reader, self._call, self._adopt = reader, call, adopt

    async def batch_load_fn(self, keys: list[Key]) -> list[StatusRead]:
        self._adopt()
        return [await self._reader.statuses.read(key, self._call) for key in keys]


class Loaders:
    """One request's loaders, created when they are first needed, and what they have loaded."""

    def __init__(self, services: "Services", call: Call, adopt: Adopt) -> None:
        self._services = services
        self._call = call
        self._adopt = adopt
        self._built: dict[str, dict[frozenset[ProviderName], BuiltWallet]] = {}
        self._statuses: dict[Key, StatusReading] = {}
        self._failed_statuses: set[CustomerKey] = set()

    @cached_property
    def entries(self) -> EntryLoader:
        return EntryLoader(self._services.directory, self._adopt)

    @cached_property
    def owners(self) -> OwnerLoader:
        return OwnerLoader(self._services.directory, self._adopt)

    @cached_property
    def vault_wallets(self) -> VaultWalletLoader:
        return VaultWalletLoader(self._services.reader, self._call, self._adopt)

    @cached_property
    def status_reads(self) -> StatusLoader:
        return StatusLoader(self._services.reader, self._call, self._adopt)

    def wallet(
        self,
        entry: DirectoryEntry,
        needs: Needs,
        info: "Info",
        also: ProviderName | None = None,
        start: Start = nothing,
    ) -> BuiltWallet | Awaitable[BuiltWallet]:
        """The customer's wallet with the vaults and 3-D Secure statuses that the selection needs, and with the vault
        `also`. No awaitable if fresh snapshots contain all of it.
        """
        vaults = needs.vaults(info) if needs.narrowed else needs.fixed
        if also is not None and also not in vaults:
            vaults = vaults.union((also,))
        built = self._at_hand(entry, vaults)
        if built is not None and (not needs.statuses or self._has_statuses(needs.cards(built.wallet, info, start))):
            return built
        return self._load(entry, vaults, needs, info, start)

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
                for row in self.sources(built.wallet):
                    if not row.is_harmless:
                        found[customer_id, row.provider] = row
        return [(customer_id, row) for (customer_id, _), row in found.items()]

    def close(self) -> None:
        """End of the request: break reference cycles, so that it is freed at once. Then only `incomplete_sources`
        works."""
        for name in ("entries", "owners", "vault_wallets", "status_reads", "_adopt", "_services"):
            self.__dict__.pop(name, None)

    def _at_hand(self, entry: DirectoryEntry, vaults: frozenset[ProviderName]) -> BuiltWallet | None:
        """The wallet if this request has read these vaults already, or fresh snapshots contain them."""
        services, wallets = self._services, self._built.get(entry.customer.id)
        if wallets is None:
            built = services.wallets.get_fresh(entry, vaults, services.utc_now())
        else:
            built = wallets.get(vaults)
            if built is not None:
                return built
        if built is None:
            readings: dict[ProviderName, SourceReading] = {}
            for name, ref in self._links(entry, vaults):
                reading = self._read_before(entry, name) or services.reader.get_fresh(name, ref)
                if reading is None:
                    return None
                readings[name] = reading
            built = services.wallets.get_or_build(entry, vaults, readings, services.utc_now())
        return None if built.wallet.default.choice_change is not None else self._remember(vaults, built)

    async def _load(
        self, entry: DirectoryEntry, vaults: frozenset[ProviderName], needs: Needs, info: "Info", start: Start
    ) -> BuiltWallet:
        services = self._services
        prefetched: set[Key] = set()
        built = self._built.get(entry.customer.id, {}).get(vaults)
        if built is None:
            readings: dict[ProviderName, SourceReading] = {}
            loads: dict[ProviderName, asyncio.Future[SourceReading]] = {}
            for name, ref in self._links(entry, vaults):
                before = self._read_before(entry, name)
                if before is None:
                    loads[name] = self.vault_wallets.load((name, ref))
                else:
                    readings[name] = before
            if needs.statuses:
                prefetched = self._prefetch(services.wallets.last(entry.customer.id, vaults), needs, info, start)
            await wait_all(loads.values())
            readings.update(zip(loads, results(loads.values()), strict=True))
            built = await self._settled(entry, vaults, readings)
            self._remember(vaults, built)
        if needs.statuses:
            cards = needs.cards(built.wallet, info, start)
            missing = [card for card in cards if status_key(card) not in self._statuses]
            if missing:
                await self._load_statuses(missing, prefetched)
        return built

    async def _settled(
        self,
        entry: DirectoryEntry,
        vaults: frozenset[ProviderName],
        readings: Mapping[ProviderName, SourceReading],
    ) -> BuiltWallet:
        """The wallet, after the change that the lists imply for the customer's stored default was stored."""
        services = self._services
        built = services.wallets.get_or_build(entry, vaults, readings, services.utc_now())
        default = built.wallet.default
        if default.choice_change is None or not await services.note_choice(default):
            return built
        return services.wallets.get_or_build(replace(entry, choice=None), vaults, readings, services.utc_now())

    def _prefetch(self, last: Wallet | None, needs: Needs, info: "Info", start: Start) -> set[Key]:
        """Start the status reads that the customer's last wallet implies, in parallel with the vaults' lists. The new
        lists decide which of them are used."""
        keys = set() if last is None else {status_key(card) for card in needs.cards(last, info, start)}
        for key in keys:
            self.status_reads.load(key)
        return keys

    async def _load_statuses(self, cards: Sequence[Card], prefetched: Collection[Key]) -> None:
        statuses, loader = self._services.reader.statuses, self.status_reads
        loads = [loader.load(status_key(card)) for card in cards]
        await wait_all(loads)
        for card, read in zip(cards, results(loads), strict=True):
            key = status_key(card)
            if key in prefetched and isinstance(read.error, CircuitOpen):
                # A half-open circuit lets one call through, the list's, whose success may have closed the circuit.
                loader.clear(key)
                read = await loader.load(key)
            self._keep_status(card, statuses.to_reading(card, read))

    async def _load_status(self, card: Card) -> StatusReading:
        await self._load_statuses([card], ())
        return self._statuses[status_key(card)]

    def _has_statuses(self, cards: Iterable[Card]) -> bool:
        """True if all are known to this request or fresh."""
        for card in cards:
            if status_key(card) not in self._statuses:
                found = self._services.reader.statuses.get_fresh(card)
                if found is None:
                    return False
                self._keep_status(card, found)
        return True

    def _keep_status(self, card: Card, status: StatusReading) -> None:
        self._statuses[status_key(card)] = status
        if status.failed:
            self._failed_statuses.add((card.provider, card.customer_ref))

    def _remember(self, vaults: frozenset[ProviderName], built: BuiltWallet) -> BuiltWallet:
        self._built.setdefault(built.wallet.entry.customer.id, {})[vaults] = built
        return built

    def _links(self, entry: DirectoryEntry, vaults: Collection[ProviderName]) -> list[CustomerKey]:
        enabled = self._services.reader.providers
        return [
            (link.provider, link.customer_ref)
            for link in entry.links
            if link.provider in vaults and link.provider in enabled
        ]

    def _read_before(self, entry: DirectoryEntry, name: ProviderName) -> SourceReading | None:
        """This request's reading of a vault, if there is one."""
        for vaults, built in self._built.get(entry.customer.id, {}).items():
            if name in vaults:
                return built.wallet.sources[name]
        return None


def results(futures: Iterable["asyncio.Future[Value]"]) -> list[Value]:
    """The results of futures that are done; raises the first exception."""
    errors = [one.exception() for one in futures]  # of all: asyncio logs an exception that was not retrieved
    for error in errors:
        if error is not None:
            raise error
    return [one.result() for one in futures]


def _without_status(row: SourceReading) -> SourceReading:
    if row.state is not SourceState.OK:
        return row
    return replace(row, state=SourceState.PARTIAL, message="A card's 3-D Secure status could not be read.")
