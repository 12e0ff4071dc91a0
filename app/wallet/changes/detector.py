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
from app.store import Connection, Store, Transaction
from app.store.events import append_event, append_events, events_of_method
from app.store.journal_reads import is_disturbed
from app.store.link_health import mark_customer_not_found
from app.store.observed_methods import (
    is_list_unchanged,
    lock_observed_status,
    note_list,
    observed_status,
    owners_of_methods,
    put_observed_status,
)
from app.store.records import EventOrigin, EventType, MethodAddress, NewEvent, ObservedChanges, ObservedMethod
from app.vault.enums import AuthStatus, CustomerRef, MethodRef, PaymentMethodStatus, ProviderName
from app.vault.model import Card, PaymentMethod, VaultWallet
from app.vault.provider import Call, VaultProvider
from app.vault.rules.etag import etag_of
from app.wallet.reads.three_d_secure import to_status

SETTLING: Final = timedelta(seconds=3)
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


@dataclass(frozen=True, slots=True)
class SeenList:
    """A list that was just read. `asked_at` is when the call to the vault began, None if that does not matter. `named`
    are methods that the vault itself reported as changed."""

    wallet: VaultWallet
    customer_id: str
    origin: EventOrigin
    asked_at: datetime | None = None
    named: Named | None = None


NO_CHANGES: Final = ObservedChanges((), (), (), is_first=False)
OUTDATED: Final = ObservedChanges((), (), (), is_first=False, is_outdated=True)


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
    ) -> ObservedChanges:
        """As `record_list`, with a transaction only if there is something to record."""
        seen = SeenList(wallet, customer_id, origin, asked_at, named)
        known = await self._store.read(check_list, seen)
        if known is not None:
            return known
        found = await self._store.transaction(compare_list, seen)
        self.report_added(seen, found)
        return found

    def report_added(self, seen: SeenList, found: ObservedChanges) -> None:
        """After the commit: tell of methods that were added outside the gateway."""
        if found.added and not found.is_first and self._on_added is not None:
            where = (seen.wallet.provider, seen.wallet.customer_ref)
            self._on_added(seen.customer_id, [MethodAddress(*where, ref) for ref in found.added], seen.origin)

    async def not_found(self, provider: ProviderName, customer_ref: CustomerRef) -> None:
        """`record_not_found` in a transaction of its own, if there is something to record."""
        if not await self._store.link_health.is_marked(provider, customer_ref):
            await self._store.transaction(record_not_found, provider, customer_ref)

    async def status(
        self, card: Card, status: AuthStatus, origin: EventOrigin, *, asked_at: datetime
    ) -> StatusRecorded:
        """`record_status` in a transaction of its own, if there is something to record."""
        known = await self._store.read(check_status, card, status)
        if known is not None:
            return known
        return await self._store.transaction(record_status, card, status, origin, asked_at=asked_at)


# ---- functions of a connection or a transaction --------------------------------------------------------------


def check_list(db: Connection, seen: SeenList) -> ObservedChanges | None:
    """What `record_list` would return, if that is known without a transaction; takes no lock."""
    wallet = seen.wallet
    if wallet.skipped or wallet.truncated:  # an incomplete list proves nothing
        return NO_CHANGES
    observed = to_observed(wallet.methods)
    if seen.named is None and is_list_unchanged(db, wallet.provider, wallet.customer_ref, observed):
        return NO_CHANGES
    # A write, on any replica, that ran since the vault was asked, has just ended or has an unknown outcome records its
    # own changes.
    if seen.asked_at is not None and is_disturbed(db, seen.customer_id, wallet.provider, seen.asked_at - SETTLING):
        return OUTDATED
    return None


def record_list(tx: Transaction, seen: SeenList) -> ObservedChanges:
    """Store a list as last seen and append one event per difference.

    A list is outdated, and ignored, if a write or a newer list may have changed the state since, or if a write has just
    ended. Methods that the vault itself reported as changed each become an event, even if this list is the first one
    seen. An incomplete list is ignored.
    """
    known = check_list(tx, seen)
    return compare_list(tx, seen) if known is None else known


def compare_list(tx: Transaction, seen: SeenList, *, is_settled: bool = False) -> ObservedChanges:
    """As `record_list`, for a complete list that no write can have changed. `is_settled` as for `note_list`."""
    wallet, named = seen.wallet, seen.named
    where = (wallet.provider, wallet.customer_ref)
    found = note_list(tx, *where, to_observed(wallet.methods), asked_at=seen.asked_at, is_settled=is_settled)
    if found.is_outdated:
        return found
    if found.is_found_again:
        append_event(tx, _link_event(*where, seen.customer_id, seen.origin, is_known=True))
    refs = named.refs if named is not None else ()
    news = [
        event
        for event in _events(wallet, seen.customer_id, seen.origin, found, refs)
        if event.method_ref in refs or not _is_recorded(tx, event, found.since)
    ]
    if named is not None:
        recorded = {event.method_ref for event in news}
        missing = [ref for ref in _without_event(tx, wallet, seen.customer_id, named) if ref not in recorded]
        news += [_event(EventType.METHOD_UPDATED, *where, ref, seen.customer_id, seen.origin) for ref in missing]
    append_events(tx, news)
    return found


def settle_list(
    tx: Transaction, wallet: VaultWallet, customer_id: str, written: Collection[NewEvent], *, asked_at: datetime
) -> None:
    """Store the state after a write, so that later differences count as new changes.

    `written` are the events that the write appended itself. A write may change other methods too (the previous default,
    for example); of those, only added and removed ones become events here.
    """
    found = note_list(
        tx, wallet.provider, wallet.customer_ref, to_observed(wallet.methods), asked_at=asked_at, is_settled=True
    )
    recorded = {event.method_ref for event in written} | {event.detail.get("replaced") for event in written}
    events = _events(wallet, customer_id, EventOrigin.RECONCILIATION, replace(found, changed=()), ())
    others = [
        event for event in events if event.method_ref not in recorded and not _is_recorded(tx, event, found.since)
    ]
    append_events(tx, others)


def record_not_found(tx: Transaction, provider: ProviderName, customer_ref: CustomerRef) -> None:
    """The vault no longer knows a linked customer: append one LINK_CHANGED event, until the vault knows it again."""
    customer_id = mark_customer_not_found(tx, provider, customer_ref)
    if customer_id is not None:
        origin = EventOrigin.RECONCILIATION
        append_event(tx, _link_event(provider, customer_ref, customer_id, origin, is_known=False))


def check_status(db: Connection, card: Card, status: AuthStatus) -> StatusRecorded | None:
    """What `record_status` would return, if that is known without a transaction; takes no lock."""
    known = observed_status(db, card.provider, card.customer_ref, card.method_ref)
    if known is None:
        return StatusRecorded.LEFT
    return StatusRecorded.SAME if known.status is status else None


def record_status(
    tx: Transaction, card: Card, status: AuthStatus, origin: EventOrigin, *, asked_at: datetime
) -> StatusRecorded:
    """Store a card's 3-D Secure status, read at `asked_at`; append an event if it differs from the last one.

    The first status of a card is no event. Not stored if no list contained the card yet, or if it may be older than the
    stored one.
    """
    where = (card.provider, card.customer_ref, card.method_ref)
    known = lock_observed_status(tx, *where)
    if known is None or known.status is status:
        return StatusRecorded.LEFT if known is None else StatusRecorded.SAME
    if known.since is not None and asked_at < known.since:
        return StatusRecorded.LEFT
    put_observed_status(tx, *where, status)
    if known.status is None:
        return StatusRecorded.FIRST
    detail = {"from": known.status.value, "to": status.value}
    append_event(tx, replace(_event(EventType.AUTH_CHANGED, *where, known.customer_id, origin), detail=detail))
    return StatusRecorded.CHANGED


def _without_event(db: Connection, wallet: VaultWallet, customer_id: str, named: Named) -> list[MethodRef]:
    """Named methods whose change arrived in a list that produced no event, because it was the first list or a write's
    own. They were seen after the vault had named them and have had no event since."""
    held = {method.method_ref for method in wallet.methods}
    found: list[MethodRef] = []
    for row in owners_of_methods(db, wallet.provider, named.refs):
        if row.customer_ref != wallet.customer_ref or row.method_ref not in held or row.seen_at < named.at:
            continue
        address = MethodAddress(row.provider, row.customer_ref, row.method_ref)
        events = events_of_method(db, customer_id, address, _METHOD_EVENTS, first=1)
        if not events or events[0].occurred_at < named.at:
            found.append(row.method_ref)
    return found


def _is_recorded(db: Connection, event: NewEvent, since: datetime | None) -> bool:
    """True if a write has already appended this event. Events of writes have an actor."""
    if since is None or event.customer_id is None or event.provider is None:
        return False
    address = MethodAddress(event.provider, event.customer_ref or CustomerRef(""), event.method_ref or MethodRef(""))
    events = events_of_method(db, event.customer_id, address, [event.type])
    return any(one.actor is not None and one.occurred_at > since for one in events)


def _link_event(
    provider: ProviderName, customer_ref: CustomerRef, customer_id: str, origin: EventOrigin, *, is_known: bool
) -> NewEvent:
    return NewEvent(
        type=EventType.LINK_CHANGED,
        origin=origin,
        customer_id=customer_id,
        provider=provider,
        customer_ref=customer_ref,
        detail={"linked": True, "known": is_known},
    )


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
