"""Registers the enums of `app.vault.enums` and others as GraphQL enums, with a description of every value."""

from typing import Final

from app.providers.registry import specs
from app.store.records import OperationState, WriteOutcome
from app.vault import enums
from app.vault.rules.order import PaymentMethodOrder
from app.wallet.commands import IfDefault, MergedCustomer, OnDuplicate
from app.wallet.problems import ProblemCode
from resolvers.enums import register

_OPEN: Final = "Open enum: clients must tolerate values added later."

register(
    enums.ProviderName,
    f"The vaults. {_OPEN}",
    {name.name: f"{spec.display_name}." for name, spec in specs().items()},
    name="Provider",
)
register(
    enums.AddressType,
    "What an address is for.",
    {
        "BILLING": "For bills: what a card's issuer compares.",
        "SHIPPING": "For deliveries.",
        "OTHER": "A use without a name here.",
    },
)
register(
    MergedCustomer,
    "One of the two customers of a merge.",
    {"FROM": "The customer that ends.", "INTO": "The customer that stays."},
)
register(
    enums.PaymentMethodKind,
    "The kind of payment method.",
    {
        "CARD": "A payment card.",
        "BANK_ACCOUNT": "A bank account that can be debited.",
        "OTHER": "A kind without a name here: see `OtherMethod.providerKind`.",
    },
)
register(
    enums.RequestedStatus,
    "A status that a caller can set.",
    {"ACTIVE": "It may be used.", "INACTIVE": "It is kept and not used: listed only on request, never the default."},
)
register(
    enums.PaymentMethodStatus,
    "Only ACTIVE, unexpired methods can pay. INACTIVE ones are listed only on request.",
    {
        "ACTIVE": "It can pay, unless it is a card that has expired.",
        "PENDING": "The vault has not finished adding or verifying it.",
        "INACTIVE": "It was switched off and can be switched on again.",
        "EXPIRED": "The vault reports that it has expired.",
        "SUSPENDED": "The vault or the bank has blocked it for now.",
        "VERIFICATION_FAILED": "Verification failed: it cannot pay.",
        "DELETED": "It was deleted, and its vault still lists it.",
        "UNKNOWN": "The vault reported a status that the gateway does not know: it cannot pay.",
    },
)
register(
    enums.CardBrand,
    "The card network.",
    {
        "VISA": "Visa.",
        "MASTERCARD": "Mastercard.",
        "AMEX": "American Express.",
        "DISCOVER": "Discover.",
        "JCB": "JCB.",
        "DINERS": "Diners Club.",
        "UNIONPAY": "UnionPay.",
        "OTHER": "A network without a name here.",
        "UNKNOWN": "The vault did not return the network.",
    },
)
register(
    enums.CardFunding,
    "The card's source of funds.",
    {
        "CREDIT": "A credit card.",
        "DEBIT": "A debit card.",
        "PREPAID": "A prepaid card.",
        "UNKNOWN": "The vault returned a value that the gateway does not know.",
    },
)
register(
    enums.CardTokenType,
    "The kind of token that the vault stores for the card number.",
    {
        "PROVIDER_TOKEN": "A token of the vault, valid there only.",
        "NETWORK_TOKEN": "A number that the card network issued for this merchant.",
        "DEVICE_TOKEN": "A number that the card network issued for a phone or another device.",
    },
)
register(
    enums.WalletKind,
    "The device or web wallet that the card came from.",
    {"APPLE_PAY": "Apple Pay.", "GOOGLE_PAY": "Google Pay.", "PAZE": "Paze.", "OTHER": "A wallet without a name here."},
)
register(
    enums.ExpiryState,
    "A card is valid through the last day of its month, in the time zone where that day ends last.",
    {
        "VALID": "Valid, and not expiring soon.",
        "EXPIRING_SOON": "Valid, and expiring within the days that the operator has set.",
        "EXPIRED": "The last day of its month has passed everywhere.",
        "UNKNOWN": "No expiry, or one that cannot be read.",
    },
)
register(
    enums.BankRail,
    "The network that debits the account.",
    {
        "ACH": "ACH, in the United States.",
        "SEPA": "SEPA direct debit, in euros.",
        "BACS": "Bacs direct debit, in the United Kingdom.",
        "OTHER": "A network without a name here.",
    },
)
register(
    enums.BankAccountType,
    "The kind of bank account.",
    {
        "CHECKING": "A checking or current account.",
        "SAVINGS": "A savings account.",
        "CORPORATE_CHECKING": "A checking account of a business.",
        "UNKNOWN": "The vault returned a value that the gateway does not know.",
    },
)
register(
    enums.BankVerification,
    "Whether the account was verified to exist and to be the customer's.",
    {
        "NOT_VERIFIED": "It was not verified.",
        "PENDING": "Verification has started and is not finished.",
        "VERIFIED": "Verified.",
        "FAILED": "Verification failed.",
        "UNKNOWN": "The vault does not say, or returned a value that the gateway does not know.",
    },
)
register(
    enums.AuthStatus,
    "The last known 3-D Secure result.",
    {
        "AUTHENTICATED": "The issuer authenticated the cardholder.",
        "ATTEMPTED": "Authentication was attempted; the issuer or the card takes no part in it.",
        "CHALLENGE_REQUIRED": "The cardholder must complete a challenge: see `threeDSecure.nextAction`.",
        "FAILED": "The cardholder was not authenticated.",
        "REJECTED": "The issuer rejected authentication: do not try to authorize.",
        "UNAVAILABLE": "Authentication could not be performed, for technical or other reasons.",
        "INFORMATIONAL": "Only data was passed to the issuer, without a decision.",
        "NOT_PERFORMED": "The cardholder was never authenticated.",
        "NOT_APPLICABLE": "The vault or the method has no 3-D Secure.",
        "UNKNOWN": "The vault could not report it, or reported something that the gateway does not know.",
    },
)
register(
    enums.AuthPurpose,
    "What the cardholder was authenticated for.",
    {
        "ADD_CARD": "To add the card.",
        "MAINTAIN_CARD": "To keep the card stored, or to change it.",
        "PAYMENT": "To pay once.",
        "RECURRING": "To pay repeatedly.",
        "OTHER": "A purpose without a name here.",
    },
)
register(
    enums.SourceState,
    "How a vault was read.",
    {
        "OK": "Read completely.",
        "PARTIAL": "Read, but the list is not complete: see `skippedCount` and `truncated`.",
        "STALE": "It could not be read; its last known data is shown.",
        "TIMEOUT": "It did not answer in time.",
        "UNAVAILABLE": "It could not be reached, or its answer was an error or not understood.",
        "THROTTLED": "It refused the call because there were too many.",
        "UNAUTHORIZED": "It refused the operator's credentials.",
        "CIRCUIT_OPEN": "It was not called, because too many calls have failed: see `providers { circuit }`.",
        "NOT_LINKED": "This customer is not linked to it.",
        "CUSTOMER_NOT_FOUND": "It answered that it does not know the linked customer, so it has no methods.",
        "DISABLED": "The operator has not set it up.",
        "SKIPPED": "No selected field needs it, so it was not called.",
    },
)
register(
    enums.DefaultState,
    "Whether there is an effective default.",
    {
        "RESOLVED": "There is one.",
        "NONE": "None is set and no rule determines one, or the one set is unusable or missing from its vault's list.",
        "UNKNOWN": "A vault that could change the result did not answer in full.",
    },
)
register(
    enums.DefaultReason,
    "The rule that determined the effective default.",
    {
        "EXPLICIT_CHOICE": "It was set as the default.",
        "KEPT": "It was the default by another rule when a method was added, and remains it.",
        "ONLY_USABLE_METHOD": "No other method can pay.",
        "ONLY_PROVIDER_DEFAULT": "It is the only method that is the default in its vault.",
        "PROVIDER_PRECEDENCE": "Of several vaults' defaults, this one's vault comes first in the operator's order.",
    },
)
register(
    enums.UsableFor,
    "What a method must be usable for.",
    {"PAY": "Paying: it can be used now, and its vault pays with stored methods."},
)
register(
    enums.CircuitState,
    "Whether the gateway calls a vault.",
    {
        "CLOSED": "It is called.",
        "HALF_OPEN": "One call is made to see whether it answers again.",
        "OPEN": "It is not called for a while, because too many calls failed.",
    },
)
register(
    enums.ProviderCapability,
    "What a vault can do, without emulation.",
    {
        "LIST": "List a customer's methods.",
        "ADD": "Add a method.",
        "UPDATE_EXPIRY": "Change a card's expiry.",
        "UPDATE_HOLDER": "Change the holder's name.",
        "UPDATE_STATUS": "Switch a method off and on.",
        "UPDATE_SECONDARY": "Mark a method as one to try second.",
        "UPDATE_BILLING": "Change the billing address.",
        "SET_DEFAULT": "Keep a default of its own.",
        "DELETE": "Delete a method.",
        "IMPORT": "Take over a method by its processor's token.",
        "PAY": "Pay with a stored method.",
        "HOSTED_SESSION": "Show a page of its own on which the shopper enters the number.",
        "THREE_D_SECURE": "Authenticate the cardholder.",
        "WEBHOOKS": "Report changes by itself.",
        "IDEMPOTENT_WRITES": "Recognize a repeated write by its key.",
    },
)
register(
    enums.AddRoute,
    "How a method can be added to a vault.",
    {
        "PROVIDER_TOKEN": "By a token that the vault's form or script returned to a browser.",
        "HOSTED_SESSION": "On a page hosted by the vault.",
        "NETWORK_TOKEN": "By a number that the card network issued in place of the card number.",
        "BANK_ACCOUNT": "By the number of a bank account.",
        "RAW_CARD": "By the card number, if the operator allows it.",
        "WALLET_PAYLOAD": "By the encrypted payload of Apple Pay, Google Pay or Paze, which the vault decrypts.",
    },
)
register(
    enums.NextActionKind,
    "What the shopper must do next.",
    {
        "REDIRECT": "Open the address.",
        "EMBED": "Use the form at the address, embedded in a page.",
        "CHALLENGE": "Complete the issuer's challenge at the address.",
        "POLL": "Wait: ask again for the status.",
    },
)
register(
    enums.LinkProof,
    "The evidence that a vault's customer is this customer.",
    {
        "TRUSTED_BACKEND": "A trusted backend said so.",
        "HOSTED_SESSION": "The customer completed a session on the vault's page.",
        "CREATED_BY_GATEWAY": "The gateway created the vault's customer.",
        "MICRO_CHALLENGE": "The customer proved it, for example by the amount of a small debit.",
    },
)
register(
    enums.ChallengePreference,
    "Whether the cardholder should be challenged.",
    {
        "NO_PREFERENCE": "The issuer decides.",
        "NO_CHALLENGE": "Without a challenge, if the issuer agrees.",
        "CHALLENGE_REQUESTED": "With a challenge, if the issuer agrees.",
        "CHALLENGE_MANDATE": "With a challenge, because a rule demands it.",
    },
)
register(
    OperationState,
    "How far a write is.",
    {
        "PENDING": "Accepted; not finished.",
        "SUCCEEDED": "Applied.",
        "PARTIAL": "Applied at some vaults or for some rows: see `results`.",
        "FAILED": "Not applied.",
        "UNKNOWN": "Sent, but not known whether it was applied. The gateway keeps asking the vault.",
    },
)
register(
    WriteOutcome,
    "Whether a vault applied a write.",
    {
        "NOT_APPLIED": "It did not.",
        "APPLIED": "It did.",
        "UNKNOWN": "It is not known.",
    },
)
register(
    OnDuplicate,
    "What to do with a duplicate: a method with the same token in the same vault.",
    {
        "RETURN_EXISTING": "Return the existing one. A method that only looks the same causes a warning.",
        "REJECT": "Refuse it, and also a method that looks the same in the same vault.",
        "ALLOW": "Add it again, if the vault accepts it.",
    },
)
register(
    IfDefault,
    "What to do if the method is the effective default.",
    {"ALLOW": "Delete it nevertheless.", "REJECT": "Refuse with METHOD_IN_USE."},
)
register(
    PaymentMethodOrder,
    "The order of payment methods.",
    {
        "DEFAULT_FIRST": "The effective default, then by vault.",
        "NEWEST_FIRST": "By the time of creation; methods without one come last.",
        "EXPIRING_FIRST": "Cards by their expiry, then all others.",
        "PROVIDER": "By vault.",
    },
)
register(
    ProblemCode,
    f"The machine-readable problem. {_OPEN}",
    {
        "INVALID_INPUT": "A value does not fit: `path` names it.",
        "REQUIRED": "A value is missing: `path` names it.",
        "NOT_FOUND": "The object does not exist, or the caller may not see it.",
        "NOT_LINKED": "The customer is not linked to this vault.",
        "LINK_CONFLICT": "The customer, or the vault's customer, already has another link.",
        "PAN_NOT_ALLOWED": "The field contains a card number, which may not be there.",
        "RAW_CARD_DISABLED": "The operator has not enabled card numbers.",
        "DUPLICATE": "The vault already has this method.",
        "STALE_ETAG": "The object has changed since it was read: read it again.",
        "METHOD_EXPIRED": "The card has expired.",
        "METHOD_NOT_USABLE": "The method cannot be used now: see its `status`.",
        "METHOD_IN_USE": "The method is the customer's default.",
        "DEFAULT_REQUIRED": "The customer has no default that can pay: set one, or name the method.",
        "DEFAULT_UNKNOWN": "Whether the method is the default cannot be determined now.",
        "UNSUPPORTED_BY_PROVIDER": "The vault cannot do this; it was not called.",
        "IDEMPOTENCY_KEY_REUSED": "The key belongs to another request: use a new one.",
        "IDEMPOTENCY_IN_PROGRESS": "A request with this key is still running: ask again with the same key.",
        "PROVIDER_UNAVAILABLE": "The vault could not be reached, or answered with an error.",
        "PROVIDER_TIMEOUT": "The vault did not answer in time.",
        "PROVIDER_THROTTLED": "The vault refused the call because there were too many.",
        "PROVIDER_REJECTED": "The vault refused the request: see `providerCode`.",
        "PROVIDER_AUTH": "The vault refused the operator's credentials.",
        "OUTCOME_UNKNOWN": "Sent, but not known whether it was applied: do not send it with a new key.",
        "STORE_UNAVAILABLE": "The gateway's store cannot be used now; no vault was called.",
        "PAYER_AUTHENTICATION_REQUIRED": "The payer must authenticate first: see `nextAction`.",
        "DECLINED": "The payment was declined: no money was taken.",
        "DEFAULT_NOT_MIRRORED": "The default was set here, but not in its vault.",
    },
    name="ErrorCode",
)
