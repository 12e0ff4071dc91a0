"""In-memory cache of customers and their links."""

from collections.abc import Callable, Collection
from typing import Protocol

from app.caching.lru import LruCache
from app.store.records import CustomerRecord, DirectoryEntry, LinkRecord, MethodAddress
from app.vault.enums import CustomerRef, ProviderName

__all__ = ["CustomerCache", "CustomerDirectory", "CustomerRecord", "DirectoryEntry", "LinkRecord", "MethodAddress"]

Refs = tuple[tuple[ProviderName, CustomerRef], ...]


class CustomerDirectory(Protocol):
    """The part of the store that reads use. Unknown and erased customers are absent."""

    async def entries(self, ids: Collection[str]) -> dict[str, DirectoryEntry]: ...

    async def customer_by_external_id(self, external_id: str) -> CustomerRecord | None: ...

    async def customer_by_ref(self, provider: ProviderName, customer_ref: CustomerRef) -> CustomerRecord | None: ...

    async def owners_of(self, provider: ProviderName, refs: Collection[CustomerRef]) -> dict[CustomerRef, str]: ...


class _Reading:
    """A store read in flight, and the customers that changed during it."""

    __slots__ = ("all_changed", "changed")

    def __init__(self) -> None:
        self.changed: set[str] = set()
        self.all_changed = False


class CustomerCache:
    """Caches `limit` customers. `drop` must be called for every change.

    The vault refs of a customer are kept longer (`refs_of`): on a change, the caller must know which snapshots become
    outdated. `on_forgotten` is called for refs that leave the cache, for the same reason.
    """

    def __init__(
        self,
        directory: CustomerDirectory,
        limit: int = 10_000,
        *,
        refs_limit: int = 100_000,
        on_forgotten: Callable[[ProviderName, CustomerRef], None] = lambda provider, ref: None,
    ) -> None:
        self.store = directory
        self._on_forgotten = on_forgotten
        self._refs: LruCache[str, Refs] = LruCache(refs_limit, on_evict=self._forgotten)
        self._cached: LruCache[str, DirectoryEntry] = LruCache(limit)
        self._in_flight: set[_Reading] = set()

    def cached(self, customer_id: str) -> DirectoryEntry | None:
        """The customer if cached, else None."""
        return self._cached.get(customer_id)

    async def entries(self, ids: Collection[str]) -> dict[str, DirectoryEntry]:
        found: dict[str, DirectoryEntry] = {}
        missing: list[str] = []
        for customer_id in dict.fromkeys(ids):
            entry = self._cached.get(customer_id)
            if entry is None:
                missing.append(customer_id)
            else:
                found[customer_id] = entry
        if missing:
            found.update(await self._read(missing))
        return found

    async def _read(self, ids: Collection[str]) -> dict[str, DirectoryEntry]:
        reading = _Reading()
        self._in_flight.add(reading)
        try:
            found = await self.store.entries(ids)
        finally:
            self._in_flight.discard(reading)
        for customer_id, entry in found.items():
            self._refs.put(customer_id, tuple((link.provider, link.customer_ref) for link in entry.links))
            if not reading.all_changed and customer_id not in reading.changed:
                self._cached.put(customer_id, entry)
        return found

    def refs_of(self, customer_id: str) -> Refs:
        """The customer's vault refs as last read."""
        return self._refs.peek(customer_id) or ()

    def _forgotten(self, customer_id: str, refs: Refs) -> None:
        for provider, ref in refs:
            self._on_forgotten(provider, ref)

    def drop(self, customer_id: str) -> None:
        """Invalidate a customer. Reads in flight still return their result, but do not cache it."""
        self._cached.pop(customer_id)
        for reading in self._in_flight:
            reading.changed.add(customer_id)

    def clear(self) -> None:
        """Invalidate all customers."""
        self._cached.clear()
        for reading in self._in_flight:
            reading.all_changed = True
