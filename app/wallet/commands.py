"""Commands of the write side, one per mutation, and their common result."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from app.store.records import Consent, LinkRecord, MethodAddress, OperationRecord, OperationState, WriteOutcome
from app.vault.added_later import ADDED_LATER
from app.vault.enums import BankAccountType, CardBrand, CustomerRef, ProviderName
from app.vault.model import Address, AddressLabels, Expiry, NewMethod, NextAction, PersonName
from app.vault.payments import MerchantReason, PaymentInitiator
from app.vault.secret import Secret
from app.wallet.caller import Caller
from app.wallet.problems import WriteProblem


class OnDuplicate(StrEnum):
    RETURN_EXISTING = "RETURN_EXISTING"
    REJECT = "REJECT"
    ALLOW = "ALLOW"


class IfDefault(StrEnum):
    ALLOW = "ALLOW"
    REJECT = "REJECT"


class MergedCustomer(StrEnum):
    """One of the two customers of a merge."""

    FROM = "FROM"
    INTO = "INTO"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The author of a write. `caller.key` scopes idempotency keys and is stored in `setBy`, `linkedBy` and the audit
    trail."""

    caller: Caller

    @property
    def id(self) -> str:
        return self.caller.key

    @property
    def is_end_user(self) -> bool:
        return self.caller.acting_customer is not None

    def may_see(self, customer_id: str) -> bool:
        return self.caller.may_see(customer_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMethod:
    """`method` includes the billing address.

    `method_path` is the path of the method's fields in the input, e.g. ``("method", "bank_account", "ach")``;
    `secret_field` is the name of its `secret` there. Both are used only in error paths. `card_on_file_reference` is of
    the vault's customer, which must be created with the method.
    """

    customer_id: str
    idempotency_key: str
    method: NewMethod
    method_path: tuple[str, ...] = ("method",)
    secret_field: str = "token"  # noqa: S105 - the name of a field
    nickname: str | None = None
    make_default: bool = False
    provision: bool = False
    on_duplicate: OnDuplicate = OnDuplicate.RETURN_EXISTING
    card_on_file_reference: str | None = None
    consent: Consent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMethods:
    """Several methods of one vault, as one write. The items have this command's customer, key and rule for duplicates,
    and do not provision."""

    customer_id: str
    idempotency_key: str
    items: tuple[AddMethod, ...]
    on_duplicate: OnDuplicate = OnDuplicate.RETURN_EXISTING


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateMethod:
    """Fields that are None stay unchanged; a nickname of ``""`` removes the nickname. `method_id` is the graph's
    `id`; `status_field` is the field of the input that `active` came from, if it is not that, for error paths."""

    method_id: str
    idempotency_key: str | None = None
    if_match: str | None = None
    expiry: Expiry | None = None
    holder: PersonName | None = None
    nickname: str | None = None
    billing_address: Address | None = None
    address_labels: AddressLabels | None = field(default=None, metadata=ADDED_LATER)
    active: bool | None = None
    is_secondary: bool | None = None
    status_field: str | None = field(default=None, metadata=ADDED_LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDefault:
    """`method_id` is the graph's `paymentMethodId`."""

    customer_id: str
    method_id: str
    idempotency_key: str | None = None
    allow_expired: bool = False
    mirror_to_provider: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteMethod:
    """`method_id` is the graph's `id`; `replacement_id` its `replacementDefaultId`."""

    method_id: str
    idempotency_key: str | None = None
    if_default: IfDefault = IfDefault.ALLOW
    replacement_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCustomer:
    external_id: str
    idempotency_key: str
    name: PersonName
    business_name: str | None = field(default=None, metadata=ADDED_LATER)
    email: str | None = None
    phone: str | None = None
    address: Address | None = None
    address_labels: AddressLabels | None = field(default=None, metadata=ADDED_LATER)
    provision_at: tuple[ProviderName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCustomer:
    customer_id: str
    idempotency_key: str
    provider: ProviderName
    customer_ref: CustomerRef


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlinkCustomer:
    """Needs no key: unlinking is idempotent."""

    customer_id: str
    provider: ProviderName
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseCustomer:
    customer_id: str
    idempotency_key: str
    confirm_external_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeCustomers:
    """Everything of `from_id` moves to `into_id`. `keep_default_of` decides between two explicit defaults."""

    from_id: str
    into_id: str
    idempotency_key: str
    keep_default_of: MergedCustomer | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedLook:
    """Display data of a card imported by a processor's token."""

    last4: str
    expiry: Expiry
    brand: CardBrand
    holder_name: str
    bin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedAccountLook:
    """Display data of a bank account imported by a processor's token."""

    last4: str
    account_type: BankAccountType
    holder_name: str
    routing_number: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRow:
    """A link of a customer to a vault's customer and, with a processor's token, a card or bank account to store there.

    `token_field` is the token's field in the input, used only in error paths.
    """

    external_id: str
    provider: ProviderName
    customer_ref: CustomerRef
    processor_token: Secret | None = None
    token_field: str = "processor_token"  # noqa: S105 - the name of a field
    card: ImportedLook | None = None
    account: ImportedAccountLook | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportMethods:
    """`dry_run` validates everything and changes nothing. `create_customers` creates missing customers."""

    idempotency_key: str
    rows: tuple[ImportRow, ...]
    dry_run: bool = True
    create_customers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotePayment:
    """Amounts are integers of the currency's minor unit. `method_id` None means the customer's default, `initiator`
    None the customer."""

    customer_id: str
    idempotency_key: str
    amount: int
    currency: str
    reference: str
    tax: int = 0
    method_id: str | None = None
    initiator: PaymentInitiator | None = field(default=None, metadata=ADDED_LATER)
    merchant_reason: MerchantReason | None = field(default=None, metadata=ADDED_LATER)


MOST_BACKUP_METHODS: Final = 5


@dataclass(frozen=True, slots=True)
class MostTotal:
    """An integer of the currency's minor unit."""

    total: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePayment:
    """`fallback` are the graph's ids of backup methods, in order. `max_total` is the most that one of them may be
    charged; None means the quoted total."""

    payment_id: str
    idempotency_key: str
    fallback: tuple[str, ...] | None = field(default=None, metadata=ADDED_LATER)
    max_total: MostTotal | None = field(default=None, metadata=ADDED_LATER)


class SessionPurpose(StrEnum):
    ADD = "ADD"
    PAY = "PAY"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateHostedSession:
    """A page hosted by the vault. `amount` is an integer of the currency's minor unit."""

    customer_id: str
    idempotency_key: str
    provider: ProviderName
    purpose: SessionPurpose
    return_url: str
    cancel_url: str
    amount: int | None = None
    currency: str | None = None


Command = (
    AddMethod
    | AddMethods
    | UpdateMethod
    | SetDefault
    | DeleteMethod
    | CreateCustomer
    | LinkCustomer
    | UnlinkCustomer
    | EraseCustomer
    | MergeCustomers
    | ImportMethods
    | QuotePayment
    | CapturePayment
    | CreateHostedSession
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """The result of one item of `AddMethods`; the fields are those of `WriteResult`."""

    state: OperationState
    outcome: WriteOutcome
    method: MethodAddress | None = None
    was_duplicate: bool = False
    problems: tuple[WriteProblem, ...] = ()
    next_action: NextAction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult:
    """The result of a write; objects are named by address or id, for the graph to read.

    `operation` is None if nothing was journalled; `replayed` means that an earlier request did the work. Empty
    `problems` means success. `method` is the added, changed, chosen or existing method, `previous` the previous
    default, `replaced` the address that an update replaced, `deleted` the deleted method, `lookalikes` the remaining
    look-alike methods. `next_action` is returned once and never stored. `items` are in the order of the command's.
    """

    operation: OperationRecord | None = None
    replayed: bool = False
    problems: tuple[WriteProblem, ...] = ()
    warnings: tuple[WriteProblem, ...] = ()
    customer_id: str | None = None
    method: MethodAddress | None = None
    was_duplicate: bool = False
    next_action: NextAction | None = None
    previous: MethodAddress | None = None
    replaced: MethodAddress | None = None
    deleted: MethodAddress | None = None
    lookalikes: tuple[MethodAddress, ...] = ()
    link: LinkRecord | None = None
    payment_id: str | None = None
    items: tuple[ItemResult, ...] = ()
