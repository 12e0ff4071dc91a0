"""GraphQL inputs of LoanPro: a token captured by a browser; the number itself never reaches the gateway."""

from collections.abc import Iterator
from typing import Final

import strawberry

from app.providers.loanpro.mapping import NAME
from app.providers.spec import AddInput
from app.vault.enums import AddRoute, BankAccountType, PaymentMethodKind
from app.vault.model import Address, NewBankAccount, NewCard, NewMethod
from app.vault.secret import Secret
from app.wallet.problems import WriteProblem, invalid
from resolvers.inputs.fields import given, optional, sensitive, text, words


@strawberry.input(description="LoanPro: a Secure Payments (Adaptive Wallet) token.")
class LoanProTokenInput:
    token: Secret = sensitive(description="The token that LoanPro's form returned to the browser.")
    kind: PaymentMethodKind = strawberry.field(description="CARD or BANK_ACCOUNT.")
    account_type: BankAccountType | None = optional("For a BANK_ACCOUNT.")
    title: str | None = text(is_optional=True, description="The profile's title in LoanPro; by default the nickname.")
    is_secondary: bool | None = optional("LoanPro's mark for a method to try second.")

    def own_problems(self, path: tuple[str, ...]) -> Iterator[WriteProblem]:
        if self.kind is PaymentMethodKind.OTHER:
            yield invalid("LoanPro stores cards and bank accounts.", *path, "kind")
        elif self.kind is PaymentMethodKind.CARD and given(self.account_type) is not None:
            yield invalid("A card has no account type.", *path, "account_type")

    def to_new(self, billing: Address | None) -> NewMethod:
        if self.kind is PaymentMethodKind.BANK_ACCOUNT:
            return NewBankAccount(
                provider=NAME,
                route=AddRoute.PROVIDER_TOKEN,
                secret=self.token,
                account_type=given(self.account_type),
                title=words(self.title),
                is_secondary=given(self.is_secondary),
                billing_address=billing,
            )
        return NewCard(
            provider=NAME,
            route=AddRoute.PROVIDER_TOKEN,
            secret=self.token,
            title=words(self.title),
            is_secondary=given(self.is_secondary),
            billing_address=billing,
        )


ADD_INPUTS: Final = (
    AddInput(
        "loanpro_token",
        LoanProTokenInput,
        "LoanPro: a Secure Payments (Adaptive Wallet) token, captured in the browser.",
    ),
)
