"""Label of a payment method: safe to show and to log, the same for all vaults."""

from collections.abc import Mapping
from typing import Final

from app.vault.enums import BankAccountType, CardBrand
from app.vault.model import BankAccount, Card, PaymentMethod

_BRANDS: Final = {
    CardBrand.VISA: "Visa",
    CardBrand.MASTERCARD: "Mastercard",
    CardBrand.AMEX: "American Express",
    CardBrand.DISCOVER: "Discover",
    CardBrand.JCB: "JCB",
    CardBrand.DINERS: "Diners Club",
    CardBrand.UNIONPAY: "UnionPay",
}
_ACCOUNTS: Final[Mapping[BankAccountType | None, str]] = {
    BankAccountType.CHECKING: "Checking account",
    BankAccountType.SAVINGS: "Savings account",
    BankAccountType.CORPORATE_CHECKING: "Corporate checking account",
}


def label_of(method: PaymentMethod) -> str:
    """For example ``Visa ending 4242``. Contains no free text from a vault."""
    kind = "Payment method"
    if isinstance(method, Card):
        kind = _BRANDS.get(method.brand, "Card")
    elif isinstance(method, BankAccount):
        kind = _ACCOUNTS.get(method.account_type, "Bank account")
    return f"{kind} ending {method.last4}" if method.last4 else kind
