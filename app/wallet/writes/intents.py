"""What the journal stores of a running write: the request, and its progress.

One struct per mutation. They are stored as JSON, and a later version of the gateway may have to finish stored
operations. So `VERSION` rises with every change of a struct in this module, and `upgrades` gets a function that
converts the previous version's JSON.

No secret and no name is stored, except a nickname, the holder's name for a vault that hides it, and who gave a consent:
they are kept beside the method once it exists. Erasure strips intents.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

from msgspec import Struct, ValidationError, convert, field, to_builtins

from app.store.records import Consent, MethodAddress, OperationRecord, PaymentState
from app.vault.enums import CardBrand, CustomerRef, MethodRef, PaymentMethodKind, ProviderName, WalletKind
from app.vault.payments import Amounts, MerchantReason, PaymentInitiator, PaymentRef
from app.wallet.commands import IfDefault, MergedCustomer, OnDuplicate
from app.wallet.writes.deps import VaultRef
from app.wallet.writes.stored_result import to_address

VERSION: Final = 5


# ---- requests ---------------------------------------------------------------------------------------------


class Intent(Struct, frozen=True, kw_only=True, tag_field="mutation", forbid_unknown_fields=True):
    """`refs` are the vault customers whose writes are serialised with this one."""

    version: Literal[5] = VERSION
    refs: tuple[VaultRef, ...] = ()

    @property
    def audit_reason(self) -> str | None:
        """The reason that the caller gave, if the mutation requires one."""
        return None

    @property
    def parts(self) -> int:
        """The rows of its result, if all are for the operation's vault."""
        return 1


class MethodLook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an added method will look like in the vault's list. `expiry` is ``YYYY-MM``, `holder` a digest.

    `wallet` is set for a card from a wallet's encrypted payload, of which nothing else is known.
    """

    kind: PaymentMethodKind
    last4: str | None = None
    brand: CardBrand | None = None
    expiry: str | None = None
    holder: str | None = None
    wallet: WalletKind | None = None


class AddMethodIntent(Intent, frozen=True, kw_only=True, tag="addPaymentMethod"):
    """`path` and `secret` locate the method and its token in the input. `token` is a digest of the token, if the
    vault's lists do not show it. `replaces_others`: the vault replaces all of the customer's methods by this one."""

    provider: ProviderName
    path: tuple[str, ...]
    secret: str
    nickname: str | None
    make_default: bool
    on_duplicate: OnDuplicate
    look: MethodLook
    token: str | None
    holder_name: str | None
    replaces_others: bool
    consent: Consent | None


class AddMethodsIntent(Intent, frozen=True, kw_only=True, tag="addPaymentMethods"):
    """All `items` are for one customer of one vault."""

    provider: ProviderName
    items: tuple[AddMethodIntent, ...]

    @property
    def parts(self) -> int:
        return len(self.items)


class ChangeTarget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the vault will list after an update; None for unchanged fields. Texts are digests.

    `address` includes what the update says about the address, if anything.
    """

    expiry: str | None = None
    active: bool | None = None
    is_secondary: bool | None = None
    title: str | None = None
    holder: str | None = None
    address: str | None = None


class UpdateMethodIntent(Intent, frozen=True, kw_only=True, tag="updatePaymentMethod"):
    """`target` is None if no vault call is needed."""

    method: MethodAddress
    nickname: str | None
    if_match: str | None
    target: ChangeTarget | None


class SetDefaultIntent(Intent, frozen=True, kw_only=True, tag="setDefaultPaymentMethod"):
    method: MethodAddress
    allow_expired: bool
    mirror: bool


class DeleteMethodIntent(Intent, frozen=True, kw_only=True, tag="deletePaymentMethod"):
    method: MethodAddress
    replacement: MethodAddress | None
    if_default: IfDefault


class CreateCustomerIntent(Intent, frozen=True, kw_only=True, tag="createCustomer"):
    provision_at: tuple[ProviderName, ...]


class LinkCustomerIntent(Intent, frozen=True, kw_only=True, tag="linkProviderCustomer"):
    provider: ProviderName
    ref: CustomerRef


class UnlinkCustomerIntent(Intent, frozen=True, kw_only=True, tag="unlinkProviderCustomer"):
    provider: ProviderName
    reason: str

    @property
    def audit_reason(self) -> str | None:
        return self.reason


class EraseCustomerIntent(Intent, frozen=True, kw_only=True, tag="eraseCustomer"):
    """`refs` are the customer's links, all of which are erased."""


class MergeCustomersIntent(Intent, frozen=True, kw_only=True, tag="mergeCustomers"):
    """`refs` are the links of both customers."""

    from_id: str
    into_id: str
    keep_default_of: MergedCustomer | None
    reason: str | None

    @property
    def audit_reason(self) -> str | None:
        return self.reason


class ImportedRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`card` is None for a row that only links."""

    provider: ProviderName
    ref: CustomerRef
    card: MethodLook | None

    @property
    def place(self) -> VaultRef:
        return self.provider, self.ref


class ImportMethodsIntent(Intent, frozen=True, kw_only=True, tag="importPaymentMethods"):
    rows: tuple[ImportedRow, ...]
    dry_run: bool
    create_customers: bool


class QuotePaymentIntent(Intent, frozen=True, kw_only=True, tag="quotePayment"):
    """`method` is None for the customer's default. `payment_id` is the future payment's id."""

    method: MethodAddress | None
    amount: int
    tax: int
    currency: str
    reference: str
    payment_id: str
    initiator: PaymentInitiator
    merchant_reason: MerchantReason | None


class CapturePaymentIntent(Intent, frozen=True, kw_only=True, tag="capturePayment"):
    """`fallback` are the backup methods, in order; `most` is the most that one of them may be
    charged, 0 without any."""

    payment_id: str
    fallback: tuple[MethodAddress, ...]
    most: int


class HostedSessionIntent(Intent, frozen=True, kw_only=True, tag="createHostedSession"):
    provider: ProviderName
    ref: CustomerRef


AnyIntent = (
    AddMethodIntent
    | AddMethodsIntent
    | UpdateMethodIntent
    | SetDefaultIntent
    | DeleteMethodIntent
    | CreateCustomerIntent
    | LinkCustomerIntent
    | UnlinkCustomerIntent
    | EraseCustomerIntent
    | MergeCustomersIntent
    | ImportMethodsIntent
    | QuotePaymentIntent
    | CapturePaymentIntent
    | HostedSessionIntent
)


# ---- facts read before a step, which decide it ------------------------------------------------------------


class Note(Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """Read once; a resumed run uses the stored value."""


class BeforeAddNote(Note, frozen=True, kw_only=True, tag="beforeAdd"):
    """The vault's methods before the add. `duplicate` has the same token, `default` is the vault's own default."""

    refs: tuple[MethodRef, ...]
    duplicate: MethodRef | None
    default: MethodRef | None


class DefaultCheck(Note, frozen=True, kw_only=True, tag="defaultCheck"):
    """`mirror`: set the vault's default too. `warn`: requested, but the vault has none. `previous`: the default
    before."""

    mirror: bool
    warn: bool
    previous: MethodAddress | None


class DeleteCheck(Note, frozen=True, kw_only=True, tag="deleteCheck"):
    """`gone`: already deleted. `look`: its look before. `mirror`: the vault's default must be moved."""

    gone: bool
    look: str | None
    mirror: bool


class UpdateCheck(Note, frozen=True, kw_only=True, tag="updateCheck"):
    """The etag and the vault's rules were checked."""


class HeldMethods(Note, frozen=True, kw_only=True, tag="heldMethods"):
    """The methods of a vault's customer."""

    refs: tuple[MethodRef, ...]


class EarlierItems(Note, frozen=True, kw_only=True, tag="earlierItems"):
    """The items that an earlier run of the operation added, by number; `no_default` is the one that it could not make
    the default."""

    methods: tuple[tuple[int, MethodRef], ...]
    no_default: int | None = None


class BackupMethods(Note, frozen=True, kw_only=True, tag="backupMethods"):
    """The kinds of a payment's backup methods, all of which can pay, in their order."""

    kinds: tuple[PaymentMethodKind, ...]


AnyNote = BeforeAddNote | DefaultCheck | DeleteCheck | UpdateCheck | HeldMethods | EarlierItems | BackupMethods


# ---- results of finished steps ----------------------------------------------------------------------------


class Facts(Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """The result of a finished step."""


class NoFacts(Facts, frozen=True, kw_only=True, tag="none"):
    """The step is finished; it has no result."""


class MethodFacts(Facts, frozen=True, kw_only=True, tag="method"):
    method_ref: MethodRef


class MethodsFacts(Facts, frozen=True, kw_only=True, tag="methods"):
    """The methods that one call added, in the order of its items; None for one that was not added."""

    method_refs: tuple[MethodRef | None, ...]


class CustomerFacts(Facts, frozen=True, kw_only=True, tag="customer"):
    customer_ref: CustomerRef


class ProfileFacts(Facts, frozen=True, kw_only=True, tag="profile"):
    """For a customer created together with its first method."""

    customer_ref: CustomerRef
    method_ref: MethodRef


class QuoteFacts(Facts, frozen=True, kw_only=True, tag="quote"):
    payment_ref: PaymentRef
    fee: int
    total: int


class CaptureFacts(Facts, frozen=True, kw_only=True, tag="capture"):
    """`state` is None if something other than the vault's answer decided the payment."""

    state: PaymentState | None = None
    decline_code: str | None = None
    answered: Amounts = Amounts()


class BackupQuoteFacts(Facts, frozen=True, kw_only=True, tag="backupQuote"):
    """The quote of a backup method. `is_refused`: the vault refused it, or the total is too high, so no capture may be
    sent."""

    is_refused: bool
    payment_ref: PaymentRef | None = None
    fee: int | None = None
    total: int | None = None
    decline_code: str | None = None


class HostedSessionFacts(Facts, frozen=True, kw_only=True, tag="hostedSession"):
    session_ref: str


AnyFacts = (
    NoFacts
    | MethodFacts
    | MethodsFacts
    | CustomerFacts
    | ProfileFacts
    | QuoteFacts
    | CaptureFacts
    | BackupQuoteFacts
    | HostedSessionFacts
)
NO_FACTS: Final = NoFacts()


# ---- progress ---------------------------------------------------------------------------------------------

IntentT_co = TypeVar("IntentT_co", bound=Intent, covariant=True)


class Progress(Struct, Generic[IntentT_co], kw_only=True, forbid_unknown_fields=True):
    """The stored state of a running write.

    `notes` are facts read before a step. `doing` names the steps that may have been sent; `done` has the facts of
    finished steps. `believe_at` is the earliest time from which a list without the result proves its absence, if later
    than the journal's deadline. `by` is the author.
    """

    by: str
    intent: IntentT_co = field(name="of")
    notes: dict[str, AnyNote] = field(default_factory=dict)
    doing: list[str] = field(default_factory=list)
    done: dict[str, AnyFacts] = field(default_factory=dict)
    believe_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        kept: dict[str, Any] = to_builtins(self)
        return kept


# ---- fields read without the rest of the intent -----------------------------------------------------------
# `of.refs`, `of.token` and `of.items.*.token` are the same in every version.


def refs_of(operation: OperationRecord) -> list[VaultRef]:
    """The vault customers of an operation; empty if unreadable."""
    try:
        return convert(_asked(operation).get("refs"), list[VaultRef])
    except ValidationError:
        return []


class AddedBefore(NamedTuple):
    """What another operation adds: the digest of the token, and the method, once that is known."""

    token: str | None
    method: MethodAddress | None
    was_duplicate: bool


def added_by(operation: OperationRecord) -> list[AddedBefore]:
    """One for each method of the operation."""
    asked, result = _asked(operation), operation.result
    items = asked.get("items")
    if not isinstance(items, list):
        return [_added(asked, result)]
    made = result.get("items") or [{}] * len(items)
    return [_added(item, one) for item, one in zip(items, made, strict=False)]


def _added(asked: Mapping[str, Any], result: Mapping[str, Any]) -> AddedBefore:
    token = asked.get("token")
    return AddedBefore(
        token if isinstance(token, str) else None,
        to_address(result.get("method")),
        bool(result.get("was_duplicate")),
    )


def _asked(operation: OperationRecord) -> dict[str, Any]:
    asked = operation.intent.get("of") if isinstance(operation.intent, dict) else None
    return asked if isinstance(asked, dict) else {}
