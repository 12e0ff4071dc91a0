"""What the vaults were last seen to hold, and the events that follow when that differs from what they hold now.

Every complete, fresh list of a vault passes here: ordinary reads (beside the answer, never before it), notifications
of change, and the watch over customers that somebody subscribes to. A difference becomes events once, whoever sees
it first, because comparing and remembering are one transaction.
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
    SeenChanges,
    SeenMethod,
)
from app.vault.model import Card, PaymentMethod, VaultWallet
from app.vault.names import AuthStatus, CustomerRef, MethodRef, PaymentMethodStatus, ProviderName
from app.vault.provider import Call, VaultProvider
from app.vault.rules.etag import etag_of
from app.wallet.statuses import to_status

_SETTLING: Final = timedelta(seconds=3)
"""How long after a write its own look at what it led to may take: until then nobody else compares."""
_METHOD_EVENTS: Final = (
    EventType.METHOD_ADDED,
    EventType.METHOD_UPDATED,
    EventType.METHOD_REPLACED,
    EventType.METHOD_DELETED,
)


OnAdded = Callable[[str, Collection[MethodAddress], EventOrigin], None]
"""Told our customer's id, the methods, and how they were found."""


class StatusNoted(Enum):
    """What became of a 3-D Secure status: `LEFT` alone, as last time (`SAME`), the `FIRST` one, or `CHANGED`."""

    LEFT = auto()
    SAME = auto()
    FIRST = auto()
    CHANGED = auto()


@dataclass(frozen=True, slots=True)
class Named:
    """Methods of which their vault said, at that time, that they had changed."""

    refs: Collection[MethodRef]
    at: datetime


class Sightings:
    """Compares lists with the last ones seen and tells what changed."""

    def __init__(self, store: Store, on_added: OnAdded | None = None) -> None:
        """`on_added` hears of methods that were added elsewhere; it must not block or raise."""
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
    ) -> SeenChanges:
        """Remember `wallet` and append one event per difference, in one transaction.

        `asked_at` is when the vault was asked: a list that a write of ours, or a list noted since, may have overtaken
        is outdated and left alone, and so is one of the moments after a write. `named` are methods that the vault
        itself says have changed: each is an event even where the list that has the change is the first that we saw. An
        incomplete list proves nothing and is left alone.
        """
        if wallet.skipped or wallet.truncated:
            return SeenChanges((), (), (), is_first=False)
        seen = self._store.seen
        if named is None and await seen.is_unchanged(wallet.provider, wallet.customer_ref, sighted(wallet.methods)):
            return SeenChanges((), (), (), is_first=False)
        if asked_at is not None and await self._is_disturbed(customer_id, wallet.provider, asked_at - _SETTLING):
            return SeenChanges((), (), (), is_first=False, is_outdated=True)
        if tx is not None:
            return await self._compare(wallet, customer_id, origin, asked_at, named, tx)
        async with self._store.transaction() as own:
            return await self._compare(wallet, customer_id, origin, asked_at, named, own)

    async def found_before(self, customer_id: str, lists: Iterable[tuple[VaultWallet, datetime]], *, tx: Tx) -> None:
        """Within the transaction that ends a write: what it found before its first step is compared like any list."""
        for wallet, asked_at in lists:
            if not (wallet.skipped or wallet.truncated):
                await self._compare(wallet, customer_id, EventOrigin.RECONCILIATION, asked_at, None, tx)

    async def settle(
        self,
        wallet: VaultWallet,
        customer_id: str,
        told: Collection[NewEvent],
        *,
        asked_at: datetime,
        tx: Tx | None = None,
    ) -> None:
        """Remember what a write led to, so that whatever differs from then on is another change.

        The write tells what it did itself (`told`), and other methods may change with it (one default at most, say):
        of those only the ones that came or went are told here. Without `tx` the write has ended before the vault was
        asked, and nothing is remembered where another has run since: that one remembers.
        """
        if wallet.skipped or wallet.truncated:
            return
        if tx is None:
            if await self._is_disturbed(customer_id, wallet.provider, asked_at):
                return
            async with self._store.transaction() as own:
                await self.settle(wallet, customer_id, told, asked_at=asked_at, tx=own)
            return
        found = await self._store.seen.note(
            wallet.provider, wallet.customer_ref, sighted(wallet.methods), asked_at=asked_at, is_settled=True, tx=tx
        )
        mine = {event.method_ref for event in told} | {event.detail.get("replaced") for event in told}
        events = _events(wallet, customer_id, EventOrigin.RECONCILIATION, replace(found, changed=()), ())
        others = [
            event for event in events if event.method_ref not in mine and not await self._is_told(event, found.since)
        ]
        await self._store.events.append_all(others, tx=tx)

    async def not_found(self, provider: ProviderName, customer_ref: CustomerRef) -> None:
        """The vault no longer knows a linked customer: one LINK_CHANGED event, until the vault knows it again."""
        if await self._store.link_health.is_marked(provider, customer_ref):
            return
        async with self._store.transaction() as tx:
            customer_id = await self._store.link_health.mark_not_found(provider, customer_ref, tx=tx)
            if customer_id is not None:
                origin = EventOrigin.RECONCILIATION
                await self._tell_of_link(provider, customer_ref, customer_id, origin, tx, is_known=False)

    async def _tell_of_link(
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
        """Whether a write of ours, here or on a replica, ran since the vault was asked, or did nobody knows what: it
        will tell itself what it changed."""
        return await self._store.journal.is_disturbed(customer_id, provider, asked_at)

    async def status(
        self, card: Card, status: AuthStatus, origin: EventOrigin, *, asked_at: datetime, tx: Tx | None = None
    ) -> StatusNoted:
        """Remember a card's 3-D Secure status, asked for then; append the event if it differs from the one last seen.

        The first status of a card is no news. Left alone where no list had the card yet, or where it may be older than
        the one last seen: then nothing is remembered.
        """
        where = (card.provider, card.customer_ref, card.method_ref)
        known = await self._store.seen.status(*where, tx=tx)
        if known is None or known.status is status:
            return StatusNoted.LEFT if known is None else StatusNoted.SAME
        if tx is None:  # seen to differ without a lock: looked at again with one
            async with self._store.transaction() as own:
                return await self.status(card, status, origin, asked_at=asked_at, tx=own)
        if known.since is not None and asked_at < known.since:
            return StatusNoted.LEFT
        await self._store.seen.put_status(*where, status, tx=tx)
        if known.status is None:
            return StatusNoted.FIRST
        detail = {"from": known.status.value, "to": status.value}
        event = replace(_event(EventType.AUTH_CHANGED, *where, known.customer_id, origin), detail=detail)
        await self._store.events.append(event, tx=tx)
        return StatusNoted.CHANGED

    async def _compare(
        self,
        wallet: VaultWallet,
        customer_id: str,
        origin: EventOrigin,
        asked_at: datetime | None,
        named: Named | None,
        tx: Tx,
    ) -> SeenChanges:
        found = await self._store.seen.note(
            wallet.provider, wallet.customer_ref, sighted(wallet.methods), asked_at=asked_at, tx=tx
        )
        if found.is_outdated:
            return found
        if found.is_found_again:
            await self._tell_of_link(wallet.provider, wallet.customer_ref, customer_id, origin, tx, is_known=True)
        refs = named.refs if named is not None else ()
        news = [
            event
            for event in _events(wallet, customer_id, origin, found, refs)
            if event.method_ref in refs or not await self._is_told(event, found.since)
        ]
        if named is not None:
            told, where = {event.method_ref for event in news}, (wallet.provider, wallet.customer_ref)
            untold = [ref for ref in await self._untold(wallet, customer_id, named) if ref not in told]
            news += [_event(EventType.METHOD_UPDATED, *where, ref, customer_id, origin) for ref in untold]
        await self._store.events.append_all(news, tx=tx)
        if found.added and not found.is_first and self._on_added is not None:
            where = (wallet.provider, wallet.customer_ref)
            self._on_added(customer_id, [MethodAddress(*where, ref) for ref in found.added], origin)
        return found

    async def _untold(self, wallet: VaultWallet, customer_id: str, named: Named) -> list[MethodRef]:
        """Those whose change came into a list that told nothing, because it was the first or a write's own: it was
        seen after the vault had named them, and nobody has heard of it since."""
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

    async def _is_told(self, event: NewEvent, since: datetime | None) -> bool:
        """Whether a write of ours told this already: what somebody asked us to do has an actor."""
        if since is None or event.customer_id is None or event.provider is None:
            return False
        address = MethodAddress(
            event.provider, event.customer_ref or CustomerRef(""), event.method_ref or MethodRef("")
        )
        told = await self._store.events.of_method(event.customer_id, address, [event.type])
        return any(one.actor is not None and one.occurred_at > since for one in told)


async def status_of(providers: Mapping[ProviderName, VaultProvider], card: Card, call: Call) -> AuthStatus | None:
    """A card's 3-D Secure status at this moment, past every cache; None where its vault could not tell."""
    try:
        result = await providers[card.provider].three_d_secure(card.customer_ref, card.method_ref, call)
    except VaultError:
        return None
    return to_status(result, card.three_d_secure).status


def sighted(methods: Iterable[PaymentMethod]) -> list[SeenMethod]:
    """What is remembered of each method: an etag, its status and its expiry; nothing that could be shown."""
    return [
        SeenMethod(
            method_ref=method.method_ref,
            etag=etag_of(method, None),
            status=method.status,
            expiry=str(method.expiry) if isinstance(method, Card) and method.expiry else None,
            auth=method.three_d_secure.status if isinstance(method, Card) and method.three_d_secure else None,
        )
        for method in methods
    ]


def _events(
    wallet: VaultWallet, customer_id: str, origin: EventOrigin, found: SeenChanges, named: Collection[MethodRef]
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
    """A vault that deletes softly shows a deletion as INACTIVE."""
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
