"""What a vault may offer beyond keeping methods: paying, hosted capture, browser tokenization, bulk import.

Each is a small protocol of its own. Callers ask `capabilities.operations` (PAY, HOSTED_SESSION, IMPORT) and narrow with
`isinstance`; tokenization has no capability of its own, so there `isinstance` alone decides.
Errors are those of `VaultProvider`. Amounts are integers in the currency's minor units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType, Protocol, runtime_checkable

from app.errors import FieldFault, RejectReason
from app.vault.model import Expiry, NextAction
from app.vault.names import CardBrand, CustomerRef, MethodRef, PaymentMethodKind
from app.vault.provider import Call
from app.vault.secret import Secret

PaymentRef = NewType("PaymentRef", str)
"""A vault's own key of one payment."""
SessionRef = NewType("SessionRef", str)
"""A vault's own key of one hosted session."""


class PaymentState(StrEnum):
    """`app.vault.rules.payment_state` says which may follow which."""

    QUOTED = "QUOTED"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    PROCESSING = "PROCESSING"
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    CANCELED = "CANCELED"
    UNKNOWN = "UNKNOWN"
    REFUNDED = "REFUNDED"
    REVERSED = "REVERSED"
    RETURNED = "RETURNED"
    DISPUTED = "DISPUTED"


# ---- paying with a saved method ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayment:
    """What to pay, with which saved method. `currency` is ISO 4217; `reference` is the caller's, e.g. an invoice."""

    method_ref: MethodRef
    method_kind: PaymentMethodKind
    amount: int
    tax: int = 0
    currency: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """Amounts as a vault's answer names them, in minor units; None for what it leaves out.

    A float is a number that is no whole one: it agrees with nothing. `currency` is in capitals.
    """

    base: int | float | None = None
    tax: int | float | None = None
    fee: int | float | None = None
    total: int | float | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A payment that the vault checked and priced: `fee` and `total` are its words. Capture repeats all of it.

    `answered` is everything that the vault's answer says of amounts.
    """

    payment_ref: PaymentRef
    payment: NewPayment
    fee: int
    total: int
    answered: Amounts = field(default=Amounts(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """How a capture ended: CAPTURED, AUTHORIZED, PROCESSING or DECLINED (a final answer, not an error)."""

    payment_ref: PaymentRef
    state: PaymentState
    decline_code: str | None = None
    answered: Amounts = Amounts()


@runtime_checkable
class PayingVault(Protocol):
    """Two phases: a quote moves no money; a capture moves it once, and cannot be asked about afterwards."""

    def faults_of_payment(self, new: NewPayment) -> list[FieldFault]: ...

    async def quote(self, new: NewPayment, call: Call) -> Quote:
        """Check the method and fix the fee. The vault does not ask whose method it is: the caller must."""
        ...

    async def capture(self, quote: Quote, call: Call) -> Captured:
        """Pay exactly what was quoted. `VaultRejected(CONFLICT)` where it was captured or failed before."""
        ...


# ---- capturing in the browser -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """One checkout of one customer. `save` offers to keep a new method; `embedded` shows it inside a page."""

    customer_ref: CustomerRef
    amount: int | None = None
    currency: str | None = None
    return_url: str
    cancel_url: str
    save: bool = False
    embedded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedSession:
    session_ref: SessionRef
    next_action: NextAction


@runtime_checkable
class HostingVault(Protocol):
    def faults_of_session(self, new: NewSession) -> list[FieldFault]: ...

    async def create_session(self, new: NewSession, call: Call) -> HostedSession: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenization:
    """What a browser needs to turn a number into this vault's token. Never cached, stored, logged or traced."""

    action: NextAction | None = None
    client_config: Mapping[str, Any] | None = field(default=None, repr=False)


@runtime_checkable
class TokenizingVault(Protocol):
    async def tokenization(self, ref: CustomerRef | None, call: Call) -> Tokenization: ...


# ---- bulk import ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedCard:
    """An existing processor's token, and what is shown of its card."""

    customer_ref: CustomerRef
    secret: Secret
    last4: str
    expiry: Expiry
    brand: CardBrand
    holder_name: str


class ImportState(StrEnum):
    IMPORTED = "IMPORTED"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """One row's outcome: a method where IMPORTED, a reason where REJECTED; UNKNOWN where the vault named neither."""

    state: ImportState
    method_ref: MethodRef | None = None
    reason: RejectReason | None = None
    provider_code: str | None = None


@runtime_checkable
class ImportingVault(Protocol):
    @property
    def import_limit(self) -> int:
        """How many rows one call takes."""
        ...

    def faults_of_import(self, row: ImportedCard) -> list[FieldFault]: ...

    async def import_methods(self, rows: Sequence[ImportedCard], call: Call) -> list[ImportResult]:
        """One call; the outcomes stand in the order of the rows."""
        ...
