"""What can be asked of the writing side: one command per mutation, and the one shape of every answer."""

from dataclasses import dataclass
from enum import StrEnum

from app.store.records import LinkRecord, MethodAddress, OperationRecord
from app.vault.model import Address, Expiry, NewMethod, NextAction, PersonName
from app.vault.names import CardBrand, CustomerRef, ProviderName
from app.vault.secret import Secret
from app.wallet.caller import Caller
from app.wallet.problems import Problem, ProblemCode

__all__ = [
    "Actor",
    "AddMethod",
    "CapturePayment",
    "Command",
    "CreateCustomer",
    "CreateHostedSession",
    "DeleteMethod",
    "EraseCustomer",
    "IfDefault",
    "ImportMethods",
    "ImportRow",
    "ImportedLook",
    "LinkCustomer",
    "OnDuplicate",
    "Problem",
    "ProblemCode",
    "QuotePayment",
    "SessionPurpose",
    "SetDefault",
    "UnlinkCustomer",
    "UpdateMethod",
    "WriteResult",
]


class OnDuplicate(StrEnum):
    RETURN_EXISTING = "RETURN_EXISTING"
    REJECT = "REJECT"
    ALLOW = "ALLOW"


class IfDefault(StrEnum):
    ALLOW = "ALLOW"
    REJECT = "REJECT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who writes. `caller.key` scopes idempotency keys, and stands in `setBy`, `linkedBy` and the audit trail."""

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
    """`method` carries the billing address too.

    `method_path` is where the method's own fields stand in the input, e.g. ``("method", "bank_account", "ach")``;
    `secret_field` is what its `secret` is called there: both serve the paths of errors alone.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateMethod:
    """Only what is not None changes; a nickname of ``""`` takes the nickname away. `method_id` is the graph's `id`."""

    method_id: str
    idempotency_key: str | None = None
    if_match: str | None = None
    expiry: Expiry | None = None
    holder: PersonName | None = None
    nickname: str | None = None
    billing_address: Address | None = None
    active: bool | None = None
    is_secondary: bool | None = None


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
    business_name: str | None = None
    email: str | None = None
    phone: str | None = None
    address: Address | None = None
    provision_at: tuple[ProviderName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCustomer:
    customer_id: str
    idempotency_key: str
    provider: ProviderName
    customer_ref: CustomerRef


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlinkCustomer:
    """Needs no key: unlinking twice is the same as once."""

    customer_id: str
    provider: ProviderName
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseCustomer:
    customer_id: str
    idempotency_key: str
    confirm_external_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedLook:
    """What is shown of a card that is imported by a processor's token."""

    last4: str
    expiry: Expiry
    brand: CardBrand
    holder_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRow:
    """A link of one of our customers to a vault's and, with a processor's token, a card to store there.

    `token_field` is where the token stands in the input, for the paths of errors alone.
    """

    external_id: str
    provider: ProviderName
    customer_ref: CustomerRef
    processor_token: Secret | None = None
    token_field: str = "processor_token"  # noqa: S105 - the name of a field
    card: ImportedLook | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportMethods:
    """`dry_run` checks everything and changes nothing. `create_customers` makes customers of ours that are missing."""

    idempotency_key: str
    rows: tuple[ImportRow, ...]
    dry_run: bool = True
    create_customers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotePayment:
    """Amounts are integers of the currency's minor unit. `method_id` None means the customer's default."""

    customer_id: str
    idempotency_key: str
    amount: int
    currency: str
    reference: str
    tax: int = 0
    method_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePayment:
    payment_id: str
    idempotency_key: str


class SessionPurpose(StrEnum):
    ADD = "ADD"
    PAY = "PAY"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateHostedSession:
    """A page of the vault's own. `amount` is an integer of the currency's minor unit."""

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
    | UpdateMethod
    | SetDefault
    | DeleteMethod
    | CreateCustomer
    | LinkCustomer
    | UnlinkCustomer
    | EraseCustomer
    | ImportMethods
    | QuotePayment
    | CapturePayment
    | CreateHostedSession
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult:
    """What became of a write; what it concerns is named by address or id, for the graph to read and show.

    `operation` is None where nothing was journalled; `replayed` says that an earlier request did the work. `problems`
    empty means that it was done. `method` is the added, changed, chosen or already existing one, `previous` the
    default before, `replaced` the address that an update gave up, `deleted` what went, `lookalikes` what still looks
    like it. `next_action` is shown once and kept nowhere.
    """

    operation: OperationRecord | None = None
    replayed: bool = False
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
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
