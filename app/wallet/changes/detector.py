"""Change detection: compares each vault list with the last one seen and appends events for the differences.

Every complete, fresh list comes here: from ordinary reads (after the response, never blocking it), from webhook
deliveries and from the poller. Comparing and storing are one transaction, so each difference becomes events once,
whichever reader sees it first.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from app.errors import VaultError
from app.store import Store, Tx
from app.store.records import (
    EventOrigin,
    EventType,
    MethodAddress,
    NewEvent,
    ObservedChanges,
    ObservedMethod,
)
from app.vault.enums import AuthStatus, CustomerRef, MethodRef, PaymentMethodStatus, ProviderName
from app.vault.model import Card, PaymentMethod, VaultWallet
from app.vault.provider import Call, VaultProvider
from app.vault.rules.etag import etag_of
from app.wallet.reads.three_d_secure import to_status

_SETTLING: Final = timedelta(seconds=3)
"""Grace period after a write for its own follow-up read. Until it ends, no other list is compared."""
_METHOD_EVENTS: Final = (
    EventType.METHOD_ADDED,
    EventType.METHOD_UPDATED,
    EventType.METHOD_REPLACED,
    EventType.METHOD_DELETED,
)


OnAdded = Callable[[str, Collection[MethodAddress], EventOrigin], None]
"""Called with the gateway's customer id, the added methods, and the origin of the change."""


class StatusRecorded(Enum):
    """Result of recording a 3-D Secure status: `LEFT` (not recorded), `SAME` as before, the `FIRST` one, or
    `CHANGED`."""

    LEFT = auto()
    SAME = auto()
    FIRST = auto()
    CHANGED = auto()


@dataclass(frozen=True, slots=True)
class Named:
    """Methods that their vault reported as changed, and when."""

    refs: Collection[MethodRef]
    at: datetime


class ChangeDetector:
    """Compares lists with the last ones seen and appends events for the differences."""

    def __init__(self, store: Store, on_added: OnAdded | None = None) -> None:
        """`on_added` is called for methods that were added outside the gateway; it must not block or raise."""
        self._store = store
        self._on_added = on_added

    async def compare(
        self,
        wallet: VaultWallet,
        customer_id: str,
        origin: EventOrigin,
        *,
        asked_at: datetime | None = None,
        named: Named | None = None,
        tx: Tx | None = None,
    ) -> ObservedChanges:
        """Store `wallet` as last seen and append one event per difference, in one transaction.

        `asked_at` is when the call to the vault began. A list is outdated, and ignored, if a write or a newer list may
        have changed the state since, or if a write has just ended. `named` are methods that the vault itself reported
        as changed: each becomes an event, even if this list is the first one seen. An incomplete list proves nothing
        and is ignored.
        """
        if wallet.skipped or wallet.truncated:
            return ObservedChanges((), (), (), is_first=False)
        seen = self._store.seen
        if named is None and await seen.is_unchanged(wallet.provider, wallet.customer_ref, to_observed(wallet.methods)):
            return ObservedChanges((), (), (), is_first=False)
        if asked_at is not None and await self._is_disturbed(customer_id, wallet.provider, asked_at - _SETTLING):
            return ObservedChanges((), (), (), is_first=False, is_outdated=True)
        if tx is not None:
            return await self._compare(wallet, customer_id, origin, asked_at, named, tx)
        async with self._store.transaction() as own:
            return await self._compare(wallet, customer_id, origin, asked_at, named, own)

    async def found_before(self, customer_id: str, lists: Iterable[tuple[VaultWallet, datetime]], *, tx: Tx) -> None:
        """Compare the lists that a write read before its first step, within the transaction that ends the write."""
        for wallet, asked_at in lists:
            if not (wallet.skipped or wallet.truncated):
                await self._compare(wallet, customer_id, EventOrigin.RECONCILIATION, asked_at, None, tx)

    async def settle(
        self,
        wallet: VaultWallet,
        customer_id: str,
        written: Collection[NewEvent],
        *,
        asked_at: datetime,
        tx: Tx | None = None,
    ) -> None:
        """Store the state after a write, so that later differences count as new changes.

        `written` are the events that the write appended itself. A write may change other methods too (the previous
        default, for example); of those, only added and removed ones become events here. Without `tx` the write had
        ended before the vault was read; nothing is stored if another write has run since, because that write stores its
        own result.
        """
        if wallet.skipped or wallet.truncated:
            return
        if tx is None:
            if await self._is_disturbed(customer_id, wallet.provider, asked_at):
                return
            async with self._store.transaction() as own:
                await self.settle(wallet, customer_id, written, asked_at=asked_at, tx=own)
            return
        found = await self._store.seen.note(
            wallet.provider, wallet.customer_ref, to_observed(wallet.methods), asked_at=asked_at, is_settled=True, tx=tx
        )
        recorded = {event.method_ref for event in written} | {event.detail.get("replaced") for event in written}
        events = _events(wallet, customer_id, EventOrigin.RECONCILIATION, replace(found, changed=()), ())
        others = [
            event
            for event in events
            if event.method_ref not in recorded and not await self._is_recorded(event, found.since)
        ]
        await self._store.events.append_all(others, tx=tx)

    async def not_found(self, provider: ProviderName, customer_ref: CustomerRef) -> None:
        """The vault no longer knows a linked customer: append one LINK_CHANGED event, until the vault knows it
        again."""
        if await self._store.link_health.is_marked(provider, customer_ref):
            return
        async with self._store.transaction() as tx:
            customer_id = await self._store.link_health.mark_not_found(provider, customer_ref, tx=tx)
            if customer_id is not None:
                origin = EventOrigin.RECONCILIATION
                await self._append_link_event(provider, customer_ref, customer_id, origin, tx, is_known=False)

    async def _append_link_event(
        self,
        provider: ProviderName,
        customer_ref: CustomerRef,
        customer_id: str,
        origin: EventOrigin,
        tx: Tx,
        *,
        is_known: bool,
    ) -> None:
        event = NewEvent(
            type=EventType.LINK_CHANGED,
            origin=origin,
            customer_id=customer_id,
            provider=provider,
            customer_ref=customer_ref,
            detail={"linked": True, "known": is_known},
        )
        await self._store.events.append(event, tx=tx)

    async def _is_disturbed(self, customer_id: str, provider: ProviderName, asked_at: datetime) -> bool:
        """True if a write, on any replica, ran since the vault was asked or has an unknown outcome. Such a write
        records its own changes."""
        return await self._store.journal.is_disturbed(customer_id, provider, asked_at)

    async def status(
        self, card: Card, status: AuthStatus, origin: EventOrigin, *, asked_at: datetime, tx: Tx | None = None
    ) -> StatusRecorded:
        """Store a card's 3-D Secure status, read at `asked_at`; append an event if it differs from the last one.

        The first status of a card is no event. Not stored if no list contained the card yet, or if it may be older than
        the stored one.
        """
        where = (card.provider, card.customer_ref, card.method_ref)
        known = await self._store.seen.status(*where, tx=tx)
        if known is None or known.status is status:
            return StatusRecorded.LEFT if known is None else StatusRecorded.SAME
        if tx is None:  # the first comparison took no lock: repeat it with one
            async with self._store.transaction() as own:
                return await self.status(card, status, origin, asked_at=asked_at, tx=own)
        if known.since is not None and asked_at < known.since:
            return StatusRecorded.LEFT
        await self._store.seen.put_status(*where, status, tx=tx)
        if known.status is None:
            return StatusRecorded.FIRST
        detail = {"from": known.status.value, "to": status.value}
        event = replace(_event(EventType.AUTH_CHANGED, *where, known.customer_id, origin), detail=detail)
        await self._store.events.append(event, tx=tx)
        return StatusRecorded.CHANGED

    async def _compare(
        self,
        wallet: VaultWallet,
        customer_id: str,
        origin: EventOrigin,
        asked_at: datetime | None,
        named: Named | None,
        tx: Tx,
    ) -> ObservedChanges:
        found = await self._store.seen.note(
            wallet.provider, wallet.customer_ref, to_observed(wallet.methods), asked_at=asked_at, tx=tx
        )
        if found.is_outdated:
            return found
        if found.is_found_again:
            await self._append_link_event(wallet.provider, wallet.customer_ref, customer_id, origin, tx, is_known=True)
        refs = named.refs if named is not None else ()
        news = [
            event
            for event in _events(wallet, customer_id, origin, found, refs)
            if event.method_ref in refs or not await self._is_recorded(event, found.since)
        ]
        if named is not None:
            where, recorded = (wallet.provider, wallet.customer_ref), {event.method_ref for event in news}
            missing = [ref for ref in await self._without_event(wallet, customer_id, named) if ref not in recorded]
            news += [_event(EventType.METHOD_UPDATED, *where, ref, customer_id, origin) for ref in missing]
        await self._store.events.append_all(news, tx=tx)
        if found.added and not found.is_first and self._on_added is not None:
            where = (wallet.provider, wallet.customer_ref)
            self._on_added(customer_id, [MethodAddress(*where, ref) for ref in found.added], origin)
        return found

    async def _without_event(self, wallet: VaultWallet, customer_id: str, named: Named) -> list[MethodRef]:
        """Named methods whose change arrived in a list that produced no event, because it was the first list or a
        write's own. They were seen after the vault had named them and have had no event since."""
        held = {method.method_ref for method in wallet.methods}
        found: list[MethodRef] = []
        for row in await self._store.seen.owners(wallet.provider, named.refs):
            if row.customer_ref != wallet.customer_ref or row.method_ref not in held or row.seen_at < named.at:
                continue
            address = MethodAddress(row.provider, row.customer_ref, row.method_ref)
            events = await self._store.events.of_method(customer_id, address, _METHOD_EVENTS, first=1)
            if not events or events[0].occurred_at < named.at:
                found.append(row.method_ref)
        return found

    async def _is_recorded(self, event: NewEvent, since: datetime | None) -> bool:
        """True if a write has already appended this event. Events of writes have an actor."""
        if since is None or event.customer_id is None or event.provider is None:
            return False
        address = MethodAddress(
            event.provider, event.customer_ref or CustomerRef(""), event.method_ref or MethodRef("")
        )
        events = await self._store.events.of_method(event.customer_id, address, [event.type])
        return any(one.actor is not None and one.occurred_at > since for one in events)


async def status_of(providers: Mapping[ProviderName, VaultProvider], card: Card, call: Call) -> AuthStatus | None:
    """A card's current 3-D Secure status, bypassing every cache; None if its vault fails."""
    try:
        result = await providers[card.provider].three_d_secure(card.customer_ref, card.method_ref, call)
    except VaultError:
        return None
    return to_status(result, card.three_d_secure).status


def to_observed(methods: Iterable[PaymentMethod]) -> list[ObservedMethod]:
    """What is stored per method: an etag, the status and the expiry; no displayable data."""
    return [
        ObservedMethod(
            method_ref=method.method_ref,
            etag=etag_of(method, None),
            status=method.status,
            expiry=str(method.expiry) if isinstance(method, Card) and method.expiry else None,
            auth=method.three_d_secure.status if isinstance(method, Card) and method.three_d_secure else None,
        )
        for method in methods
    ]


def _events(
    wallet: VaultWallet, customer_id: str, origin: EventOrigin, found: ObservedChanges, named: Collection[MethodRef]
) -> Sequence[NewEvent]:
    held = {method.method_ref: method for method in wallet.methods}
    if found.is_first:
        changes = [(EventType.METHOD_UPDATED, ref) for ref in named if ref in held]
    else:
        changes = [
            *((EventType.METHOD_ADDED, ref) for ref in found.added),
            *((_kind_of_change(held[ref]), ref) for ref in found.changed),
            *((EventType.METHOD_DELETED, ref) for ref in found.removed),
        ]
    return [_event(kind, wallet.provider, wallet.customer_ref, ref, customer_id, origin) for kind, ref in changes]


def _kind_of_change(method: PaymentMethod) -> EventType:
    """A vault with soft deletion shows a deleted method as INACTIVE."""
    is_gone = method.status in (PaymentMethodStatus.INACTIVE, PaymentMethodStatus.DELETED)
    return EventType.METHOD_DELETED if is_gone else EventType.METHOD_UPDATED


def _event(
    kind: EventType,
    provider: ProviderName,
    customer_ref: CustomerRef,
    method_ref: MethodRef,
    customer_id: str,
    origin: EventOrigin,
) -> NewEvent:
    return NewEvent(
        type=kind,
        origin=origin,
        customer_id=customer_id,
        provider=provider,
        customer_ref=customer_ref,
        method_ref=method_ref,
    )
