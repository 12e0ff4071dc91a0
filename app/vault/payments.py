"""Optional vault protocols: payments, hosted sessions, browser tokenization and bulk import.

Callers check `capabilities.operations` (PAY, HOSTED_SESSION, IMPORT) and narrow with `isinstance`; tokenization has no
capability, so `isinstance` alone decides. Errors are those of `VaultProvider`. Amounts are integers in minor units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType, Protocol, runtime_checkable

from app.errors import FieldFault, RejectReason
from app.vault.enums import BankAccountType, CardBrand, CustomerRef, MethodRef, PaymentMethodKind
from app.vault.model import Expiry, NextAction
from app.vault.provider import Call
from app.vault.secret import Secret

PaymentRef = NewType("PaymentRef", str)
"""A vault's key of one payment."""
SessionRef = NewType("SessionRef", str)
"""A vault's key of one hosted session."""


class PaymentState(StrEnum):
    """State of a payment. Transitions: `app.vault.rules.payment_state`."""

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


class PaymentInitiator(StrEnum):
    """Whose request a payment is. No vault's payment call takes it."""

    CUSTOMER = "CUSTOMER"
    MERCHANT = "MERCHANT"


class MerchantReason(StrEnum):
    """Why a payment is made without the customer."""

    RECURRING = "RECURRING"
    INSTALLMENT = "INSTALLMENT"
    UNSCHEDULED = "UNSCHEDULED"


# ---- payments with a saved method -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayment:
    """A payment to make with a saved method. `currency` is ISO 4217; `reference` is the caller's, e.g. an invoice,
    or empty."""

    method_ref: MethodRef
    method_kind: PaymentMethodKind
    amount: int
    tax: int = 0
    currency: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """Amounts in a vault's reply, in minor units; None if missing.

    A float is a non-integral number and equals no expected amount. `currency` is upper case.
    """

    base: int | float | None = None
    tax: int | float | None = None
    fee: int | float | None = None
    total: int | float | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A payment that the vault validated and priced; `fee` and `total` are the vault's. Capture repeats all of it.

    `answered` holds all amounts in the vault's reply.
    """

    payment_ref: PaymentRef
    payment: NewPayment
    fee: int
    total: int
    answered: Amounts = field(default=Amounts(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """The result of a capture: CAPTURED, AUTHORIZED, PROCESSING or DECLINED (a final result, not an error)."""

    payment_ref: PaymentRef
    state: PaymentState
    decline_code: str | None = None
    answered: Amounts = Amounts()


@runtime_checkable
class PayingVault(Protocol):
    """Payments in two phases: a quote moves no money; a capture moves it once, and its outcome cannot be queried."""

    def faults_of_payment(self, new: NewPayment) -> list[FieldFault]: ...

    async def quote(self, new: NewPayment, call: Call) -> Quote:
        """Validate the method and fix the fee. The caller must check the method's owner; the vault does not."""

    async def capture(self, quote: Quote, call: Call) -> Captured:
        """Capture exactly the quote. `VaultRejected(CONFLICT)` if it was captured or failed before."""


# ---- hosted sessions and tokenization ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """One checkout of one customer. `save` offers to store a new method; `embedded` shows the session in a page."""

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
    """What a browser needs to tokenize a number at this vault. Never cached, stored, logged or traced."""

    action: NextAction | None = None
    client_config: Mapping[str, Any] | None = field(default=None, repr=False)


@runtime_checkable
class TokenizingVault(Protocol):
    async def tokenization(self, ref: CustomerRef | None, call: Call) -> Tokenization: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureForm:
    """The form to open: for a new method of this kind, or for changing the stored method `method_ref`."""

    kind: PaymentMethodKind = PaymentMethodKind.CARD
    account_type: BankAccountType | None = None
    method_ref: MethodRef | None = None


@runtime_checkable
class FormVault(TokenizingVault, Protocol):
    """A vault with one form for each kind of method, also to change a stored one."""

    async def capture_form(self, ref: CustomerRef | None, form: CaptureForm, call: Call) -> Tokenization: ...


# ---- bulk import ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedCard:
    """A token of another processor, and the display data of its card."""

    customer_ref: CustomerRef
    secret: Secret
    last4: str
    expiry: Expiry
    brand: CardBrand
    holder_name: str
    bin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedBankAccount:
    """A token of another processor, and the display data of its bank account (`imports_bank_accounts`)."""

    customer_ref: CustomerRef
    secret: Secret
    last4: str
    account_type: BankAccountType
    holder_name: str
    routing_number: str | None = None


ImportedMethod = ImportedCard | ImportedBankAccount


class ImportState(StrEnum):
    IMPORTED = "IMPORTED"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """One row's result: a method if IMPORTED, a reason if REJECTED; UNKNOWN if the vault's reply contains neither."""

    state: ImportState
    method_ref: MethodRef | None = None
    reason: RejectReason | None = None
    provider_code: str | None = None


@runtime_checkable
class ImportingVault(Protocol):
    def faults_of_import(self, row: ImportedMethod) -> list[FieldFault]: ...

    async def import_methods(self, rows: Sequence[ImportedMethod], call: Call) -> list[ImportResult]:
        """One call; the results are in the order of the rows. Cards only, unless the vault `imports_bank_accounts`."""
