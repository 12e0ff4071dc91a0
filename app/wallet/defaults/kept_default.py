"""Adding a method does not change the default: the default chosen by the rules is stored, with the reason KEPT.

A kept default is weaker than a customer's choice: if its method becomes unusable, the rules choose again.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ulid import ULID

from app.store import Store, Transaction
from app.store.directory import lock_choice, set_default_choice
from app.store.errors import CustomerUnknown, logged
from app.store.events import append_event
from app.store.records import EventOrigin, EventType, MethodAddress, NewEvent
from app.vault.enums import DefaultReason, DefaultState
from app.vault.provider import Call
from app.vault.rules.default import DefaultCandidate, MethodKey, effective_default
from app.wallet.reads.build_wallet import Wallet, WalletMethod, WalletRules, build_wallet, stored_choice
from app.wallet.reads.reader import WalletReader

_log = logging.getLogger("vaultgraph.defaults")
_CALL_S: Final = 10.0
_GATEWAY: Final = "gateway"

IsNew = Callable[[MethodAddress], bool]
KEPT: Final = DefaultReason.KEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """The author of the added method, and the origin of the information."""

    actor: str | None
    origin: EventOrigin
    request_id: str | None = None


def default_taken_away(
    wallet: Wallet, is_new: IsNew, rules: WalletRules, vault_default: MethodAddress | None = None
) -> MethodAddress | None:
    """The method that is the default by the rules without the new methods, and is not with them.

    `vault_default` is the vault's own default before the add: some vaults mark the new method as default.
    """
    choice = wallet.entry.choice
    if choice is not None and not choice.is_kept:
        return None
    before: dict[MethodKey, WalletMethod] = {}
    candidates: list[DefaultCandidate] = []
    for one in wallet.methods:
        address, is_default = one.address, bool(one.method.is_provider_default)
        if is_new(address):
            continue
        if vault_default is not None and vault_default.is_beside(address):
            is_default = address == vault_default
        key = (address.provider, address.customer_ref, address.method_ref)
        before[key] = one
        candidates.append(DefaultCandidate(key, one.usable, False, is_default))
    stored = None if choice is None else stored_choice(choice)
    found = effective_default(candidates, wallet.default.answers, stored, rules.precedence)
    if found.state is not DefaultState.RESOLVED or found.key is None or found.reason is KEPT:
        return None
    method = before[found.key]
    return None if method.id == wallet.default.method_id else method.address


def keep_default(tx: Transaction, customer_id: str, address: MethodAddress, by: By) -> None:
    """Store the default, unless the customer has made a choice since. Raises CustomerUnknown."""
    now = lock_choice(tx, customer_id)
    if now is not None and (not now.is_kept or now.address == address):
        return
    set_default_choice(tx, customer_id, address, set_by=by.actor or _GATEWAY, is_kept=True)
    event = NewEvent(
        type=EventType.DEFAULT_CHANGED,
        origin=by.origin,
        customer_id=customer_id,
        provider=address.provider,
        customer_ref=address.customer_ref,
        method_ref=address.method_ref,
        actor=by.actor,
        request_id=by.request_id,
        detail={"reason": KEPT.value},
    )
    append_event(tx, event)


class DefaultKeeper:
    """Keeps defaults if a list shows a method that was added outside the gateway: on a hosted page or in a vault's
    portal."""

    def __init__(self, store: Store, reader: WalletReader, rules: WalletRules, utc_now: Callable[[], datetime]) -> None:
        self._store = store
        self._reader = reader
        self._rules = rules
        self._utc_now = utc_now
        self._tasks: set[asyncio.Task[None]] = set()

    def added(self, customer_id: str, methods: Collection[MethodAddress], origin: EventOrigin) -> None:
        """Check in the background; failures are logged."""
        by, is_new = By(actor=None, origin=origin), frozenset(methods).__contains__
        task = asyncio.get_running_loop().create_task(self.keep(customer_id, is_new, by))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def keep(self, customer_id: str, is_new: IsNew, by: By, call: Call | None = None) -> None:
        """Read the customer's wallet and store the default that the new methods replaced, if any. Failures are logged:
        the methods exist, and the rules then choose the default."""
        with logged(_log, "the default could not be checked after a method was added"):
            await self._keep(customer_id, is_new, by, call)

    async def _keep(self, customer_id: str, is_new: IsNew, by: By, call: Call | None) -> None:
        entry = await self._store.directory.entry(customer_id)
        if entry is None or (entry.choice is not None and not entry.choice.is_kept):
            return
        if call is None:
            deadline_at = asyncio.get_running_loop().time() + _CALL_S
            call = Call(deadline_at=deadline_at, request_id=str(ULID()), client="defaults")
        links = {link.provider: link.customer_ref for link in entry.links if link.provider in self._reader.providers}
        readings = await self._reader.read(links, list(links), call)
        wallet = build_wallet(entry, readings, self._rules, self._utc_now())
        address = default_taken_away(wallet, is_new, self._rules)
        if address is None:
            return
        try:
            await self._store.transaction(keep_default, customer_id, address, by)
        except CustomerUnknown:  # erased meanwhile
            return
