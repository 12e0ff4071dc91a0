"""Interfaces for a vault's package to verify and parse webhook deliveries. Public interface."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.errors import VaultgraphError
from app.vault.payments import PaymentState

Headers = Mapping[str, str]
"""By lower-case name."""


class WebhookRejected(VaultgraphError):
    """The delivery is rejected with this status and message, and not stored. The message contains none of its data."""

    def __init__(self, status: int, message: str, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """The stored part of one verified delivery: ids and the event type, never the whole body.

    `delivery_id` is the vault's and deduplicates deliveries. `facts` is JSON without secrets; `WebhookEffect` defines
    which members are used. Deliveries with the same `lane` are processed in order; None: in any order.
    `secret_number` is the index of the secret that verified it: one that is not the first is still needed.
    """

    account: str
    delivery_id: str
    event_type: str
    facts: Mapping[str, Any]
    lane: str | None = None
    secret_number: int = 0


ReadDelivery = Callable[[bytes], WebhookDelivery | None]
"""Verifies and parses a raw body; None if nothing has to be stored. Raises WebhookRejected."""


class WebhookSender(Protocol):
    """Verifies the deliveries to ``/webhooks/{vault}/{path}``."""

    @property
    def header_aliases(self) -> Mapping[str, str]:
        """Lower-case alternative header names, mapped to the name that `admit` reads."""

    @property
    def single_headers(self) -> frozenset[str]:
        """Headers that the signature covers: a delivery with a duplicate of one is rejected."""

    async def admit(self, path: str, headers: Headers) -> ReadDelivery:
        """Check the headers before the body is read. Raises WebhookRejected."""


@dataclass(frozen=True, slots=True)
class RereadsMethods:
    """Re-reads the owners of the method refs listed in `field` of the facts."""

    field: str


@dataclass(frozen=True, slots=True)
class RereadsCustomer:
    """Re-reads the customer whose ref is in `field` of the facts."""

    field: str


@dataclass(frozen=True, slots=True)
class ReportsPayment:
    """Reports `state` for the payment whose ref is ``payment_uid`` in the facts.

    Optional facts: ``amounts`` (members of `Amounts`) and, for a refund, ``refund`` with ``total`` (refunded so far) or
    ``part`` (this refund). Minor units.
    """

    state: PaymentState


WebhookEffect = RereadsMethods | RereadsCustomer | ReportsPayment
"""What a delivery of an event type triggers. Except for payments, the new state is then read from the vault."""
