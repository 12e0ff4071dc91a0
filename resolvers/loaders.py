"""Loaders of one request: however many fields ask, each thing is asked for once."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from aiodataloader import DataLoader

from app.vault.model import Card
from app.vault.names import CustomerRef, MethodRef, ProviderName
from app.vault.provider import Call
from app.wallet.directory import DirectoryCache, DirectoryEntry
from app.wallet.reading import StatusReading, WalletReader

Adopt = Callable[[], None]
Spawn = Callable[[Coroutine[Any, Any, StatusReading]], "asyncio.Task[StatusReading]"]
StatusKey = tuple[ProviderName, CustomerRef, MethodRef]
OwnerKey = tuple[ProviderName, CustomerRef]


class StatusLoader:
    """Card to its 3-D Secure status: one call each, side by side, so that a slow one delays no other."""

    def __init__(self, reader: WalletReader, call: Call, spawn: Spawn) -> None:
        self._reader, self._call, self._spawn = reader, call, spawn
        self._asked: dict[StatusKey, asyncio.Task[StatusReading]] = {}

    def load(self, card: Card) -> "asyncio.Future[StatusReading]":
        key = status_key(card)
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = self._spawn(self._reader.three_d_secure(card, self._call))
        return asked


class EntryLoader(DataLoader[str, "DirectoryEntry | None"]):
    """Our customer id to what the directory knows; None for unknown ones."""

    def __init__(self, directory: DirectoryCache, adopt: Adopt) -> None:
        super().__init__()
        self._directory, self._adopt = directory, adopt

    async def batch_load_fn(self, ids: list[str]) -> list[DirectoryEntry | None]:
        self._adopt()
        found = await self._directory.entries(ids)
        return [found.get(customer_id) for customer_id in ids]


class OwnerLoader(DataLoader[OwnerKey, "str | None"]):
    """A vault's customer to our customer id; None where nobody is linked."""

    def __init__(self, directory: DirectoryCache, adopt: Adopt) -> None:
        super().__init__()
        self._directory, self._adopt = directory, adopt

    async def batch_load_fn(self, keys: list[OwnerKey]) -> list[str | None]:
        self._adopt()
        found: dict[OwnerKey, str] = {}
        for provider in {name for name, _ in keys}:
            owners = await self._directory.store.owners_of(provider, [ref for name, ref in keys if name == provider])
            found.update({(provider, ref): owner for ref, owner in owners.items()})
        return [found.get(key) for key in keys]


def status_key(card: Card) -> StatusKey:
    return card.provider, card.customer_ref, card.method_ref
