"""When a stored default is cleared: never because of a single list that lacks it.

Vaults sometimes answer wrongly: an empty list, an error with status 200. So a stored default is cleared only by a
delete through the gateway, by a webhook together with a new read, or by two complete lists some minutes apart. The time
of the first one is in the store, so that it survives restarts and applies to all replicas; a list that has the method
again resets it.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import Enum, IntEnum, auto
from typing import Final

from app.store import Connection, Store, Transaction
from app.store.directory import clear_default_choice, lock_choice, mark_choice_missing
from app.store.directory_reads import stored_choice as find_choice
from app.store.errors import CustomerUnknown
from app.store.events import append_event
from app.store.records import ChoiceRecord, EventOrigin, EventType, NewEvent
from app.vault.enums import MethodRef
from app.vault.model import VaultWallet

CLEAR_AFTER: Final = timedelta(minutes=5)


class ReadAge(IntEnum):
    """When a list was requested, relative to the stored default."""

    BEFORE_CHOICE = 0
    AFTER_CHOICE = 1
    AFTER_FIRST_MISS = 2
    LONG_AFTER_FIRST_MISS = 3


class ChoiceChange(Enum):
    """The change of the stored default that a complete list implies."""

    MISSING = auto()  # the first list that lacks it
    GONE = auto()  # a second one, long enough after the first
    BACK = auto()  # it was missing, and is there again


def age_of_read(choice: ChoiceRecord, asked_at: datetime, clear_after: timedelta) -> ReadAge:
    since = choice.missing_since
    if asked_at <= choice.set_at:
        return ReadAge.BEFORE_CHOICE
    if since is None or asked_at <= since:
        return ReadAge.AFTER_CHOICE
    return ReadAge.LONG_AFTER_FIRST_MISS if asked_at - since >= clear_after else ReadAge.AFTER_FIRST_MISS


def change_of(choice: ChoiceRecord, age: ReadAge, *, is_listed: bool) -> ChoiceChange | None:
    """`age` is that of a list that is complete, or at least has the method. None: no change."""
    is_marked = choice.missing_since is not None
    if is_listed:
        return ChoiceChange.BACK if is_marked and age >= ReadAge.AFTER_FIRST_MISS else None
    if not is_marked:
        return ChoiceChange.MISSING if age >= ReadAge.AFTER_CHOICE else None
    return ChoiceChange.GONE if age is ReadAge.LONG_AFTER_FIRST_MISS else None


class StoredChoices:
    """Applies the vaults' lists to the stored defaults."""

    def __init__(self, store: Store, clear_after: timedelta = CLEAR_AFTER) -> None:
        self._store = store
        self.clear_after = clear_after

    async def saw(self, choice: ChoiceRecord, *, is_listed: bool, asked_at: datetime) -> bool:
        """`apply_to_choice` in a transaction of its own."""
        return await self._store.transaction(
            apply_to_choice, choice, self.clear_after, is_listed=is_listed, asked_at=asked_at
        )

    async def observe_list(self, wallet: VaultWallet, customer_id: str, *, asked_at: datetime) -> None:
        """`apply_list` in a transaction of its own, if the list concerns the stored default."""
        if await self._store.read(concerned_choice, wallet, customer_id) is not None:
            await self._store.transaction(apply_list, wallet, customer_id, self.clear_after, asked_at=asked_at)


def concerned_choice(db: Connection, wallet: VaultWallet, customer_id: str) -> ChoiceRecord | None:
    """The stored default, if the list may change it. An incomplete list, or one of another vault, does not."""
    choice = find_choice(db, customer_id)
    if choice is None or (choice.provider, choice.customer_ref) != (wallet.provider, wallet.customer_ref):
        return None
    if _is_listed(wallet, choice):
        return None if choice.missing_since is None else choice
    return None if wallet.skipped or wallet.truncated else choice


def apply_list(
    tx: Transaction,
    wallet: VaultWallet,
    customer_id: str,
    clear_after: timedelta,
    *,
    asked_at: datetime,
    origin: EventOrigin = EventOrigin.RECONCILIATION,
    notified_of: Collection[MethodRef] | None = (),
) -> None:
    """Apply a list that was requested at `asked_at` to the stored default.

    `notified_of` are the methods that the vault reported as changed; None: all methods of the customer.
    """
    choice = concerned_choice(tx, wallet, customer_id)
    if choice is not None:
        is_notified = notified_of is None or choice.method_ref in notified_of
        is_listed = _is_listed(wallet, choice)
        apply_to_choice(
            tx, choice, clear_after, is_listed=is_listed, asked_at=asked_at, origin=origin, is_notified=is_notified
        )


def apply_to_choice(
    tx: Transaction,
    choice: ChoiceRecord,
    clear_after: timedelta,
    *,
    is_listed: bool,
    asked_at: datetime,
    origin: EventOrigin = EventOrigin.RECONCILIATION,
    is_notified: bool = False,
) -> bool:
    """Apply a complete list, requested at `asked_at`, that has or lacks the stored default. True if the default was
    cleared.

    `is_notified`: the vault itself reported that this method or customer changed; then one list is enough.
    """
    customer_id = choice.customer_id
    try:
        now = lock_choice(tx, customer_id)
    except CustomerUnknown:  # erased meanwhile
        return False
    if now is None or now.address != choice.address:
        return False
    age = age_of_read(now, asked_at, clear_after)
    change = change_of(now, age, is_listed=is_listed)
    if is_notified and not is_listed and age is not ReadAge.BEFORE_CHOICE:
        change = ChoiceChange.GONE
    if change is ChoiceChange.GONE:
        clear_default_choice(tx, customer_id, only_if=now.address)
        append_event(tx, _cleared_event(now, origin))
    elif change is not None:
        mark_choice_missing(tx, customer_id, missing_since=asked_at if change is ChoiceChange.MISSING else None)
    return change is ChoiceChange.GONE


def _is_listed(wallet: VaultWallet, choice: ChoiceRecord) -> bool:
    return any(method.method_ref == choice.method_ref for method in wallet.methods)


def _cleared_event(choice: ChoiceRecord, origin: EventOrigin) -> NewEvent:
    return NewEvent(
        type=EventType.DEFAULT_CHANGED,
        origin=origin,
        customer_id=choice.customer_id,
        provider=choice.provider,
        customer_ref=choice.customer_ref,
        method_ref=choice.method_ref,
        detail={"reason": "GONE"},
    )
