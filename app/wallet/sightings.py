"""What the vaults were last seen to hold, and the events that follow when that differs from what they hold now.

Every complete, fresh list of a vault passes here: ordinary reads (beside the answer, never before it), notifications
of change, and the watch over customers that somebody subscribes to. A difference becomes events once, whoever sees
it first, because comparing and remembering are one transaction.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from app.store import Store, Tx
from app.store.records import EventOrigin, EventType, MethodAddress, NewEvent, SeenChanges, SeenMethod
from app.vault.model import Card, PaymentMethod, VaultWallet
from app.vault.names import CustomerRef, MethodRef, PaymentMethodStatus, ProviderName
from app.vault.rules.etag import etag_of


class Sightings:
    """Compares lists with the last ones seen and tells what changed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def compare(
        self,
        wallet: VaultWallet,
        customer_id: str,
        origin: EventOrigin,
        *,
        named: Collection[MethodRef] = (),
        tx: Tx | None = None,
    ) -> SeenChanges:
        """Remember `wallet` and append one event per difference, in one transaction.

        `named` are methods that the vault itself says have changed: each is an event even where this is the first
        list that we see. An incomplete list proves nothing and is left alone.
        """
        if wallet.skipped or wallet.truncated:
            return SeenChanges((), (), (), is_first=False)
        if tx is not None:
            return await self._compare(wallet, customer_id, origin, named, tx)
        async with self._store.transaction() as own:
            return await self._compare(wallet, customer_id, origin, named, own)

    async def _compare(
        self, wallet: VaultWallet, customer_id: str, origin: EventOrigin, named: Collection[MethodRef], tx: Tx
    ) -> SeenChanges:
        found = await self._store.seen.note(wallet.provider, wallet.customer_ref, sighted(wallet.methods), tx=tx)
        news = [
            event
            for event in _events(wallet, customer_id, origin, found, named)
            if event.method_ref in named or not await self._is_told(event, found.since)
        ]
        await self._store.events.append_all(news, tx=tx)
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


def sighted(methods: Iterable[PaymentMethod]) -> list[SeenMethod]:
    """What is remembered of each method: an etag, its status and its expiry; nothing that could be shown."""
    return [
        SeenMethod(
            method_ref=method.method_ref,
            etag=etag_of(method, None),
            status=method.status,
            expiry=str(method.expiry) if isinstance(method, Card) and method.expiry else None,
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
