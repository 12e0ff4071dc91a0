"""Polls the vaults that send no webhooks, for customers with active subscriptions.

Differences from the last list seen become events, once across all replicas (`detector`). Two failed reads in a row
produce SOURCE_DEGRADED, the next success SOURCE_RECOVERED. A 3-D Secure status costs one call: it is read only for
subscribers to AUTH_CHANGED, a few cards per customer and round, in turn.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from ulid import ULID

from app.errors import VaultError
from app.store import Store
from app.store.errors import StoreUnavailable, logged
from app.store.records import DirectoryEntry, EventOrigin, EventType, NewEvent
from app.vault.enums import CustomerRef, MethodRef, PaymentMethodStatus, ProviderName
from app.vault.model import Card, VaultWallet
from app.vault.provider import Call
from app.wallet.changes.detector import ChangeDetector, StatusRecorded, status_of
from app.wallet.changes.feed import Feed
from app.wallet.defaults.stored_choice import StoredChoices
from app.wallet.reads.reader import WalletReader, is_not_found

_log = logging.getLogger("vaultgraph.poller")
_BATCH: Final = 20
_CALL_S: Final = 10.0
_FAILURES_UNTIL_DEGRADED: Final = 2
_STATUSES: Final = 4
_HEALTH: Final = frozenset({EventType.SOURCE_DEGRADED, EventType.SOURCE_RECOVERED})

Watched = tuple[str, CustomerRef]
"""The gateway's customer id, and the vault's customer ref."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollerPace:
    """Each subscribed customer is read every `every_s` seconds, with at most `calls_per_s` calls to all vaults
    together: with more customers than that allows, a round takes longer."""

    every_s: float = 30.0
    calls_per_s: float = 5.0


class Poller:
    """One per process, for the subscribers of this process. `providers` are the vaults that send no webhooks."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        reader: WalletReader,
        detector: ChangeDetector,
        choices: StoredChoices,
        providers: Collection[ProviderName],
        pace: PollerPace,
        utc_now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._feed = feed
        self._reader = reader
        self._detector = detector
        self._choices = choices
        self._providers = [name for name in providers if name in reader.providers]
        self._pace = pace
        self._utc_now = utc_now
        self._failures: dict[tuple[ProviderName, str], int] = {}
        self._rounds = 0
        self._asked: dict[tuple[str, ProviderName, MethodRef], int] = {}

    async def run(self) -> None:
        """Poll until cancelled. A failure is logged and retried in the next round."""
        while True:
            await asyncio.sleep(self._pace.every_s)
            with logged(_log, "polling the vaults failed; retrying in the next round"):
                await self.round()

    async def round(self) -> None:
        """Read every subscribed customer once."""
        subscribed = set(self._feed.customers())
        self._failures = {key: count for key, count in self._failures.items() if key[1] in subscribed}
        self._asked = {key: number for key, number in self._asked.items() if key[0] in subscribed}
        self._rounds += 1
        entries = await self._store.directory.entries(subscribed)
        for provider in self._providers:
            watched = [one for entry in entries.values() if (one := _customer_at(entry, provider)) is not None]
            try:
                await self._read_all(provider, watched)
            except StoreUnavailable:
                raise
            except Exception:  # noqa: BLE001 - a failure at one vault must not stop the others
                _log.exception("polling %s failed; retrying in the next round", provider.value)

    async def _read_all(self, provider: ProviderName, watched: Sequence[Watched]) -> None:
        for start in range(0, len(watched), _BATCH):
            calls = await self._read(provider, watched[start : start + _BATCH])
            await asyncio.sleep(calls / self._pace.calls_per_s)

    async def _read(self, provider: ProviderName, watched: Sequence[Watched]) -> int:
        """Returns the number of calls made."""
        began = self._utc_now()
        deadline_at = asyncio.get_running_loop().time() + _CALL_S
        call = Call(deadline_at=deadline_at, request_id=str(ULID()), client="watch")
        vault = self._reader.providers[provider]
        found: Mapping[CustomerRef, VaultWallet | VaultError]
        try:
            found = await vault.wallets([ref for _, ref in watched], call)
        except VaultError as error:  # concerns all of them
            found = {ref: error for _, ref in watched}
        for customer_id, ref in watched:
            read = found.get(ref)
            if isinstance(read, VaultWallet):
                await self._record_list(read, customer_id, began)
                await self._read_statuses(read, customer_id, call)
            elif isinstance(read, VaultError) and is_not_found(read):  # a valid answer: the vault is up
                self._failures.pop((provider, customer_id), None)
                await self._detector.not_found(provider, ref)
                self._reader.snapshots.drop(provider, ref)
            elif isinstance(read, VaultError):
                await self._record_failure(provider, ref, customer_id)
        return call.meter.calls

    async def _record_list(self, wallet: VaultWallet, customer_id: str, began: datetime) -> None:
        provider, ref = wallet.provider, wallet.customer_ref
        self._failures.pop((provider, customer_id), None)
        if await self._is_degraded(provider, customer_id):
            await self._append(EventType.SOURCE_RECOVERED, provider, ref, customer_id)
        if await self._detector.compare(wallet, customer_id, EventOrigin.RECONCILIATION, asked_at=began):
            self._reader.snapshots.drop(provider, ref)
        await self._choices.observe_list(wallet, customer_id, asked_at=began)

    async def _read_statuses(self, wallet: VaultWallet, customer_id: str, call: Call) -> None:
        """Read the statuses of the cards that were read the longest time ago. Failures are retried in a later round."""
        if not self._feed.wants(customer_id, EventType.AUTH_CHANGED):
            return
        cards = [one for one in wallet.methods if isinstance(one, Card) and self._reader.statuses.has_call(one)]
        cards = [one for one in cards if one.status is PaymentMethodStatus.ACTIVE]
        cards.sort(key=lambda one: self._asked.get((customer_id, one.provider, one.method_ref), 0))
        asked_at, own = self._utc_now(), replace(call, deadline_at=asyncio.get_running_loop().time() + _CALL_S)
        for card in cards[:_STATUSES]:
            self._asked[customer_id, card.provider, card.method_ref] = self._rounds
        found = await asyncio.gather(*(status_of(self._reader.providers, card, own) for card in cards[:_STATUSES]))
        for card, status in zip(cards, found, strict=False):
            if status is None:
                continue
            origin = EventOrigin.RECONCILIATION
            if await self._detector.status(card, status, origin, asked_at=asked_at) is StatusRecorded.CHANGED:
                self._reader.snapshots.drop(card.provider, card.customer_ref)

    async def _record_failure(self, provider: ProviderName, ref: CustomerRef, customer_id: str) -> None:
        key = (provider, customer_id)
        self._failures[key] = self._failures.get(key, 0) + 1
        if self._failures[key] >= _FAILURES_UNTIL_DEGRADED and not await self._is_degraded(provider, customer_id):
            await self._append(EventType.SOURCE_DEGRADED, provider, ref, customer_id)

    async def _is_degraded(self, provider: ProviderName, customer_id: str) -> bool:
        """True if the last health event, from any replica, is SOURCE_DEGRADED."""
        page = await self._store.events.of_customer(customer_id, first=20, types=_HEALTH)
        last = next((event for event in page.events if event.provider is provider), None)
        return last is not None and last.type is EventType.SOURCE_DEGRADED

    async def _append(self, kind: EventType, provider: ProviderName, ref: CustomerRef, customer_id: str) -> None:
        origin = EventOrigin.RECONCILIATION
        event = NewEvent(type=kind, origin=origin, customer_id=customer_id, provider=provider, customer_ref=ref)
        await self._store.events.append(event)


def _customer_at(entry: DirectoryEntry, provider: ProviderName) -> Watched | None:
    link = entry.link(provider)
    return None if link is None else (entry.customer.id, link.customer_ref)
