"""Tokens that a browser got from a vault's own page: the number itself never passes through here."""

import strawberry

from app.vault.model import Address, Expiry, NewBankAccount, NewCard, NewMethod
from app.vault.names import (
    AddRoute,
    AlohaPaymentProvider,
    BankAccountType,
    BankRail,
    CardBrand,
    PaymentMethodKind,
    ProviderName,
)
from app.vault.rules.text import tidy
from app.vault.secret import Secret
from app.wallet.problems import Problem, ProblemCode
from resolvers.inputs.fields import given, optional, sensitive, text, words
from resolvers.scalars import Last4

Path = tuple[str, ...]


@strawberry.input(description="LoanPro: a Secure Payments (Adaptive Wallet) token.")
class LoanProTokenInput:
    token: Secret = sensitive()
    kind: PaymentMethodKind = strawberry.field(description="CARD or BANK_ACCOUNT.")
    account_type: BankAccountType | None = optional("For a BANK_ACCOUNT.")
    title: str | None = text(is_optional=True, description="What LoanPro calls the profile; else the nickname.")
    is_secondary: bool | None = optional()

    def problems(self, path: Path) -> list[Problem]:
        if self.kind is PaymentMethodKind.OTHER:
            return [_invalid((*path, "kind"), "LoanPro stores cards and bank accounts.")]
        if self.kind is PaymentMethodKind.CARD and given(self.account_type) is not None:
            return [_invalid((*path, "account_type"), "A card has no account type.")]
        return []

    def to_new(self, billing: Address | None) -> NewMethod:
        if self.kind is PaymentMethodKind.BANK_ACCOUNT:
            return NewBankAccount(
                provider=ProviderName("loanpro"),
                route=AddRoute.PROVIDER_TOKEN,
                secret=self.token,
                account_type=given(self.account_type),
                title=words(self.title),
                is_secondary=given(self.is_secondary),
                billing_address=billing,
            )
        return NewCard(
            provider=ProviderName("loanpro"),
            route=AddRoute.PROVIDER_TOKEN,
            secret=self.token,
            title=words(self.title),
            is_secondary=given(self.is_secondary),
            billing_address=billing,
        )


@strawberry.input(description="NCR Aloha: a Connected Payments, CreditCall or FreedomPay token.")
class AlohaTokenInput:
    payment_provider: AlohaPaymentProvider
    token: Secret = sensitive()
    masked_card_number: str = text(
        description="First six, mask characters, last four, for CONNECTED_PAYMENTS.", max_length=64
    )
    expiry: Expiry
    brand: CardBrand
    holder_name: str | None = text(is_optional=True, description="Required for FREEDOM_PAY.")

    def to_new(self, billing: Address | None) -> NewMethod:
        masked = self.masked_card_number.strip()
        return NewCard(
            provider=ProviderName("aloha"),
            route=AddRoute.PROVIDER_TOKEN,
            secret=self.token,
            payment_provider=self.payment_provider,
            masked_card_number=masked,
            last4=masked[-4:] if masked[-4:].isdecimal() else None,
            expiry=self.expiry,
            brand=self.brand,
            holder_name=words(self.holder_name),
            billing_address=billing,
        )


@strawberry.input(description="A card that Caselle's page captured.")
class CaselleCardInput:
    fingerprint: Secret = sensitive()
    last4: Last4
    expiry: Expiry
    bin: str = text(max_length=8)
    brand: CardBrand
    holder_name: str = text()

    def to_new(self, billing: Address | None) -> NewMethod:
        return NewCard(
            provider=ProviderName("caselle"),
            route=AddRoute.PROVIDER_TOKEN,
            secret=self.fingerprint,
            last4=self.last4,
            expiry=self.expiry,
            bin=self.bin.strip(),
            brand=self.brand,
            holder_name=tidy(self.holder_name),
            billing_address=billing,
        )


@strawberry.input(description="A bank account that Caselle's page captured.")
class CaselleAchInput:
    fingerprint: Secret = sensitive()
    last4: Last4
    routing_number: str = text(max_length=32)
    account_type: BankAccountType
    holder_name: str = text()

    def to_new(self, billing: Address | None) -> NewMethod:
        return NewBankAccount(
            provider=ProviderName("caselle"),
            route=AddRoute.PROVIDER_TOKEN,
            secret=self.fingerprint,
            rail=BankRail.ACH,
            last4=self.last4,
            routing_number=self.routing_number.strip(),
            account_type=self.account_type,
            holder_name=tidy(self.holder_name),
            billing_address=billing,
        )


@strawberry.input(one_of=True, description="Caselle: the browser's 15-minute token.")
class CaselleTokenInput:
    card: CaselleCardInput | None = optional()
    ach: CaselleAchInput | None = optional()


def _invalid(path: Path, message: str) -> Problem:
    return Problem(code=ProblemCode.INVALID_INPUT, message=message, path=path)
