"""Webhook deliveries worked off: claimed from the store, applied once, retried later, put aside when hopeless.

A delivery only says where to look. Its effect is what the vault holds when we look: so repeated, late and reordered
deliveries do no harm.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from ulid import ULID

from app.errors import VaultError, VaultRejected, VaultReplyUnreadable
from app.store import Store, Tx
from app.store.errors import RETRY_STORE_S, StoreUnavailable
from app.store.records import EventOrigin, ReceiptRecord
from app.vault.model import Card, VaultWallet
from app.vault.names import (
    AuthStatus,
    CustomerRef,
    MethodRef,
    PaymentMethodStatus,
    ProviderCapability,
    ProviderName,
)
from app.vault.provider import Call, VaultProvider
from app.wallet.reading import is_not_found
from app.wallet.sightings import Named, Sightings, status_of
from app.wallet.snapshots import SnapshotCache
from app.wallet.stored_choice import StoredChoices

_log = logging.getLogger("vaultgraph.webhooks")
_LEASE: Final = timedelta(seconds=60)
_RETRY_AFTER_S: Final = (2, 10, 60, 300, 1_800, 7_200)
_IDLE_S: Final = 0.5
_LOOK_EVERY_S: Final = 5.0
_CALL_S: Final = 10.0
_SEARCH_LIMIT: Final = 5_000
_SEARCH_AT_ONCE: Final = 8
_STATUSES: Final = 16
_TOLD: Final = EventOrigin.PROVIDER_WEBHOOK

Settle = Callable[[Tx], Awaitable[None]]
Handler = Callable[[ReceiptRecord, Settle], Awaitable[None]]
"""Applies one delivery. Its transaction calls `settle`, which raises ClaimLost when it must not commit."""


class Overtaken(Exception):
    """What was read may be older than what is known by now: the vault must be asked again."""


class ClaimLost(Exception):
    """Somebody else took this delivery over: our transaction must not commit."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """What handlers need."""

    store: Store
    providers: Mapping[ProviderName, VaultProvider]
    snapshots: SnapshotCache
    sightings: Sightings
    choices: StoredChoices


class ReceiptWorker:
    """One per process; several processes share the work through claims."""

    def __init__(
        self,
        inbound: Inbound,
        handlers: Mapping[tuple[str, str], Handler],
        *,
        name: str | None = None,
        gone: Callable[[], Awaitable[Collection[str]]] | None = None,
    ) -> None:
        """`name` claims; `gone` answers the names of workers that are known to have died, whose claims are free."""
        self._inbound = inbound
        self._handlers = dict(handlers)
        self._name = name or str(ULID())
        self._gone = gone
        self._look_at = 0.0
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Something arrived: do not wait for the next look."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled. A failure of the store is logged and tried again."""
        try:
            await self._run()
        finally:
            with suppress(StoreUnavailable):  # then the claims run out
                await self._inbound.store.receipts.release([self._name])

    async def _run(self) -> None:
        while True:
            try:
                await self._take_over()
                busy = await self.work_once()
            except StoreUnavailable:
                await asyncio.sleep(RETRY_STORE_S)
                busy = False
            except Exception:  # noqa: BLE001 - a worker that died would leave every delivery lying
                _log.exception("webhook deliveries could not be worked off; trying again")
                busy = False
            if not busy:
                self._wake.clear()
                try:
                    async with asyncio.timeout(_IDLE_S):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _take_over(self) -> None:
        """Free what the dead had claimed, now and then: without it, their claims end by themselves."""
        now = asyncio.get_running_loop().time()
        if self._gone is not None and now >= self._look_at:
            self._look_at = now + _LOOK_EVERY_S
            gone = await self._gone()
            if gone:
                await self._inbound.store.receipts.release(gone)

    async def work_once(self) -> bool:
        """Apply what is due now; False when nothing was."""
        claimed = await self._inbound.store.receipts.claim(self._name, lease=_LEASE)
        await asyncio.gather(*(self._apply(receipt) for receipt in claimed))
        return bool(claimed)

    async def _apply(self, receipt: ReceiptRecord) -> None:
        receipts = self._inbound.store.receipts

        async def settle(tx: Tx) -> None:
            if not await receipts.done(receipt.id, self._name, tx=tx):
                raise ClaimLost

        handler = self._handlers.get((receipt.source, receipt.event_type), _ignore(self._inbound.store))
        try:
            await handler(receipt, settle)
        except ClaimLost:
            return
        except StoreUnavailable:  # the claim runs out, and the delivery is taken up again
            return
        except VaultError as error:
            await self._later(receipt, error.code)
        except Overtaken:
            await self._later(receipt, "OVERTAKEN")
        except Exception as error:  # noqa: BLE001 - one broken delivery must not stop the others
            _log.exception("webhook delivery %s failed", receipt.id)
            await self._later(receipt, type(error).__name__)

    async def _later(self, receipt: ReceiptRecord, reason: str) -> None:
        receipts = self._inbound.store.receipts
        if receipt.attempts > len(_RETRY_AFTER_S):
            await receipts.dead(receipt.id, self._name, error=reason)
            return
        at = datetime.now(UTC) + timedelta(seconds=_RETRY_AFTER_S[receipt.attempts - 1])
        await receipts.retry(receipt.id, self._name, at=at, error=reason)


def _ignore(store: Store) -> Handler:
    """Event types that we do not know are kept and marked done: a later version may replay them."""

    async def handler(receipt: ReceiptRecord, settle: Settle) -> None:
        async with store.transaction() as tx:
            await settle(tx)

    return handler


def rereads_named_methods(inbound: Inbound, provider: ProviderName, member: str) -> Handler:
    """For deliveries whose body's `member` lists method refs: find their owners, read them anew, record what changed.

    Each customer counts for itself: what can be read is recorded even if another customer's list cannot. Then the
    delivery is retried, but only where that may help. Refs that no linked customer holds are ignored.
    """

    async def handler(receipt: ReceiptRecord, settle: Settle) -> None:
        named = [MethodRef(ref) for ref in receipt.body.get(member, ()) if isinstance(ref, str)]
        owners, searched = await _owners(inbound, provider, named)
        asked_at = datetime.now(UTC)
        fresh = await _read(inbound, provider, list(owners))
        failure = searched.merged(fresh).worth_retrying()
        for ref in owners:
            inbound.snapshots.drop(provider, ref)
        by_vault = Named(frozenset(named), receipt.received_at)
        async with inbound.store.transaction() as tx:
            for ref, wallet in fresh.wallets.items():
                seen = await inbound.sightings.compare(
                    wallet, owners[ref], _TOLD, asked_at=asked_at, named=by_vault, tx=tx
                )
                if seen.is_outdated:
                    raise Overtaken
                await inbound.choices.saw_list(
                    wallet, owners[ref], asked_at=asked_at, origin=_TOLD, notified_of=named, tx=tx
                )
            if failure is None:
                await settle(tx)
        if failure is not None:
            raise failure

    return handler


def rereads_the_customer(inbound: Inbound, provider: ProviderName, member: str) -> Handler:
    """For deliveries whose body's `member` is a vault's customer ref: read that customer anew, record what changed."""

    async def handler(receipt: ReceiptRecord, settle: Settle) -> None:
        vault = inbound.providers.get(provider)
        named = str(receipt.body.get(member, ""))
        ref = CustomerRef(named) if vault is None else vault.canonical_ref(named)
        owner = (await inbound.store.directory.owners_of(provider, [ref])).get(ref)
        asked_at = datetime.now(UTC)
        lists = await _read(inbound, provider, [ref] if owner else [])
        if (failure := lists.worth_retrying()) is not None:
            raise failure
        fresh = lists.wallets
        statuses = [found for wallet in fresh.values() for found in await _statuses(inbound, wallet)]
        inbound.snapshots.drop(provider, ref)
        async with inbound.store.transaction() as tx:
            for wallet in fresh.values():
                seen = await inbound.sightings.compare(wallet, str(owner), _TOLD, asked_at=asked_at, tx=tx)
                if seen.is_outdated:
                    raise Overtaken
                await inbound.choices.saw_list(
                    wallet, str(owner), asked_at=asked_at, origin=_TOLD, notified_of=None, tx=tx
                )
            for card, status in statuses:
                await inbound.sightings.status(card, status, _TOLD, asked_at=asked_at, tx=tx)
            await settle(tx)

    return handler


@dataclass(slots=True)
class _Lists:
    """What was read of some customers. `failures` are of those whose list could not be; `is_answered` says that the
    vault had an answer for at least one, be it that it does not know the customer."""

    wallets: dict[CustomerRef, VaultWallet] = field(default_factory=dict)
    failures: list[VaultError] = field(default_factory=list)
    is_answered: bool = False

    def merged(self, other: "_Lists") -> "_Lists":
        return _Lists(
            self.wallets | other.wallets, self.failures + other.failures, self.is_answered or other.is_answered
        )

    def worth_retrying(self) -> VaultError | None:
        """A failure that may pass. A vault that refuses one customer only, and answers for others, will go on so."""
        passing = next((one for one in self.failures if one.retryable), None)
        if passing is not None or self.is_answered:
            return passing
        return next(iter(self.failures), None)


async def _owners(
    inbound: Inbound, provider: ProviderName, named: Sequence[MethodRef]
) -> tuple[dict[CustomerRef, str], _Lists]:
    """Maps the vault's customer refs that hold the methods to our customer ids, and what was read to find them;
    methods that no linked customer holds are omitted."""
    known = await inbound.store.seen.owners(provider, named)
    found = {record.customer_ref: record.customer_id for record in known}
    missing = set(named) - {record.method_ref for record in known}
    if not missing:
        return found, _Lists()
    more, searched = await _search(inbound, provider, missing)
    return found | more, searched


async def _search(
    inbound: Inbound, provider: ProviderName, missing: set[MethodRef]
) -> tuple[dict[CustomerRef, str], _Lists]:
    """Look among linked customers whose list was never seen: a bounded walk, needed once per customer at the most.

    One whose list cannot be understood is passed over: nothing of it was ever shown that could be out of date.
    """
    found: dict[CustomerRef, str] = {}
    searched = _Lists()
    unseen = await inbound.store.seen.unseen_links(provider, limit=_SEARCH_LIMIT)
    for start in range(0, len(unseen), _SEARCH_AT_ONCE):
        some, asked_at = dict(unseen[start : start + _SEARCH_AT_ONCE]), datetime.now(UTC)
        lists = await _read(inbound, provider, list(some))
        lists.failures = [one for one in lists.failures if not isinstance(one, VaultReplyUnreadable)]
        searched = searched.merged(replace(lists, wallets={}))
        for ref, wallet in lists.wallets.items():
            hits = missing & {method.method_ref for method in wallet.methods}
            if hits:
                found[ref] = some[ref]
                missing -= hits
            else:
                await inbound.sightings.compare(wallet, some[ref], _TOLD, asked_at=asked_at)
        is_down = bool(lists.failures) and not lists.is_answered
        if not missing or is_down:  # a vault that is down is not asked for everybody
            break
    if not missing:
        searched.failures.clear()  # whoever could not be read holds none of them
    return found, searched


async def _statuses(inbound: Inbound, wallet: VaultWallet) -> list[tuple[Card, AuthStatus]]:
    """The cards' 3-D Secure statuses, where they cost a call each: of so many cards at most. One that its vault does
    not tell now is seen when somebody asks for it."""
    vault = inbound.providers.get(wallet.provider)
    if vault is None or ProviderCapability.THREE_D_SECURE not in vault.capabilities.operations:
        return []
    cards = [one for one in wallet.methods if isinstance(one, Card) and one.status is PaymentMethodStatus.ACTIVE]
    call = _call()
    found = await asyncio.gather(*(status_of(inbound.providers, card, call) for card in cards[:_STATUSES]))
    return [(card, status) for card, status in zip(cards, found, strict=False) if status is not None]


def _call() -> Call:
    deadline_at = asyncio.get_running_loop().time() + _CALL_S
    return Call(deadline_at=deadline_at, request_id=str(ULID()), client="webhooks")


async def _read(inbound: Inbound, provider: ProviderName, refs: Sequence[CustomerRef]) -> _Lists:
    """Fresh lists, each customer for itself. A customer whom the vault does not know is an answer, and left out."""
    vault = inbound.providers.get(provider)
    lists = _Lists()
    if vault is None or not refs:
        return lists
    try:
        found = await vault.wallets(refs, _call())
    except VaultError as error:  # of all of them
        lists.failures.append(error)
        return lists
    for ref in refs:
        wallet = found[ref]
        if not isinstance(wallet, VaultError):
            lists.wallets[ref] = wallet
        elif is_not_found(wallet):
            await inbound.sightings.not_found(provider, ref)
        else:
            lists.failures.append(wallet)
        lists.is_answered |= not isinstance(wallet, VaultError) or isinstance(wallet, VaultRejected)
    return lists
