"""Our customers, from memory while nothing about them has changed."""

from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Protocol

from app.store.records import CustomerRecord, DirectoryEntry, LinkRecord, MethodAddress
from app.vault.names import CustomerRef, ProviderName

__all__ = ["CustomerRecord", "Directory", "DirectoryCache", "DirectoryEntry", "LinkRecord", "MethodAddress"]

Refs = tuple[tuple[ProviderName, CustomerRef], ...]


class Directory(Protocol):
    """What reading needs of the store. Unknown and erased customers are absent."""

    async def entries(self, ids: Collection[str]) -> dict[str, DirectoryEntry]: ...

    async def customer_by_external_id(self, external_id: str) -> CustomerRecord | None: ...

    async def customer_by_ref(self, provider: ProviderName, customer_ref: CustomerRef) -> CustomerRecord | None: ...

    async def owners_of(self, provider: ProviderName, refs: Collection[CustomerRef]) -> dict[CustomerRef, str]: ...


class _Reading:
    """A read of the store on its way, and which of its customers changed meanwhile."""

    __slots__ = ("all_changed", "changed")

    def __init__(self) -> None:
        self.changed: set[str] = set()
        self.all_changed = False


class DirectoryCache:
    """Keeps `limit` customers; whoever changes one, or hears of a change, calls `drop`.

    Where the vaults know a customer is remembered for longer (`refs_of`): whoever hears that a customer changed must
    know which snapshots that makes old. Refs that are forgotten are told to `on_forgotten`, for the same reason.
    """

    def __init__(
        self,
        directory: Directory,
        limit: int = 10_000,
        *,
        refs_limit: int = 100_000,
        on_forgotten: Callable[[ProviderName, CustomerRef], None] = lambda provider, ref: None,
    ) -> None:
        self.store = directory
        self._limit = limit
        self._refs_limit = refs_limit
        self._on_forgotten = on_forgotten
        self._refs: OrderedDict[str, Refs] = OrderedDict()
        self._kept: OrderedDict[str, DirectoryEntry] = OrderedDict()
        self._readings: set[_Reading] = set()

    def at_hand(self, customer_id: str) -> DirectoryEntry | None:
        """The customer, at once; None where the store must be asked."""
        entry = self._kept.get(customer_id)
        if entry is not None:
            self._kept.move_to_end(customer_id)
        return entry

    async def entries(self, ids: Collection[str]) -> dict[str, DirectoryEntry]:
        found: dict[str, DirectoryEntry] = {}
        missing: list[str] = []
        for customer_id in dict.fromkeys(ids):
            entry = self._kept.get(customer_id)
            if entry is None:
                missing.append(customer_id)
            else:
                self._kept.move_to_end(customer_id)
                found[customer_id] = entry
        if missing:
            found.update(await self._read(missing))
        return found

    async def _read(self, ids: Collection[str]) -> dict[str, DirectoryEntry]:
        reading = _Reading()
        self._readings.add(reading)
        try:
            found = await self.store.entries(ids)
        finally:
            self._readings.discard(reading)
        for customer_id, entry in found.items():
            self._remember(customer_id, tuple((link.provider, link.customer_ref) for link in entry.links))
            if not reading.all_changed and customer_id not in reading.changed:
                self._kept[customer_id] = entry
                self._kept.move_to_end(customer_id)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return found

    def refs_of(self, customer_id: str) -> Refs:
        """Where the vaults knew the customer when it was last read here."""
        return self._refs.get(customer_id, ())

    def _remember(self, customer_id: str, refs: Refs) -> None:
        self._refs[customer_id] = refs
        self._refs.move_to_end(customer_id)
        while len(self._refs) > self._refs_limit:
            for provider, ref in self._refs.popitem(last=False)[1]:
                self._on_forgotten(provider, ref)

    def drop(self, customer_id: str) -> None:
        """The customer has changed: reads that are on their way are answered and not kept."""
        self._kept.pop(customer_id, None)
        for reading in self._readings:
            reading.changed.add(customer_id)

    def clear(self) -> None:
        """It is not known what has changed."""
        self._kept.clear()
        for reading in self._readings:
            reading.all_changed = True
