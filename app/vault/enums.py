"""Enums of the unified model, independent of the GraphQL framework."""

from enum import StrEnum
from typing import NewType

from app.providers import provider_entries

CustomerRef = NewType("CustomerRef", str)
"""A vault's key of one customer. Clients see it only inside opaque ids."""
MethodRef = NewType("MethodRef", str)
"""A vault's key of one payment method, unique only together with its customer ref."""


class ProviderName(StrEnum):
    """The registered vaults: one upper-case member each, in order of registration.

    The value is the name in settings, the sandbox and URLs. Raises ValueError for an unregistered name.
    """

    vars().update({_name.upper(): _name for _name in provider_entries()})


class PaymentMethodKind(StrEnum):
    CARD = "CARD"
    BANK_ACCOUNT = "BANK_ACCOUNT"
    OTHER = "OTHER"


class AddressType(StrEnum):
    BILLING = "BILLING"
    SHIPPING = "SHIPPING"
    OTHER = "OTHER"


class PaymentMethodStatus(StrEnum):
    ACTIVE = "ACTIVE"
    PENDING = "PENDING"
    INACTIVE = "INACTIVE"
    EXPIRED = "EXPIRED"
    SUSPENDED = "SUSPENDED"
    VERIFICATION_FAILED = "VERIFICATION_FAILED"
    DELETED = "DELETED"
    UNKNOWN = "UNKNOWN"


class RequestedStatus(StrEnum):
    """The statuses that a caller can set."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class CardBrand(StrEnum):
    VISA = "VISA"
    MASTERCARD = "MASTERCARD"
    AMEX = "AMEX"
    DISCOVER = "DISCOVER"
    JCB = "JCB"
    DINERS = "DINERS"
    UNIONPAY = "UNIONPAY"
    OTHER = "OTHER"
    UNKNOWN = "UNKNOWN"


class CardFunding(StrEnum):
    CREDIT = "CREDIT"
    DEBIT = "DEBIT"
    PREPAID = "PREPAID"
    UNKNOWN = "UNKNOWN"


class CardTokenType(StrEnum):
    PROVIDER_TOKEN = "PROVIDER_TOKEN"  # noqa: S105 - a kind of token, not one
    NETWORK_TOKEN = "NETWORK_TOKEN"  # noqa: S105
    DEVICE_TOKEN = "DEVICE_TOKEN"  # noqa: S105


class WalletKind(StrEnum):
    APPLE_PAY = "APPLE_PAY"
    GOOGLE_PAY = "GOOGLE_PAY"
    PAZE = "PAZE"
    OTHER = "OTHER"


class ExpiryState(StrEnum):
    VALID = "VALID"
    EXPIRING_SOON = "EXPIRING_SOON"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"


class BankRail(StrEnum):
    ACH = "ACH"
    SEPA = "SEPA"
    BACS = "BACS"
    OTHER = "OTHER"


class BankAccountType(StrEnum):
    CHECKING = "CHECKING"
    SAVINGS = "SAVINGS"
    CORPORATE_CHECKING = "CORPORATE_CHECKING"
    UNKNOWN = "UNKNOWN"


class BankVerification(StrEnum):
    NOT_VERIFIED = "NOT_VERIFIED"
    PENDING = "PENDING"
    VERIFIED = "VERIFIED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


class AuthStatus(StrEnum):
    AUTHENTICATED = "AUTHENTICATED"
    ATTEMPTED = "ATTEMPTED"
    CHALLENGE_REQUIRED = "CHALLENGE_REQUIRED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    UNAVAILABLE = "UNAVAILABLE"
    INFORMATIONAL = "INFORMATIONAL"
    NOT_PERFORMED = "NOT_PERFORMED"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    UNKNOWN = "UNKNOWN"


class AuthPurpose(StrEnum):
    ADD_CARD = "ADD_CARD"
    MAINTAIN_CARD = "MAINTAIN_CARD"
    PAYMENT = "PAYMENT"
    RECURRING = "RECURRING"
    OTHER = "OTHER"


class SourceState(StrEnum):
    OK = "OK"
    PARTIAL = "PARTIAL"
    STALE = "STALE"
    TIMEOUT = "TIMEOUT"
    UNAVAILABLE = "UNAVAILABLE"
    THROTTLED = "THROTTLED"
    UNAUTHORIZED = "UNAUTHORIZED"
    CIRCUIT_OPEN = "CIRCUIT_OPEN"
    NOT_LINKED = "NOT_LINKED"
    CUSTOMER_NOT_FOUND = "CUSTOMER_NOT_FOUND"
    DISABLED = "DISABLED"
    SKIPPED = "SKIPPED"


class DefaultState(StrEnum):
    RESOLVED = "RESOLVED"
    NONE = "NONE"
    UNKNOWN = "UNKNOWN"


class DefaultReason(StrEnum):
    EXPLICIT_CHOICE = "EXPLICIT_CHOICE"
    KEPT = "KEPT"
    ONLY_USABLE_METHOD = "ONLY_USABLE_METHOD"
    ONLY_PROVIDER_DEFAULT = "ONLY_PROVIDER_DEFAULT"
    PROVIDER_PRECEDENCE = "PROVIDER_PRECEDENCE"


class UsableFor(StrEnum):
    PAY = "PAY"


class CircuitState(StrEnum):
    CLOSED = "CLOSED"
    HALF_OPEN = "HALF_OPEN"
    OPEN = "OPEN"


class ProviderCapability(StrEnum):
    LIST = "LIST"
    ADD = "ADD"
    UPDATE_EXPIRY = "UPDATE_EXPIRY"
    UPDATE_HOLDER = "UPDATE_HOLDER"
    UPDATE_STATUS = "UPDATE_STATUS"
    UPDATE_SECONDARY = "UPDATE_SECONDARY"
    UPDATE_BILLING = "UPDATE_BILLING"
    SET_DEFAULT = "SET_DEFAULT"
    DELETE = "DELETE"
    IMPORT = "IMPORT"
    PAY = "PAY"
    HOSTED_SESSION = "HOSTED_SESSION"
    THREE_D_SECURE = "THREE_D_SECURE"
    WEBHOOKS = "WEBHOOKS"
    IDEMPOTENT_WRITES = "IDEMPOTENT_WRITES"


class AddRoute(StrEnum):
    PROVIDER_TOKEN = "PROVIDER_TOKEN"  # noqa: S105
    HOSTED_SESSION = "HOSTED_SESSION"
    NETWORK_TOKEN = "NETWORK_TOKEN"  # noqa: S105
    BANK_ACCOUNT = "BANK_ACCOUNT"
    RAW_CARD = "RAW_CARD"
    WALLET_PAYLOAD = "WALLET_PAYLOAD"


class NextActionKind(StrEnum):
    REDIRECT = "REDIRECT"
    EMBED = "EMBED"
    CHALLENGE = "CHALLENGE"
    POLL = "POLL"


class LinkProof(StrEnum):
    TRUSTED_BACKEND = "TRUSTED_BACKEND"
    HOSTED_SESSION = "HOSTED_SESSION"
    CREATED_BY_GATEWAY = "CREATED_BY_GATEWAY"
    MICRO_CHALLENGE = "MICRO_CHALLENGE"


class ChallengePreference(StrEnum):
    NO_PREFERENCE = "NO_PREFERENCE"
    NO_CHALLENGE = "NO_CHALLENGE"
    CHALLENGE_REQUESTED = "CHALLENGE_REQUESTED"
    CHALLENGE_MANDATE = "CHALLENGE_MANDATE"
