"""Registers the enums of `app.vault.enums` and others as GraphQL enums."""

from enum import Enum
from typing import Final

import strawberry

from app.store.records import OperationState, WriteOutcome
from app.vault import enums
from app.vault.rules.order import PaymentMethodOrder
from app.wallet.commands import IfDefault, OnDuplicate
from app.wallet.problems import ProblemCode

_DESCRIPTIONS: Final[dict[type[Enum], str]] = {
    enums.ProviderName: "The vaults. Open enum: clients must tolerate values added later.",
    enums.PaymentMethodKind: "The kind of payment method.",
    enums.PaymentMethodStatus: "Only ACTIVE, unexpired methods can pay. INACTIVE ones are listed only on request.",
    enums.CardBrand: "The card network. OTHER: one without a name here. UNKNOWN: not reported by the vault.",
    enums.CardFunding: "The card's source of funds.",
    enums.CardTokenType: "The kind of token that the vault stores for the card number.",
    enums.WalletKind: "The device or web wallet that the card came from.",
    enums.ExpiryState: "A card is valid through the last day of its month, in the time zone where that day ends last.",
    enums.BankRail: "The network that debits the account.",
    enums.BankAccountType: "The kind of bank account.",
    enums.BankVerification: "Whether the account was verified to exist and to be the customer's.",
    enums.AuthStatus: "The last known 3-D Secure result; NOT_APPLICABLE if the vault or the method has none.",
    enums.AuthPurpose: "What the cardholder was authenticated for.",
    enums.SourceState: "How a vault was read. CUSTOMER_NOT_FOUND: the vault answered that it does not know the linked "
    "customer, so it has no methods.",
    enums.DefaultState: "NONE: none is set and no rule determines one, or the one set is unusable or missing from its "
    "vault's list. UNKNOWN: a vault that could change the result did not answer in full.",
    enums.DefaultReason: "The rule that determined the effective default. KEPT: it was the default by another rule "
    "when a method was added, and remains it.",
    enums.UsableFor: "What a method must be usable for. PAY: usable, and at a vault that pays with stored methods.",
    enums.CircuitState: "OPEN: the vault is not called for a while, because too many calls failed.",
    enums.ProviderCapability: "What a vault can do, without emulation.",
    enums.AddRoute: "How a method can be added to a vault.",
    enums.NextActionKind: "What the shopper must do next.",
    enums.LinkProof: "The evidence that a vault's customer is this customer.",
    enums.ChallengePreference: "Whether the cardholder should be challenged.",
    OperationState: "PARTIAL: done at some vaults. UNKNOWN: sent, but not known whether it was applied.",
    WriteOutcome: "Whether a vault applied a write.",
    OnDuplicate: "Duplicate: the same vault and the same token. Look-alikes only cause a warning; REJECT also refuses "
    "those in the same vault.",
    IfDefault: "What to do if the method is the effective default.",
    ProblemCode: "The machine-readable problem. Open enum: clients must tolerate values added later.",
    PaymentMethodOrder: "DEFAULT_FIRST: the effective default, then by vault. EXPIRING_FIRST: cards by "
    "their expiry, then all others. PROVIDER: by vault.",
}
_NAMES: Final[dict[type[Enum], str]] = {enums.ProviderName: "Provider", ProblemCode: "ErrorCode"}

for _enum, _description in _DESCRIPTIONS.items():
    strawberry.enum(_enum, name=_NAMES.get(_enum, _enum.__name__), description=_description)
