"""Inputs for capture in a browser: on a page hosted by the vault, or in its form."""

from collections.abc import Iterator

import strawberry

from app.providers.registry import names_of_the_able
from app.vault.enums import BankAccountType, PaymentMethodKind, ProviderCapability, ProviderName
from app.wallet.commands import CreateHostedSession, SessionPurpose
from app.wallet.money import to_minor
from app.wallet.problems import WriteProblem, invalid
from resolvers.enums import register
from resolvers.inputs.fields import KEY, given, optional
from resolvers.inputs.payments import MoneyInput, amount_problems
from resolvers.scalars import URL, IdempotencyKey

_HOSTS = names_of_the_able(lambda can: ProviderCapability.HOSTED_SESSION in can.operations)

register(
    SessionPurpose,
    "What the shopper does on the vault's page.",
    {"ADD": "Save a method.", "PAY": "Pay, with a saved or a new method."},
)


@strawberry.input(description="A page hosted by the vault, on which the shopper enters the number.")
class CreateHostedSessionInput:
    customer_id: strawberry.ID = strawberry.field(description="The customer's id.")
    idempotency_key: IdempotencyKey = strawberry.field(description=KEY)
    provider: ProviderName = strawberry.field(description="The vault whose page to open.")
    purpose: SessionPurpose = strawberry.field(description="What the shopper does there.")
    amount: MoneyInput | None = optional(f"The amount to pay; required for {_HOSTS}.")
    return_url: URL = strawberry.field(
        description="Where the vault sends the shopper afterwards: a site that the operator's settings allow."
    )
    cancel_url: URL = strawberry.field(description="Where the vault sends a shopper who gives up.")

    def problems(self) -> list[WriteProblem]:
        money = given(self.amount)
        return amount_problems(money, "amount", 1) if money is not None else []

    def to_command(self) -> CreateHostedSession:
        money = given(self.amount)
        return CreateHostedSession(
            customer_id=self.customer_id,
            idempotency_key=self.idempotency_key,
            provider=self.provider,
            purpose=self.purpose,
            return_url=self.return_url,
            cancel_url=self.cancel_url,
            amount=to_minor(money.amount, money.currency) if money is not None else None,
            currency=money.currency if money is not None else None,
        )


@strawberry.input(description="The customer and the vault to capture a number for.")
class CreateTokenizationInput:
    customer_id: strawberry.ID = strawberry.field(description="The customer's id.")
    provider: ProviderName = strawberry.field(description="The vault that will store the method.")
    kind: PaymentMethodKind = strawberry.field(
        default=PaymentMethodKind.CARD,
        description="CARD or BANK_ACCOUNT, for a vault with a form for each. Card numbers must not be typed into the "
        "form for bank accounts: its vault may show them again.",
    )
    account_type: BankAccountType | None = optional("For a BANK_ACCOUNT; by default CHECKING.")
    payment_method_id: strawberry.ID | None = optional(
        "LoanPro only: open the form that changes this stored method, for example its expiry; it decides the kind."
    )

    def own_problems(self, path: tuple[str, ...]) -> Iterator[WriteProblem]:
        if self.kind is PaymentMethodKind.OTHER:
            yield invalid("A form captures cards or bank accounts.", *path, "kind")
        elif self.kind is PaymentMethodKind.CARD and given(self.account_type) is not None:
            yield invalid("A card has no account type.", *path, "account_type")
