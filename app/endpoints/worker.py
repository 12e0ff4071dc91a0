"""Makes deliveries of new events, and sends those that are due.

Processes share the work through claims. A delivery is sent at least once, with the event's id: a receiver that has seen
the id ignores it. A customer's events reach an endpoint in order; one that fails holds back that customer's later ones
until it is delivered or dead-lettered.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
from ulid import ULID

from app.endpoints.sender import SendResult, WebhookSender
from app.endpoints.signing import SecretKeys, signed_headers
from app.store import Store, Transaction
from app.store.endpoint_deliveries import bury_endpoint_delivery
from app.store.endpoints import disable_endpoint
from app.store.errors import StoreUnavailable, logged
from app.store.records import ClaimedDelivery, DisabledReason, EndpointDelivery, EndpointRecord, EventRecord
from app.vault.secret import Secret
from app.wallet.ids import Ids
from app.wallet.wake import Wake

_log = logging.getLogger("vaultgraph.endpoints")
_LEASE: Final = timedelta(seconds=60)
_IDLE_S: Final = 0.5
_GATHER_S: Final = 0.02  # commits come in bursts: one look for all of them
_SLOW_EVERY_S: Final = 5.0
_IN_FLIGHT: Final = 64  # shared fairly by the endpoints with work; each may always send one
_UNREADABLE: Final = "SECRET_UNREADABLE"
_MOST_DOUBLINGS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPace:
    """`concurrency`: requests in flight to one endpoint from one process."""

    first_retry_s: float = 5.0
    longest_retry_s: float = 21_600.0
    retry_for: timedelta = timedelta(days=3)
    disable_after: timedelta = timedelta(days=7)
    concurrency: int = 8

    def pause(self, attempts: int, asked_s: float | None) -> timedelta:
        """Until the next attempt: exponential with jitter, or longer if the receiver asked for it; bounded."""
        doubled = self.first_retry_s * 2.0 ** min(attempts - 1, _MOST_DOUBLINGS)
        seconds = min(doubled, self.longest_retry_s) * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load
        return timedelta(seconds=min(max(seconds, asked_s or 0.0), self.longest_retry_s * 1.25))


class EndpointWorker:
    """One per process."""

    def __init__(
        self,
        store: Store,
        sender: WebhookSender,
        keys: SecretKeys,
        ids: Ids,
        pace: EndpointPace,
        *,
        name: str | None = None,
        gone: Callable[[], Awaitable[Collection[str]]] | None = None,
        on_attempt: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        """`name` identifies the claims; `gone` returns the names of dead workers, whose claims are released.

        `on_attempt` is called with the outcome: delivered, failed, dead or withheld.
        """
        self._store = store
        self._sender = sender
        self._keys = keys
        self._ids = ids
        self._pace = pace
        self._name = name or str(ULID())
        self._gone = gone
        self._on_attempt = on_attempt
        self._slow_at = 0.0
        self._wake = Wake()
        self._running: Counter[str] = Counter()
        self._unreadable: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Look for new events and due deliveries now instead of at the next poll."""
        self._wake.wake()

    async def run(self) -> None:
        """Work until cancelled. A store failure is logged and retried."""
        try:
            while True:
                await self._turn()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            with suppress(StoreUnavailable):  # the claims expire instead
                await self._store.endpoint_deliveries.release([self._name])
            await self._sender.close()

    async def _turn(self) -> None:
        with logged(_log, "webhooks could not be delivered; retrying"):
            await self._now_and_then()
            await self.work_once()
        await self._wake.wait(_IDLE_S)
        await asyncio.sleep(_GATHER_S)

    async def _now_and_then(self) -> None:
        """Release the claims of dead workers, and encrypt secrets under the first key. Without it, claims expire."""
        now = asyncio.get_running_loop().time()
        if now < self._slow_at:
            return
        self._slow_at = now + _SLOW_EVERY_S
        if self._gone is not None and (gone := await self._gone()):
            await self._store.endpoint_deliveries.release(gone)
        await self._reseal()

    async def _reseal(self) -> None:
        first = self._keys.first_name
        for endpoint in await self._store.endpoints.all():
            key = self._keys.keys.get(endpoint.secret_key)
            if key is None or endpoint.secret_key == first:
                continue
            try:
                old = None if endpoint.old_secret is None else key.open(endpoint.id, endpoint.old_secret)
                secret = self._keys.first.seal(endpoint.id, key.open(endpoint.id, endpoint.secret))
            except ValueError:
                self._log_unreadable(endpoint)
                continue
            sealed = None if old is None else self._keys.first.seal(endpoint.id, old)
            await self._store.endpoints.reseal(endpoint, secret=secret, old_secret=sealed, secret_key=first)

    async def work_once(self) -> None:
        """Make deliveries of new events, and start sending those that are due, as far as the bounds allow."""
        deliveries = self._store.endpoint_deliveries
        work = await deliveries.work()
        if work.is_behind:
            while await deliveries.fan_out(retry_for=self._pace.retry_for):
                pass
            work = await deliveries.work()
        share = max(1, _IN_FLIGHT // max(1, len(self._running.keys() | set(work.due))))
        for endpoint_id in work.due:
            free = min(self._pace.concurrency, share) - self._running.get(endpoint_id, 0)
            if free <= 0:
                continue
            endpoint = await self._store.endpoints.endpoint(endpoint_id)
            if endpoint is None:
                continue
            has_key = endpoint.secret_key in self._keys.keys
            if not has_key:  # processes with the key have until the delivery expires
                self._log_unreadable(endpoint)
            for claimed in await deliveries.claim(
                endpoint_id, self._name, lease=_LEASE, limit=free, only_expired=not has_key
            ):
                self._start(endpoint, claimed)

    async def wait(self) -> None:
        """Until everything that was started has ended."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    def _start(self, endpoint: EndpointRecord, claimed: ClaimedDelivery) -> None:
        self._running[endpoint.id] += 1
        task = asyncio.get_running_loop().create_task(self._deliver(endpoint, claimed))
        self._tasks.add(task)

        def ended(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            self._running[endpoint.id] -= 1
            if not self._running[endpoint.id]:
                del self._running[endpoint.id]
            self.wake()  # the customer's next event

        task.add_done_callback(ended)

    async def _deliver(self, endpoint: EndpointRecord, claimed: ClaimedDelivery) -> None:
        # If the outcome cannot be stored, the claim expires and the delivery is sent again.
        with logged(_log, "webhook %s for %s failed", claimed.delivery.event_id, endpoint.id):
            await self._attempt(endpoint, claimed)

    async def _attempt(self, endpoint: EndpointRecord, claimed: ClaimedDelivery) -> None:
        delivery = claimed.delivery
        if claimed.event is None or not claimed.is_allowed:
            reason = "EVENT_EXPIRED" if claimed.event is None else "NOT_GRANTED"
            await self._store.endpoint_deliveries.withhold(delivery, self._name, reason)
            self._on_attempt("withheld")
            return
        body, sent_at = self._body(claimed.event), int(datetime.now(UTC).timestamp())
        try:
            secrets = self._secrets(endpoint)
        except (KeyError, ValueError):
            self._log_unreadable(endpoint)
            result = SendResult(error=_UNREADABLE)
        else:
            self._unreadable.discard(endpoint.id)
            headers = signed_headers(secrets, delivery.event_id, sent_at, body)
            result = await self._sender.send(endpoint.url, headers, body)
        if result.is_delivered and result.status is not None:
            await self._store.endpoint_deliveries.done(delivery, self._name, result.status)
            self._on_attempt("delivered")
        elif result.is_gone or self._store.now() >= delivery.expires_at:
            await self._bury(endpoint, delivery, result)
        else:
            await self._retry(endpoint, delivery, result)

    def _secrets(self, endpoint: EndpointRecord) -> list[Secret]:
        """The secret, then the former one while it is valid. Raises KeyError without their key, and ValueError."""
        until = endpoint.old_secret_until
        former = endpoint.old_secret if until is not None and self._store.now() < until else None
        key = self._keys.keys[endpoint.secret_key]
        return [key.open(endpoint.id, one) for one in (endpoint.secret, former) if one is not None]

    def _log_unreadable(self, endpoint: EndpointRecord) -> None:
        """Once, until it can be read again."""
        if endpoint.id not in self._unreadable:
            self._unreadable.add(endpoint.id)
            _log.error("the secret of the endpoint %s cannot be decrypted; see `vaultgraph keys status`", endpoint.id)

    def _disable_after(self, result: SendResult) -> timedelta | None:
        return None if result.error == _UNREADABLE else self._pace.disable_after

    async def _retry(self, endpoint: EndpointRecord, delivery: EndpointDelivery, result: SendResult) -> None:
        now = self._store.now()
        at = min(now + self._pace.pause(delivery.attempts, result.retry_after_s), max(delivery.expires_at, now))
        is_disabled = await self._store.endpoint_deliveries.retry(
            delivery,
            self._name,
            at=at,
            status=result.status,
            error=result.error or "",
            disable_after=self._disable_after(result),
        )
        self._on_attempt("failed")
        if is_disabled:
            _log_disabled(endpoint, DisabledReason.FAILING)

    async def _bury(self, endpoint: EndpointRecord, delivery: EndpointDelivery, result: SendResult) -> None:
        reason = DisabledReason.GONE if result.is_gone else DisabledReason.FAILING

        def save(tx: Transaction) -> bool:
            is_disabled = bury_endpoint_delivery(
                tx,
                delivery,
                self._name,
                status=result.status,
                error=result.error or "",
                disable_after=self._disable_after(result),
            )
            return is_disabled or (result.is_gone and disable_endpoint(tx, endpoint.id, reason))

        is_disabled = await self._store.transaction(save)
        self._on_attempt("dead")
        _log.warning("webhook %s for %s is dead-lettered: %s", delivery.event_id, endpoint.id, result.error)
        if is_disabled:
            _log_disabled(endpoint, reason)

    def _body(self, event: EventRecord) -> bytes:
        """The event with the fields that `CustomerEvent` shows to every reader: ids, no personal data."""
        method_id = None
        if event.provider is not None and event.customer_ref is not None and event.method_ref is not None:
            method_id = self._ids.encode(event.provider, event.customer_ref, event.method_ref)
        data = {
            "id": event.id,
            "type": event.type.value,
            "occurredAt": event.occurred_at,
            "origin": event.origin.value,
            "provider": event.provider.name if event.provider else None,
            "customerId": event.customer_id,
            "paymentMethodId": method_id,
            "paymentId": event.detail.get("payment_id"),
        }
        message = {"type": event.type.value, "timestamp": event.occurred_at, "data": data}
        return orjson.dumps(message, option=orjson.OPT_UTC_Z)


def _log_disabled(endpoint: EndpointRecord, reason: DisabledReason) -> None:
    why = "it answered 410" if reason is DisabledReason.GONE else "all its deliveries have failed for too long"
    _log.error("the endpoint %s is disabled: %s", endpoint.id, why)
