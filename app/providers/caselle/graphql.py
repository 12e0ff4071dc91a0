"""GraphQL inputs of Caselle: a token captured by a browser; the number itself never reaches the gateway."""

from typing import Final

import strawberry

from app.providers.caselle.mapping import NAME
from app.providers.spec import AddInput
from app.vault.enums import AddRoute, BankAccountType, BankRail, CardBrand
from app.vault.model import Address, Expiry, NewBankAccount, NewCard, NewMethod
from app.vault.rules.text import tidy
from app.vault.secret import Secret
from resolvers.inputs.fields import optional, sensitive, text
from resolvers.scalars import Last4


@strawberry.input(description="A card captured on Caselle's page.")
class CaselleCardInput:
    fingerprint: Secret = sensitive(description="The token that Caselle's script returned to the browser.")
    last4: Last4 = strawberry.field(description="The card's last four digits.")
    expiry: Expiry = strawberry.field(description="The month in which the card expires.")
    bin: str = text(max_length=8, description="The card's first six or eight digits.")
    brand: CardBrand = strawberry.field(description="The card network.")
    holder_name: str = text(description="The name on the card.")

    def to_new(self, billing: Address | None) -> NewMethod:
        return NewCard(
            provider=NAME,
            route=AddRoute.PROVIDER_TOKEN,
            secret=self.fingerprint,
            last4=self.last4,
            expiry=self.expiry,
            bin=self.bin.strip(),
            brand=self.brand,
            holder_name=tidy(self.holder_name),
            billing_address=billing,
        )


@strawberry.input(description="A bank account captured on Caselle's page.")
class CaselleAchInput:
    fingerprint: Secret = sensitive(description="The token that Caselle's script returned to the browser.")
    last4: Last4 = strawberry.field(description="The account's last four digits.")
    routing_number: str = text(max_length=32, description="The bank's routing number, of nine digits.")
    account_type: BankAccountType = strawberry.field(description="Checking or savings.")
    holder_name: str = text(description="The name of the account's holder.")

    def to_new(self, billing: Address | None) -> NewMethod:
        return NewBankAccount(
            provider=NAME,
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
    card: CaselleCardInput | None = optional("A card.")
    ach: CaselleAchInput | None = optional("A bank account in the United States.")


ADD_INPUTS: Final = (
    AddInput(
        "caselle_token",
        CaselleTokenInput,
        "Caselle: the browser's 15-minute token for a card or a bank account.",
    ),
)
