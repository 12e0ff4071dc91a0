"""The closed vocabularies of `app.vault.names`, registered as GraphQL enums."""

from enum import Enum
from typing import Final

import strawberry

from app.store.records import OperationState, WriteOutcome
from app.vault import names
from app.vault.rules.order import PaymentMethodOrder
from app.wallet.commands import IfDefault, OnDuplicate
from app.wallet.problems import ProblemCode

_DESCRIPTIONS: Final[dict[type[Enum], str]] = {
    names.ProviderName: "The vaults. Open enum: clients must tolerate values added later.",
    names.PaymentMethodKind: "What kind of means to pay it is.",
    names.PaymentMethodStatus: "ACTIVE and not expired is what can pay. INACTIVE ones are listed only when asked for.",
    names.CardBrand: "The card network; OTHER is one we do not name, UNKNOWN one that the vault does not tell.",
    names.CardFunding: "What stands behind the card.",
    names.CardTokenType: "What the vault keeps in the card number's place.",
    names.WalletKind: "The device or web wallet that the card came from.",
    names.ExpiryState: "A card is good through the last day of its month, in the time zone where that day ends last.",
    names.BankRail: "The network that debits the account.",
    names.BankAccountType: "What kind of bank account it is.",
    names.BankVerification: "Whether the account was found to exist and to be the customer's.",
    names.AuthStatus: "The last known 3-D Secure result; NOT_APPLICABLE where the vault or the method has none.",
    names.AuthPurpose: "What the cardholder was authenticated for.",
    names.SourceState: "How a vault's part of the answer came about. CUSTOMER_NOT_FOUND: the vault answered that it "
    "does not know the linked customer, and so holds nothing.",
    names.DefaultState: "NONE: nothing is chosen and no rule finds one, or what is chosen cannot be used or is not in "
    "its vault's list. UNKNOWN: a vault that could change the answer did not answer in full.",
    names.DefaultReason: "Which rule found the effective default. KEPT: it was the default by another rule when "
    "a method was added, and stays it.",
    names.UsableFor: "What a method must be good for. PAY: usable, and at a vault that pays with stored methods.",
    names.CircuitState: "OPEN: the vault is not called for a moment, because too many calls failed.",
    names.ProviderCapability: "What a vault can really do.",
    names.AddRoute: "By which way a method can be added to a vault.",
    names.NextActionKind: "What the shopper must do next.",
    names.LinkProof: "Why we believe that a vault's customer is ours.",
    names.ChallengePreference: "Whether the cardholder should be challenged.",
    OperationState: "PARTIAL: done at some vaults. UNKNOWN: sent, and not yet known whether it was applied.",
    WriteOutcome: "Whether a vault applied a write.",
    OnDuplicate: "Duplicate: the same vault, the same token. Look-alikes only warn; REJECT refuses those in the same "
    "vault too.",
    IfDefault: "What to do where the method is the effective default.",
    ProblemCode: "What is wrong, for programs. Open enum: clients must tolerate values added later.",
    PaymentMethodOrder: "DEFAULT_FIRST: the effective default, then vault by vault.",
}
_NAMES: Final[dict[type[Enum], str]] = {names.ProviderName: "Provider", ProblemCode: "ErrorCode"}

for _enum, _description in _DESCRIPTIONS.items():
    strawberry.enum(_enum, name=_NAMES.get(_enum, _enum.__name__), description=_description)
