"""What the journal keeps of a write while it runs: what was asked, and how far the write has come.

One struct per mutation. The journal stores them as JSON, and a later version of the gateway may have to finish what it
finds there, so `VERSION` rises with every change of a struct in this module, and `upgrades` gets a function that brings
the JSON of the version before to the new shape.

No secret and no name is in it; an intent may hold a nickname. Erasure strips intents.
"""

from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar

from msgspec import Struct, ValidationError, convert, field, to_builtins

from app.store.records import MethodAddress, OperationRecord, PaymentState
from app.vault.names import CardBrand, CustomerRef, MethodRef, PaymentMethodKind, ProviderName
from app.vault.payments import Amounts, PaymentRef
from app.wallet.commands import IfDefault, OnDuplicate
from app.wallet.writing.deps import VaultRef

VERSION: Final = 1


# ---- what was asked ---------------------------------------------------------------------------------------


class Intent(Struct, frozen=True, kw_only=True, tag_field="mutation", forbid_unknown_fields=True):
    """`refs` are the vaults' customers whose writes this one must wait for, and keeps waiting."""

    version: Literal[1] = VERSION
    refs: tuple[VaultRef, ...] = ()

    @property
    def audit_reason(self) -> str | None:
        """Why it was asked, where the caller has to say so."""
        return None


class MethodLook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an added method will look like in the vault's list. `expiry` is ``YYYY-MM``, `holder` a digest."""

    kind: PaymentMethodKind
    last4: str | None = None
    brand: CardBrand | None = None
    expiry: str | None = None
    holder: str | None = None


class AddMethodIntent(Intent, frozen=True, kw_only=True, tag="addPaymentMethod"):
    """`path` and `secret` say where the method and its token stand in the input. `token` is a digest of the token,
    where the vault's lists do not show it."""

    provider: ProviderName
    path: tuple[str, ...]
    secret: str
    nickname: str | None
    make_default: bool
    on_duplicate: OnDuplicate
    look: MethodLook
    token: str | None


class ChangeTarget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the vault will show once an update is made; None for what is not to change. Texts are digests."""

    expiry: str | None = None
    active: bool | None = None
    is_secondary: bool | None = None
    title: str | None = None
    holder: str | None = None
    address: str | None = None


class UpdateMethodIntent(Intent, frozen=True, kw_only=True, tag="updatePaymentMethod"):
    """`target` is None when the vault need not be called."""

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
    """`refs` are the customer's links: every one of them is erased."""


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
    """`method` is None for the customer's default. `payment_id` is the id that the payment will have."""

    method: MethodAddress | None
    amount: int
    tax: int
    currency: str
    reference: str
    payment_id: str


class CapturePaymentIntent(Intent, frozen=True, kw_only=True, tag="capturePayment"):
    payment_id: str


class HostedSessionIntent(Intent, frozen=True, kw_only=True, tag="createHostedSession"):
    provider: ProviderName
    ref: CustomerRef


AnyIntent = (
    AddMethodIntent
    | UpdateMethodIntent
    | SetDefaultIntent
    | DeleteMethodIntent
    | CreateCustomerIntent
    | LinkCustomerIntent
    | UnlinkCustomerIntent
    | EraseCustomerIntent
    | ImportMethodsIntent
    | QuotePaymentIntent
    | CapturePaymentIntent
    | HostedSessionIntent
)


# ---- facts that were read before a step, and decide it ----------------------------------------------------


class Note(Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """Read once, and the same for whoever takes the operation up."""


class BeforeAddNote(Note, frozen=True, kw_only=True, tag="beforeAdd"):
    """What the vault held. `duplicate` has the same token, `default` is the vault's own."""

    refs: tuple[MethodRef, ...]
    duplicate: MethodRef | None
    default: MethodRef | None


class DefaultCheck(Note, frozen=True, kw_only=True, tag="defaultCheck"):
    """`mirror`: the vault is to be told. `warn`: it should be, and has no default. `previous`: the default before."""

    mirror: bool
    warn: bool
    previous: MethodAddress | None


class DeleteCheck(Note, frozen=True, kw_only=True, tag="deleteCheck"):
    """`gone`: nothing is there to delete. `look`: what it looked like. `mirror`: the vault's default is to be moved."""

    gone: bool
    look: str | None
    mirror: bool


class UpdateCheck(Note, frozen=True, kw_only=True, tag="updateCheck"):
    """The etag and the vault's rules were checked."""


class HeldMethods(Note, frozen=True, kw_only=True, tag="heldMethods"):
    """What a vault's customer held."""

    refs: tuple[MethodRef, ...]


AnyNote = BeforeAddNote | DefaultCheck | DeleteCheck | UpdateCheck | HeldMethods


# ---- what finished steps led to ---------------------------------------------------------------------------


class Facts(Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """What is known once a step is done."""


class NoFacts(Facts, frozen=True, kw_only=True, tag="none"):
    """That it is done."""


class MethodFacts(Facts, frozen=True, kw_only=True, tag="method"):
    method_ref: MethodRef


class CustomerFacts(Facts, frozen=True, kw_only=True, tag="customer"):
    customer_ref: CustomerRef


class ProfileFacts(Facts, frozen=True, kw_only=True, tag="profile"):
    """Of a customer that was made together with its first method."""

    customer_ref: CustomerRef
    method_ref: MethodRef


class QuoteFacts(Facts, frozen=True, kw_only=True, tag="quote"):
    payment_ref: PaymentRef
    fee: int
    total: int


class CaptureFacts(Facts, frozen=True, kw_only=True, tag="capture"):
    """`state` is None when something else than the vault's answer decided the payment."""

    state: PaymentState | None = None
    decline_code: str | None = None
    answered: Amounts = Amounts()


class HostedSessionFacts(Facts, frozen=True, kw_only=True, tag="hostedSession"):
    session_ref: str


AnyFacts = NoFacts | MethodFacts | CustomerFacts | ProfileFacts | QuoteFacts | CaptureFacts | HostedSessionFacts
NO_FACTS: Final = NoFacts()


# ---- how far it has come ----------------------------------------------------------------------------------

IntentT_co = TypeVar("IntentT_co", bound=Intent, covariant=True)


class Progress(Struct, Generic[IntentT_co], kw_only=True, forbid_unknown_fields=True):
    """The journal's row of a write that runs.

    `notes` are facts that were read before a step. `doing` names the steps whose request may have left us; `done` has
    what finished steps led to. `believe_at` is from when on a list that lacks the result proves its absence, where
    that is later than the journal's own deadline. `by` is who asked.
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


# ---- what is read of any operation, without the rest of its intent ----------------------------------------
# `of.refs` and `of.token` stand where they are in every version.


def refs_of(operation: OperationRecord) -> list[VaultRef]:
    """The vaults' customers that it concerns; none where that cannot be told."""
    try:
        return convert(_asked(operation).get("refs"), list[VaultRef])
    except ValidationError:
        return []


def token_of(operation: OperationRecord) -> str | None:
    """The digest of the token that it adds."""
    token = _asked(operation).get("token")
    return token if isinstance(token, str) else None


def _asked(operation: OperationRecord) -> dict[str, Any]:
    asked = operation.intent.get("of") if isinstance(operation.intent, dict) else None
    return asked if isinstance(asked, dict) else {}
