"""GraphQL inputs of NCR Aloha: a token captured by a browser; the number itself never reaches the gateway."""

from typing import Final

import strawberry

from app.providers.aloha.mapping import NAME
from app.providers.aloha.settings import AlohaPaymentProvider
from app.providers.spec import AddInput
from app.vault.enums import AddRoute, CardBrand
from app.vault.model import Address, Expiry, NewCard, NewMethod
from app.vault.secret import Secret
from resolvers.enums import register
from resolvers.inputs.fields import sensitive, text, words

register(
    AlohaPaymentProvider,
    "The payment provider that issued a token.",
    {
        "CONNECTED_PAYMENTS": "NCR Connected Payments.",
        "CREDIT_CALL": "CreditCall.",
        "FREEDOM_PAY": "FreedomPay.",
    },
)


@strawberry.input(description="NCR Aloha: a Connected Payments, CreditCall or FreedomPay token.")
class AlohaTokenInput:
    payment_provider: AlohaPaymentProvider = strawberry.field(description="The payment provider that issued the token.")
    token: Secret = sensitive(description="The token.")
    masked_card_number: str = text(
        description="First six, mask characters, last four, for CONNECTED_PAYMENTS.", max_length=64
    )
    expiry: Expiry = strawberry.field(description="The month in which the card expires.")
    brand: CardBrand = strawberry.field(description="The card network.")
    holder_name: str | None = text(is_optional=True, description="Required for FREEDOM_PAY.")

    def to_new(self, billing: Address | None) -> NewMethod:
        masked = self.masked_card_number.strip()
        return NewCard(
            provider=NAME,
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


@strawberry.input(
    description="NCR Aloha: a card number, for companies without Connected Payments, CreditCall and FreedomPay. The "
    "vault replaces all of the customer's payment methods by this card."
)
class AlohaRawCardInput:
    account_number: Secret = sensitive(may_hold_card_number=True, description="The card number.")
    expiry: Expiry = strawberry.field(description="The month in which the card expires.")
    brand: CardBrand = strawberry.field(description="The card network.")
    replace_existing: bool = strawberry.field(
        default=False,
        description="Must be true: all other methods of the customer at Aloha are lost. Else UNSUPPORTED_BY_PROVIDER.",
    )

    def to_new(self, billing: Address | None) -> NewMethod:
        return NewCard(
            provider=NAME,
            route=AddRoute.RAW_CARD,
            secret=self.account_number,
            expiry=self.expiry,
            brand=self.brand,
            billing_address=billing,
            replace_existing=self.replace_existing or None,
        )


ADD_INPUTS: Final = (
    AddInput(
        "aloha_token",
        AlohaTokenInput,
        "NCR Aloha: a Connected Payments, CreditCall or FreedomPay token.",
    ),
    AddInput(
        "aloha_raw_card",
        AlohaRawCardInput,
        "Only if raw cards are enabled and the company has no payment provider: replaces all other methods.",
        scopes=("pan:write",),
    ),
)
