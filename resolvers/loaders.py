"""Data loaders of one request: each key is loaded once, however many fields need it."""

from collections.abc import Callable

from aiodataloader import DataLoader

from app.vault.enums import CustomerRef, ProviderName
from app.wallet.reads.customers import CustomerCache, DirectoryEntry

Adopt = Callable[[], None]
OwnerKey = tuple[ProviderName, CustomerRef]


class EntryLoader(DataLoader[str, "DirectoryEntry | None"]):
    """Loads directory entries by customer id; None for unknown ones."""

    def __init__(self, directory: CustomerCache, adopt: Adopt) -> None:
        super().__init__()
        self._directory, self._adopt = directory, adopt

    async def batch_load_fn(self, ids: list[str]) -> list[DirectoryEntry | None]:
        self._adopt()
        found = await self._directory.entries(ids)
        return [found.get(customer_id) for customer_id in ids]


class OwnerLoader(DataLoader[OwnerKey, "str | None"]):
    """Loads customer ids by a vault's customer ref; None if it is not linked."""

    def __init__(self, directory: CustomerCache, adopt: Adopt) -> None:
        super().__init__()
        self._directory, self._adopt = directory, adopt

    async def batch_load_fn(self, keys: list[OwnerKey]) -> list[str | None]:
        self._adopt()
        found: dict[OwnerKey, str] = {}
        for provider in {name for name, _ in keys}:
            owners = await self._directory.store.owners_of(provider, [ref for name, ref in keys if name == provider])
            found.update({(provider, ref): owner for ref, owner in owners.items()})
        return [found.get(key) for key in keys]
