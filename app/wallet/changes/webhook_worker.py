"""Processes webhook deliveries: claims them from the store, applies each once, retries failures, dead-letters the rest.

A delivery only says which customer or methods to read. The vault's current state is what is applied, so repeated, late
and reordered deliveries are harmless.
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
from app.store import Store, Transaction
from app.store.errors import RETRY_STORE_S, StoreUnavailable
from app.store.records import DeliveryRecord, EventOrigin, ObservedChanges
from app.store.webhook_deliveries import finish_delivery
from app.vault.enums import AuthStatus, CustomerRef, MethodRef, PaymentMethodStatus, ProviderCapability, ProviderName
from app.vault.model import Card, VaultWallet
from app.vault.provider import Call, VaultProvider
from app.wallet.changes.detector import ChangeDetector, Named, SeenList, record_list, record_status, status_of
from app.wallet.defaults.stored_choice import StoredChoices, apply_list
from app.wallet.reads.cache import SnapshotCache
from app.wallet.reads.reader import is_not_found
from app.wallet.wake import Wake

_log = logging.getLogger("vaultgraph.webhooks")
_LEASE: Final = timedelta(seconds=60)
_RETRY_AFTER_S: Final = (2, 10, 60, 300, 1_800, 7_200)
_IDLE_S: Final = 0.5
_RELEASE_EVERY_S: Final = 5.0
_CALL_S: Final = 10.0
_SEARCH_LIMIT: Final = 5_000
_SEARCH_BATCH: Final = 8
_STATUSES: Final = 16
_WEBHOOK: Final = EventOrigin.PROVIDER_WEBHOOK

Settle = Callable[[Transaction], None]
Handler = Callable[[DeliveryRecord, Settle], Awaitable[None]]
"""Applies one delivery. Its transaction calls `settle`, which raises ClaimLost if it must not commit."""


class ReadOutdated(Exception):
    """The list may be older than the stored state: the vault must be read again."""


class ClaimLost(Exception):
    """Another worker has taken over this delivery: this transaction must not commit."""


@dataclass(frozen=True, slots=True)
class WebhookDeps:
    """Dependencies of the handlers."""

    store: Store
    providers: Mapping[ProviderName, VaultProvider]
    snapshots: SnapshotCache
    detector: ChangeDetector
    choices: StoredChoices


class WebhookWorker:
    """One per process; processes share the work through claims."""

    def __init__(
        self,
        deps: WebhookDeps,
        handlers: Mapping[tuple[str, str], Handler],
        *,
        name: str | None = None,
        gone: Callable[[], Awaitable[Collection[str]]] | None = None,
    ) -> None:
        """`name` identifies the claims; `gone` returns the names of dead workers, whose claims are released."""
        self._inbound = deps
        self._handlers = dict(handlers)
        self._name = name or str(ULID())
        self._gone = gone
        self._release_at = 0.0
        self._wake = Wake()

    def wake(self) -> None:
        """Process new deliveries now instead of at the next poll."""
        self._wake.wake()

    async def run(self) -> None:
        """Work until cancelled. A store failure is logged and retried."""
        try:
            await self._run()
        finally:
            with suppress(StoreUnavailable):  # the claims expire instead
                await self._inbound.store.deliveries.release([self._name])

    async def _run(self) -> None:
        while True:
            try:
                await self._take_over()
                busy = await self.work_once()
            except StoreUnavailable:
                await asyncio.sleep(RETRY_STORE_S)
                busy = False
            except Exception:  # noqa: BLE001 - the loop must survive: all deliveries depend on it
                _log.exception("webhook deliveries could not be processed; retrying")
                busy = False
            if not busy:
                await self._wake.wait(_IDLE_S)

    async def _take_over(self) -> None:
        """Periodically release the claims of dead workers. Without this, their claims expire."""
        now = asyncio.get_running_loop().time()
        if self._gone is not None and now >= self._release_at:
            self._release_at = now + _RELEASE_EVERY_S
            gone = await self._gone()
            if gone:
                await self._inbound.store.deliveries.release(gone)

    async def work_once(self) -> bool:
        """Apply the deliveries that are due; False if there were none."""
        claimed = await self._inbound.store.deliveries.claim(self._name, lease=_LEASE)
        await asyncio.gather(*(self._apply(receipt) for receipt in claimed))
        return bool(claimed)

    async def _apply(self, receipt: DeliveryRecord) -> None:
        def settle(tx: Transaction) -> None:
            if not finish_delivery(tx, receipt.id, self._name):
                raise ClaimLost

        handler = self._handlers.get((receipt.source, receipt.event_type), _ignore(self._inbound.store))
        try:
            await handler(receipt, settle)
        except ClaimLost:
            return
        except StoreUnavailable:  # the claim expires, and the delivery is claimed again
            return
        except VaultError as error:
            await self._retry_later(receipt, error.code)
        except ReadOutdated:
            await self._retry_later(receipt, "OVERTAKEN")
        except Exception as error:  # noqa: BLE001 - one broken delivery must not stop the others
            _log.exception("webhook delivery %s failed", receipt.id)
            await self._retry_later(receipt, type(error).__name__)

    async def _retry_later(self, receipt: DeliveryRecord, reason: str) -> None:
        deliveries = self._inbound.store.deliveries
        if receipt.attempts > len(_RETRY_AFTER_S):
            await deliveries.dead(receipt.id, self._name, error=reason)
            return
        at = datetime.now(UTC) + timedelta(seconds=_RETRY_AFTER_S[receipt.attempts - 1])
        await deliveries.retry(receipt.id, self._name, at=at, error=reason)


def _ignore(store: Store) -> Handler:
    """Unknown event types are stored and marked done: a later version may replay them."""

    async def handler(receipt: DeliveryRecord, settle: Settle) -> None:
        await store.transaction(settle)

    return handler


def reread_named_methods(deps: WebhookDeps, provider: ProviderName, member: str) -> Handler:
    """For deliveries whose body's `member` lists method refs: find the customers, read them again, record changes.

    Each customer is independent: lists that can be read are recorded even if others fail. The delivery is then retried
    if that may help. Refs of no linked customer are ignored.
    """

    async def handler(receipt: DeliveryRecord, settle: Settle) -> None:
        named = [MethodRef(ref) for ref in receipt.body.get(member, ()) if isinstance(ref, str)]
        owners, searched = await _owners(deps, provider, named)
        asked_at = datetime.now(UTC)
        fresh = await _read(deps, provider, list(owners))
        failure = searched.merged(fresh).worth_retrying()
        for ref in owners:
            deps.snapshots.drop(provider, ref)
        by_vault = Named(frozenset(named), receipt.received_at)
        lists = [SeenList(wallet, owners[ref], _WEBHOOK, asked_at, by_vault) for ref, wallet in fresh.wallets.items()]

        def record(tx: Transaction) -> list[ObservedChanges]:
            found = _record_lists(tx, deps, lists, notified_of=named)
            if failure is None:
                settle(tx)
            return found

        _report_added(deps, lists, await deps.store.transaction(record))
        if failure is not None:
            raise failure

    return handler


def reread_customer(deps: WebhookDeps, provider: ProviderName, member: str) -> Handler:
    """For deliveries whose body's `member` is a vault's customer ref: read that customer again, record changes."""

    async def handler(receipt: DeliveryRecord, settle: Settle) -> None:
        vault = deps.providers.get(provider)
        named = str(receipt.body.get(member, ""))
        ref = CustomerRef(named) if vault is None else vault.canonical_ref(named)
        owner = (await deps.store.directory.owners_of(provider, [ref])).get(ref)
        asked_at = datetime.now(UTC)
        lists = await _read(deps, provider, [ref] if owner else [])
        if (failure := lists.worth_retrying()) is not None:
            raise failure
        fresh = lists.wallets
        statuses = [found for wallet in fresh.values() for found in await _statuses(deps, wallet)]
        deps.snapshots.drop(provider, ref)
        seen = [SeenList(wallet, str(owner), _WEBHOOK, asked_at) for wallet in fresh.values()]

        def record(tx: Transaction) -> list[ObservedChanges]:
            found = _record_lists(tx, deps, seen, notified_of=None)
            for card, status in statuses:
                record_status(tx, card, status, _WEBHOOK, asked_at=asked_at)
            settle(tx)
            return found

        _report_added(deps, seen, await deps.store.transaction(record))

    return handler


def _record_lists(
    tx: Transaction, deps: WebhookDeps, lists: Sequence[SeenList], *, notified_of: Collection[MethodRef] | None
) -> list[ObservedChanges]:
    """Record the lists, and apply them to the stored defaults. Raises ReadOutdated."""
    changes: list[ObservedChanges] = []
    for seen in lists:
        found = record_list(tx, seen)
        if found.is_outdated or seen.asked_at is None:
            raise ReadOutdated
        changes.append(found)
        apply_list(
            tx,
            seen.wallet,
            seen.customer_id,
            deps.choices.clear_after,
            asked_at=seen.asked_at,
            origin=seen.origin,
            notified_of=notified_of,
        )
    return changes


def _report_added(deps: WebhookDeps, lists: Sequence[SeenList], changes: Sequence[ObservedChanges]) -> None:
    for seen, found in zip(lists, changes, strict=True):
        deps.detector.report_added(seen, found)


@dataclass(slots=True)
class _Lists:
    """Lists read for some customers. `failures` are the errors of the others; `is_answered` is true if the vault
    answered for at least one customer, even with "not found"."""

    wallets: dict[CustomerRef, VaultWallet] = field(default_factory=dict)
    failures: list[VaultError] = field(default_factory=list)
    is_answered: bool = False

    def merged(self, other: "_Lists") -> "_Lists":
        return _Lists(
            self.wallets | other.wallets, self.failures + other.failures, self.is_answered or other.is_answered
        )

    def worth_retrying(self) -> VaultError | None:
        """A failure that may pass. A vault that rejects one customer and answers for others will continue to reject
        it."""
        passing = next((one for one in self.failures if one.retryable), None)
        if passing is not None or self.is_answered:
            return passing
        return next(iter(self.failures), None)


async def _owners(
    deps: WebhookDeps, provider: ProviderName, named: Sequence[MethodRef]
) -> tuple[dict[CustomerRef, str], _Lists]:
    """Maps the vault's customer refs that hold the methods to gateway customer ids, and returns the lists read to find
    them; methods of no linked customer are omitted."""
    known = await deps.store.observed_methods.owners(provider, named)
    found = {record.customer_ref: record.customer_id for record in known}
    missing = set(named) - {record.method_ref for record in known}
    if not missing:
        return found, _Lists()
    more, searched = await _search(deps, provider, missing)
    return found | more, searched


async def _search(
    deps: WebhookDeps, provider: ProviderName, missing: set[MethodRef]
) -> tuple[dict[CustomerRef, str], _Lists]:
    """Search linked customers whose list was never seen: bounded, and needed at most once per customer.

    A customer whose list is unreadable is skipped: nothing of it was ever shown that could be outdated.
    """
    found: dict[CustomerRef, str] = {}
    searched = _Lists()
    unseen = await deps.store.observed_methods.unseen_links(provider, limit=_SEARCH_LIMIT)
    for start in range(0, len(unseen), _SEARCH_BATCH):
        some, asked_at = dict(unseen[start : start + _SEARCH_BATCH]), datetime.now(UTC)
        lists = await _read(deps, provider, list(some))
        lists.failures = [one for one in lists.failures if not isinstance(one, VaultReplyUnreadable)]
        searched = searched.merged(replace(lists, wallets={}))
        for ref, wallet in lists.wallets.items():
            hits = missing & {method.method_ref for method in wallet.methods}
            if hits:
                found[ref] = some[ref]
                missing -= hits
            else:
                await deps.detector.compare(wallet, some[ref], _WEBHOOK, asked_at=asked_at)
        is_down = bool(lists.failures) and not lists.is_answered
        if not missing or is_down:  # do not ask a failing vault for the remaining customers
            break
    if not missing:
        searched.failures.clear()  # the unreadable customers hold none of the methods
    return found, searched


async def _statuses(deps: WebhookDeps, wallet: VaultWallet) -> list[tuple[Card, AuthStatus]]:
    """The cards' 3-D Secure statuses, for at most `_STATUSES` cards if each costs a call. A status that fails now is
    recorded at a later read."""
    vault = deps.providers.get(wallet.provider)
    if vault is None or ProviderCapability.THREE_D_SECURE not in vault.capabilities.operations:
        return []
    cards = [one for one in wallet.methods if isinstance(one, Card) and one.status is PaymentMethodStatus.ACTIVE]
    call = _call()
    found = await asyncio.gather(*(status_of(deps.providers, card, call) for card in cards[:_STATUSES]))
    return [(card, status) for card, status in zip(cards, found, strict=False) if status is not None]


def _call() -> Call:
    deadline_at = asyncio.get_running_loop().time() + _CALL_S
    return Call(deadline_at=deadline_at, request_id=str(ULID()), client="webhooks")


async def _read(deps: WebhookDeps, provider: ProviderName, refs: Sequence[CustomerRef]) -> _Lists:
    """Fresh lists. A customer that the vault does not know counts as an answer and is omitted."""
    vault = deps.providers.get(provider)
    lists = _Lists()
    if vault is None or not refs:
        return lists
    try:
        found = await vault.wallets(refs, _call())
    except VaultError as error:  # concerns all customers
        lists.failures.append(error)
        return lists
    for ref in refs:
        wallet = found[ref]
        if not isinstance(wallet, VaultError):
            lists.wallets[ref] = wallet
        elif is_not_found(wallet):
            await deps.detector.not_found(provider, ref)
        else:
            lists.failures.append(wallet)
        lists.is_answered |= not isinstance(wallet, VaultError) or isinstance(wallet, VaultRejected)
    return lists
