"""Webhooks that a vault sends: what a vault's package brings to verify and read them. A public interface."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.errors import VaultgraphError
from app.vault.payments import PaymentState

Headers = Mapping[str, str]
"""By lower-case name."""


class WebhookRejected(VaultgraphError):
    """A delivery that is answered with this status and message and not stored. The message quotes nothing of it."""

    def __init__(self, status: int, message: str, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """What is stored of one verified delivery: ids and the event's type, never the whole body.

    `delivery_id` is the vault's: a repeated one is stored once. `facts` is JSON without secrets; `WebhookEffect` says
    which of its members are used. Deliveries of one `lane` are processed in order; None: this one depends on no other.
    """

    account: str
    delivery_id: str
    event_type: str
    facts: Mapping[str, Any]
    lane: str | None = None


ReadDelivery = Callable[[bytes], WebhookDelivery | None]
"""Verifies and reads a raw body; None where nothing has to be stored. Raises WebhookRejected."""


class WebhookSender(Protocol):
    """Verifies the deliveries to ``/webhooks/{vault}/{path}``."""

    @property
    def header_aliases(self) -> Mapping[str, str]:
        """Other spellings of a header: lower-case names to the one that `admit` looks for."""
        ...

    @property
    def single_headers(self) -> frozenset[str]:
        """Headers that the signature depends on: a delivery that has one of them twice is refused."""
        ...

    async def admit(self, path: str, headers: Headers) -> ReadDelivery:
        """Check what can be checked before the body is read. Raises WebhookRejected."""
        ...


@dataclass(frozen=True, slots=True)
class RereadsMethods:
    """The list of method refs at `field` of the facts: their owners are read anew."""

    field: str


@dataclass(frozen=True, slots=True)
class RereadsCustomer:
    """The customer ref at `field` of the facts: that customer is read anew."""

    field: str


@dataclass(frozen=True, slots=True)
class ReportsPayment:
    """The payment of the ref at ``payment_uid`` of the facts is in `state`.

    Further facts, all optional: ``amounts`` (members of `Amounts`) and, of a refund, ``refund`` with ``total`` (given
    back so far) or ``part`` (in this refund). Minor units.
    """

    state: PaymentState


WebhookEffect = RereadsMethods | RereadsCustomer | ReportsPayment
"""What a type of event leads to. A delivery only says where to look: its effect is what the vault then holds."""
