"""The unified model: payment methods of one customer in any vault.

Immutable values without behaviour. Months are 1 to 12, years have four digits, datetimes are UTC and aware.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from app.vault.added_later import ADDED_LATER
from app.vault.enums import (
    AddressType,
    AddRoute,
    AuthPurpose,
    AuthStatus,
    BankAccountType,
    BankRail,
    BankVerification,
    CardBrand,
    CardFunding,
    CardTokenType,
    ChallengePreference,
    CustomerRef,
    MethodRef,
    NextActionKind,
    PaymentMethodKind,
    PaymentMethodStatus,
    ProviderCapability,
    ProviderName,
    WalletKind,
)
from app.vault.frozen_dataclass import value
from app.vault.secret import Secret


@dataclass(frozen=True, slots=True, order=True)
class Expiry:
    """Valid through the last day of this month. `text` is ``YYYY-MM``, needed for every card of every response."""

    year: int
    month: int
    text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (1 <= self.month <= 12 and 1900 <= self.year <= 9999):
            raise ValueError("not a month of a four-digit year")
        object.__setattr__(self, "text", f"{self.year:04d}-{self.month:02d}")

    def __str__(self) -> str:
        return self.text


@value(frozen=True, slots=True, kw_only=True)
class Address:
    """`country` is ISO 3166-1 alpha-2; adapters convert."""

    line1: str | None = None
    line2: str | None = None
    city: str | None = None
    region: str | None = None
    postal_code: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True)
class PersonName:
    """Either part may be empty."""

    first: str = ""
    last: str = ""

    def __str__(self) -> str:
        return f"{self.first} {self.last}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressLabels:
    """What some vaults keep about an address. `name` is the customer's own, e.g. Work. None: not said."""

    type: AddressType | None = None
    name: str | None = None
    is_primary: bool | None = None
    recipient: PersonName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAddress:
    """An address that a vault keeps of a customer. `ref` is the vault's id of it. `is_active` None: not said."""

    ref: str
    address: Address
    labels: AddressLabels
    is_active: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """`number` is without the dialling prefix, `dialling_prefix` without "+"; both as the vault keeps them."""

    number: str
    dialling_prefix: str | None = None
    type: str | None = None
    is_default: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    address: str
    type: str | None = None
    is_default: bool | None = None


@value(frozen=True, slots=True, kw_only=True)
class VaultProfile:
    """What a vault keeps of a customer besides payment methods. A list is None if it cannot be read.

    `card_on_file_reference` names the agreement under which the customer's cards are stored. `created_at` and
    `updated_at` are the record's, which any change of the customer or a method renews.
    """

    addresses: tuple[StoredAddress, ...] | None = ()
    phones: tuple[Phone, ...] | None = ()
    emails: tuple[Email, ...] | None = ()
    card_on_file_reference: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextAction:
    """What the shopper must do next. `client_token` is a browser credential: returned once, never logged."""

    kind: NextActionKind
    url: str | None = None
    client_token: Secret | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class ThreeDSecure:
    """The last known 3-D Secure result of one card. `raw_status` is the vault's value.

    `transaction_id`, `response_code`, `response_message` and `host_message` are the vault's words about the attempt, if
    it says any; `host_message` comes from the issuer, the network or the processor. `authenticated_at` is when the
    attempt was made, whatever its result.
    """

    status: AuthStatus
    purpose: AuthPurpose | None = None
    raw_status: str | None = None
    authentication_id: str | None = None
    authenticated_at: datetime | None = None
    next_action: NextAction | None = None
    transaction_id: str | None = None
    response_code: str | None = None
    response_message: str | None = None
    host_message: str | None = None


@value(frozen=True, slots=True, kw_only=True)
class MethodBase:
    """Fields of every stored payment method. `status` is the vault's; expiry is evaluated later.

    `is_provider_default` is None if the vault has no default. `title` is its label, if any. `address_ref` is the
    vault's id of the method's address, of any type; `billing_address` is set only if it is one for bills.
    """

    provider: ProviderName
    customer_ref: CustomerRef
    method_ref: MethodRef
    status: PaymentMethodStatus = PaymentMethodStatus.ACTIVE
    status_detail: str | None = None
    title: str | None = None
    holder_name: str | None = None
    last4: str | None = None
    billing_address: Address | None = None
    address_ref: str | None = None
    is_provider_default: bool | None = None
    is_secondary: bool | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@value(frozen=True, slots=True, kw_only=True)
class Card(MethodBase):
    """`bin` is the leading 6 or 8 digits. `processor` is the payment provider behind the vault, which issued the
    token. `three_d_secure` is set only if the list reply contained it.

    `has_unreadable_expiry`: the vault sent an expiry that cannot be parsed. Otherwise an `expiry` of None means that it
    sent none.
    """

    brand: CardBrand = CardBrand.UNKNOWN
    funding: CardFunding | None = None
    token_type: CardTokenType = CardTokenType.PROVIDER_TOKEN
    wallet: WalletKind | None = None
    expiry: Expiry | None = None
    has_unreadable_expiry: bool = False
    bin: str | None = None
    processor: str | None = None
    three_d_secure: ThreeDSecure | None = None

    @property
    def kind(self) -> PaymentMethodKind:
        return PaymentMethodKind.CARD


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """The account holder's agreement to direct debits. `mandate_type` and `reference` are the vault's words.

    `mandate_id` is the merchant's; `reference` is the number that the vault gave it.
    """

    mandate_id: str
    mandate_type: str | None = None
    signed_on: date | None = None
    reference: str | None = None


@value(frozen=True, slots=True, kw_only=True)
class BankAccount(MethodBase):
    """`mandates` is None if the vault keeps none for accounts of this rail, or they cannot be read."""

    rail: BankRail = BankRail.OTHER
    account_type: BankAccountType | None = None
    bank_name: str | None = None
    verification: BankVerification = BankVerification.UNKNOWN
    mandates: tuple[Mandate, ...] | None = None

    @property
    def kind(self) -> PaymentMethodKind:
        return PaymentMethodKind.BANK_ACCOUNT


@value(frozen=True, slots=True, kw_only=True)
class OtherMethod(MethodBase):
    """A payment method of an unsupported kind; `provider_kind` is the vault's name for it."""

    provider_kind: str

    @property
    def kind(self) -> PaymentMethodKind:
        return PaymentMethodKind.OTHER


PaymentMethod = Card | BankAccount | OtherMethod


@dataclass(slots=True, eq=False)
class ReplyDigest:
    """Identifies what a vault's replies say, by the digest of the last reply's bytes. Compared by identity.

    `recorded_at` is when a list read from such a reply was last recorded, on the event loop's clock.
    """

    digest: bytes = field(repr=False)
    recorded_at: float = field(default=float("-inf"), repr=False)


@value(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class VaultWallet:
    """All payment methods of one customer in one vault at one time, including INACTIVE ones.

    `skipped` counts records that could not be read; `truncated`: the vault has more than it returned. `reply` is set if
    the wallet was read from a single reply, and stays the same object while replies say the same. `profile` is
    None for a vault that keeps none (capability `keeps_profiles`).
    """

    provider: ProviderName
    customer_ref: CustomerRef
    methods: tuple[PaymentMethod, ...]
    skipped: int = 0
    truncated: bool = False
    provider_request_id: str | None = None
    profile: VaultProfile | None = None
    reply: "ReplyDigest | None" = field(default=None, repr=False, compare=False)


# ---- writes ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BrowserInfo:
    """The cardholder's browser, as EMV 3-D Secure describes it. Sizes are in pixels, `color_depth` in bits.

    `time_zone` and `challenge_window_size` are in the vault's words. Personal data: sent to the vault, never stored.
    """

    accept_header: str | None = None
    user_agent: str | None = None
    language: str | None = None
    screen_height: int | None = None
    screen_width: int | None = None
    color_depth: int | None = None
    time_zone: str | None = None
    java_enabled: bool | None = None
    java_script_enabled: bool | None = None
    challenge_window_size: str | None = None
    ip_address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticate:
    """Request 3-D Secure authentication when adding the card. With the browser the issuer may need no challenge."""

    return_url: str
    challenge: ChallengePreference = ChallengePreference.NO_PREFERENCE
    browser_info: BrowserInfo | None = field(default=None, metadata=ADDED_LATER)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WalletBundle:
    """What Apple Pay, Google Pay or Paze sends with its encrypted payload, which is the card's `secret`."""

    ephemeral_public_key: str | None = None
    public_key_hash: str | None = None
    transaction_id: str | None = None
    application_data: str | None = None
    protocol_version: str | None = None
    signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCard:
    """A card to store. `secret` is the vault's token, a network token or, for RAW_CARD only, the card number.

    `replace_existing`: the vault may replace all of the customer's methods by this card, if it cannot do otherwise.
    `address_labels` belong to the billing address. `active` None: as the vault stores a new method, ACTIVE. For
    WALLET_PAYLOAD, `secret` is the payload and `wallet` its origin; the vault reads everything else from the payload.
    """

    provider: ProviderName
    route: AddRoute
    secret: Secret
    brand: CardBrand | None = None
    expiry: Expiry | None = None
    last4: str | None = None
    bin: str | None = None
    masked_card_number: str | None = None
    holder_name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    token_type: CardTokenType = CardTokenType.PROVIDER_TOKEN
    payment_provider: StrEnum | None = None
    title: str | None = None
    is_secondary: bool | None = None
    billing_address: Address | None = None
    address_labels: AddressLabels | None = field(default=None, metadata=ADDED_LATER)
    active: bool | None = field(default=None, metadata=ADDED_LATER)
    replace_existing: bool | None = field(default=None, metadata=ADDED_LATER)
    authenticate: Authenticate | None = None
    wallet: WalletKind | None = field(default=None, metadata=ADDED_LATER)
    bundle: WalletBundle | None = field(default=None, metadata=ADDED_LATER)

    @property
    def kind(self) -> PaymentMethodKind:
        return PaymentMethodKind.CARD


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBankAccount:
    """A bank account to store. `secret` is a token, an account number (ACH, BACS) or an IBAN (SEPA).

    `address_labels` and `active` as for `NewCard`.
    """

    provider: ProviderName
    route: AddRoute
    secret: Secret
    rail: BankRail = BankRail.ACH
    account_type: BankAccountType | None = None
    last4: str | None = None
    routing_number: str | None = None
    bic: str | None = None
    sort_code: str | None = None
    mandate_id: str | None = None
    mandate_signed_on: str | None = None
    holder_name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    title: str | None = None
    is_secondary: bool | None = None
    billing_address: Address | None = None
    address_labels: AddressLabels | None = field(default=None, metadata=ADDED_LATER)
    active: bool | None = field(default=None, metadata=ADDED_LATER)

    @property
    def kind(self) -> PaymentMethodKind:
        return PaymentMethodKind.BANK_ACCOUNT


NewMethod = NewCard | NewBankAccount


def holder_of(new: NewMethod) -> str | None:
    """The holder as one string: as given, else joined from its parts."""
    return new.holder_name or " ".join(part for part in (new.first_name, new.last_name) if part) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCustomer:
    """A customer to create. `external_id` is the caller's key, also stored at the vault if it supports one."""

    external_id: str
    name: PersonName
    business_name: str | None = None
    email: str | None = None
    phone: str | None = None
    address: Address | None = None
    address_labels: AddressLabels | None = None
    card_on_file_reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodChange:
    """Changes to a payment method; fields that are None stay unchanged."""

    expiry: Expiry | None = None
    holder: PersonName | None = None
    title: str | None = None
    billing_address: Address | None = None
    address_labels: AddressLabels | None = None
    active: bool | None = None
    is_secondary: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeAdd:
    """The vault's state just before an add, journalled so that the added method can be identified afterwards.

    `duplicate_of` is the active method with the same token, if the vault's list shows tokens.
    """

    method_refs: frozenset[MethodRef]
    duplicate_of: MethodRef | None = None
    default_ref: MethodRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """The result of an add. `customer_ref` differs from the caller's only if the vault created the customer."""

    customer_ref: CustomerRef
    method_ref: MethodRef
    next_action: NextAction | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The operations that a vault supports.

    `batch_limit` is the maximum number of customers per list call. `token_life_s` is how many seconds a browser token
    can be reused, for vaults whose lists do not show the token of a method. `hides_holder_names`: the vault takes the
    holder's name and never returns it, so the gateway keeps it. `keeps_profiles`: wallets have a `profile`, and what is
    said about an address is stored. `adds_inactive`: a new method may be stored as inactive. `add_limit` is how
    many methods one call adds (`BatchAddingVault`).
    """

    operations: frozenset[ProviderCapability]
    add_via: frozenset[AddRoute]
    batch_limit: int = 1
    creates_customers: bool = False
    creates_customer_with_method: bool = False
    erases_customers: bool = False
    finds_customers_by_external_id: bool = False
    deletes_softly: bool = False
    token_life_s: float | None = None
    titles_methods: bool = False
    imports_bank_accounts: bool = False
    keeps_profiles: bool = False
    adds_inactive: bool = False
    hides_holder_names: bool = False
    add_limit: int = 1
