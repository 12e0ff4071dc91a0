"""A method's label: safe to show, safe to log, the same whichever vault it came from."""

from typing import Final

from app.vault.model import BankAccount, Card, PaymentMethod
from app.vault.names import BankAccountType, CardBrand

_BRANDS: Final = {
    CardBrand.VISA: "Visa",
    CardBrand.MASTERCARD: "Mastercard",
    CardBrand.AMEX: "American Express",
    CardBrand.DISCOVER: "Discover",
    CardBrand.JCB: "JCB",
    CardBrand.DINERS: "Diners Club",
    CardBrand.UNIONPAY: "UnionPay",
}
_ACCOUNTS: Final = {
    BankAccountType.CHECKING: "Checking account",
    BankAccountType.SAVINGS: "Savings account",
    BankAccountType.CORPORATE_CHECKING: "Corporate checking account",
}


def label_of(method: PaymentMethod) -> str:
    """``Visa ending 4242``. Made of our own words and the last four digits: no free text of a vault is in it."""
    what = _what(method)
    return f"{what} ending {method.last4}" if method.last4 else what


def _what(method: PaymentMethod) -> str:
    if isinstance(method, Card):
        return _BRANDS.get(method.brand, "Card")
    if isinstance(method, BankAccount):
        return _ACCOUNTS.get(method.account_type, "Bank account") if method.account_type else "Bank account"
    return "Payment method"
