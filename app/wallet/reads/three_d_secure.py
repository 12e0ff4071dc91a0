"""Cards' 3-D Secure statuses: one call per card, cached in the snapshots."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, cast

from msgspec import Struct

from app.errors import VaultError
from app.vault.enums import AuthStatus, CustomerRef, MethodRef, ProviderCapability, ProviderName
from app.vault.model import Card, PaymentMethod, ThreeDSecure
from app.vault.provider import Call, DirectVault, StartedRead, VaultProvider
from app.wallet.reads.cache import Key, Read, SnapshotCache, Source
from app.wallet.reads.policy import ReadPolicy
from app.wallet.reads.waiting import Slots

StatusRead = Read[ThreeDSecure | None]


class StatusReading(Struct):  # immutable in use; created in C, for each read
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
        on_status: Callable[[Card, AuthStatus, datetime], None] | None = None,
    ) -> None:
        """`on_status` is called for every status that a vault returned, with the time the call began; it must be quick
        and must not raise."""
        self._snapshots = snapshots
        self._on_status = on_status
        self.sources = {
            name: self._source(name, providers, policies[name])
            for name, vault in providers.items()
            if ProviderCapability.THREE_D_SECURE in vault.capabilities.operations
        }

    def get_fresh(self, card: Card) -> StatusReading | None:
        """The card's status if it is cached and fresh, without awaiting."""
        snapshot = self._snapshots.get_fresh(status_key(card))
        return None if snapshot is None else to_status(snapshot.value, card.three_d_secure)

    def has_call(self, method: PaymentMethod) -> bool:
        """True if the method's status is a call of its own."""
        return method.provider in self.sources and isinstance(method, Card)

    def to_reading(self, card: Card, read: StatusRead) -> StatusReading:
        if read.bug is not None:
            raise read.bug
        if read.error is not None or read.snapshot is None:
            return StatusReading(AuthStatus.UNKNOWN, failed=True)
        status = to_status(read.snapshot.value, card.three_d_secure)
        if self._on_status is not None and read.latency_s is not None:
            self._on_status(card, status.status, read.snapshot.asked_at)
        return status

    def _source(
        self, name: ProviderName, providers: Mapping[ProviderName, VaultProvider], policy: ReadPolicy
    ) -> Source[ThreeDSecure | None]:
        gate = Slots(policy.three_ds_concurrency)

        async def fetch(keys: Sequence[Key], call: Call) -> Mapping[CustomerRef, ThreeDSecure | VaultError | None]:
            ((_, ref, method),) = keys
            async with gate:
                return {ref: await providers[name].three_d_secure(ref, method or MethodRef(""), call)}

        def begin(key: Key, call: Call, on_done: Callable[[Any], object]) -> StartedRead | None:
            if not gate.try_acquire():
                return None
            started = None
            try:
                started = direct[name].begin_three_d_secure(key[1], key[2] or MethodRef(""), call, on_done)
            finally:
                if started is None:
                    gate.release()
                else:
                    started.gate = gate
            return started

        def value_of(key: Key, started: Any, call: Call) -> ThreeDSecure | None:
            return direct[name].three_d_secure_in(key[1], key[2] or MethodRef(""), started, call)

        async def complete(key: Key, started: Any, call: Call) -> ThreeDSecure | None:
            async with gate:
                return await direct[name].complete_three_d_secure(key[1], key[2] or MethodRef(""), started, call)

        direct = cast(Mapping[ProviderName, DirectVault], providers)
        is_direct = isinstance(providers[name], DirectVault)
        return Source(
            provider=name,
            fetch=fetch,
            begin=begin if is_direct else None,
            value_of=value_of,
            complete=complete,
            prepare=_prepare,
            fresh_for_s=policy.fresh_for_s,
            stale_if_error_for_s=0.0,
            deadline_s=policy.deadline_s,
            is_kept=policy.keeps_replies,  # also if never fresh: an unchanged reply is then not parsed again
        )


@dataclass(frozen=True, slots=True)
class _Prepared:
    size: int = 900
    is_whole: bool = True


_PREPARED: Final = _Prepared()


def _prepare(result: ThreeDSecure | None, last: object) -> tuple[ThreeDSecure | None, _Prepared]:
    """Nothing is prepared; the size is estimated."""
    return result, _PREPARED


def status_key(card: Card) -> Key:
    return card.provider, card.customer_ref, card.method_ref


def to_status(result: ThreeDSecure | None, listed: ThreeDSecure | None) -> StatusReading:
    """The status call's result, with the next action that only the list contains; no attempt is NOT_PERFORMED."""
    if result is None:
        return StatusReading(listed.status if listed else AuthStatus.NOT_PERFORMED, listed)
    if result.next_action is None and listed is not None and listed.next_action is not None:
        result = replace(result, next_action=listed.next_action)
    return StatusReading(result.status, result)
