"""Cards' 3-D Secure statuses: one call per card, cached in the snapshots, prefetched where a hint exists."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from app.errors import CircuitOpen, VaultError
from app.vault.enums import AuthStatus, CustomerRef, MethodRef, ProviderCapability, ProviderName
from app.vault.model import Card, PaymentMethod, ThreeDSecure
from app.vault.provider import Call, VaultProvider
from app.wallet.reads.cache import Key, Read, SnapshotCache, Source, Waiter
from app.wallet.reads.policy import ReadPolicy

STATUS_BYTES: Final = 600

StatusSeat = Waiter[ThreeDSecure | None]
"""A status read in flight. Its owner must pass it to `prefetched` or `cancel_unused`."""


@dataclass(slots=True)  # immutable in use; `frozen` would slow its creation, once per read
class StatusReading:
    """A card's 3-D Secure status. `failed`: the vault could not be asked, and the status is UNKNOWN."""

    status: AuthStatus
    result: ThreeDSecure | None = None
    failed: bool = False


class StatusReader:
    """One per process; belongs to one event loop. Statuses are never served stale."""

    def __init__(
        self,
        providers: Mapping[ProviderName, VaultProvider],
        snapshots: SnapshotCache,
        policies: Mapping[ProviderName, ReadPolicy],
        now: Callable[[], float],
        on_status: Callable[[Card, AuthStatus, datetime], None] | None = None,
    ) -> None:
        """`on_status` is called for every status that a vault returned, with the time the call began; it must be quick
        and must not raise. `now` is the loop's clock."""
        self._snapshots = snapshots
        self._policies = policies
        self._now = now
        self._on_status = on_status
        self._sources = {
            name: self._source(name, vault, policies[name])
            for name, vault in providers.items()
            if ProviderCapability.THREE_D_SECURE in vault.capabilities.operations
        }
        self.vaults: Final = tuple(self._sources)
        """The vaults whose cards may need a status call."""

    async def read(self, card: Card, call: Call) -> StatusReading:
        """The card's last 3-D Secure result; NOT_APPLICABLE, without a call, if the vault has none."""
        name = card.provider
        if name not in self._sources:
            return StatusReading(AuthStatus.NOT_APPLICABLE)
        key: Key = (name, card.customer_ref, card.method_ref)
        until = self._policies[name].until(call, self._now())
        found = await self._snapshots.read([key], self._sources[name], until=until, caller=call)
        return self._reading(card, found[key])

    def get_fresh(self, card: Card) -> StatusReading | None:
        """The result of `read` if it is cached and fresh; None if `read` would have to wait."""
        name = card.provider
        if name not in self._sources:
            return None
        snapshot = self._snapshots.get_fresh(
            (name, card.customer_ref, card.method_ref), self._policies[name].fresh_for_s
        )
        return None if snapshot is None else to_status(snapshot.value, card.three_d_secure)

    def prefetch(
        self, name: ProviderName, ref: CustomerRef, refs: Iterable[MethodRef], call: Call
    ) -> dict[MethodRef, StatusSeat]:
        """Start reading these cards' statuses before it is known whether they are needed."""
        until, fresh_for_s = self._policies[name].until(call, self._now()), self._policies[name].fresh_for_s
        return {
            method_ref: self._snapshots.join_or_start((name, ref, method_ref), self._sources[name], until, call)
            for method_ref in refs
            if not self._snapshots.has_fresh((name, ref, method_ref), fresh_for_s)
        }

    def prefetched(
        self, card: Card, waiter: StatusSeat, call: Call
    ) -> StatusReading | Coroutine[Any, Any, StatusReading]:
        """The result of `read` from a prefetch; no coroutine if the prefetch is done."""
        if not waiter.flight.task.done():
            return self._wait(card, waiter, call)
        found = self._snapshots.result(waiter)
        return self.read(card, call) if isinstance(found.error, CircuitOpen) else self._reading(card, found)

    def cancel_unused(self, waiters: Iterable[StatusSeat]) -> None:
        for waiter in waiters:
            self._snapshots.leave(waiter)

    def asks(self, method: PaymentMethod) -> bool:
        """True if the method's status needs a call."""
        return method.provider in self._sources and isinstance(method, Card)

    def must_ask(self, card: Card) -> bool:
        """True if the card's status needs a call now, because it is not cached."""
        key: Key = (card.provider, card.customer_ref, card.method_ref)
        fresh_for_s = self._policies[card.provider].fresh_for_s
        return card.provider in self._sources and not self._snapshots.has_fresh(key, fresh_for_s)

    async def _wait(self, card: Card, waiter: StatusSeat, call: Call) -> StatusReading:
        (found,) = await self._snapshots.wait_all([waiter])
        # A half-open circuit lets one call through, which was the list's: its success may have closed the circuit.
        return await self.read(card, call) if isinstance(found.error, CircuitOpen) else self._reading(card, found)

    def _reading(self, card: Card, found: Read[ThreeDSecure | None]) -> StatusReading:
        if found.error is not None or found.snapshot is None:
            return StatusReading(AuthStatus.UNKNOWN, failed=True)
        status = to_status(found.snapshot.value, card.three_d_secure)
        if self._on_status is not None and found.latency_s is not None:
            self._on_status(card, status.status, found.snapshot.asked_at)
        return status

    def _source(self, name: ProviderName, vault: VaultProvider, policy: ReadPolicy) -> Source[ThreeDSecure | None]:
        gate = asyncio.Semaphore(policy.three_ds_concurrency)

        async def fetch(keys: Sequence[Key], call: Call) -> Mapping[Key, ThreeDSecure | VaultError | None]:
            ((_, ref, method),) = keys
            async with gate:
                own = policy.own_deadline(call, self._now())
                return {keys[0]: await vault.three_d_secure(ref, method or MethodRef(""), own)}

        return Source(
            provider=name,
            fetch=fetch,
            weigh=lambda _: STATUS_BYTES,
            fresh_for_s=policy.fresh_for_s,
            stale_if_error_for_s=0.0,
        )


def to_status(result: ThreeDSecure | None, listed: ThreeDSecure | None) -> StatusReading:
    """The status call's result, with the next action that only the list contains; no attempt is NOT_PERFORMED."""
    if result is None:
        return StatusReading(listed.status if listed else AuthStatus.NOT_PERFORMED, listed)
    if result.next_action is None and listed is not None and listed.next_action is not None:
        result = replace(result, next_action=listed.next_action)
    return StatusReading(result.status, result)
