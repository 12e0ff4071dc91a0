"""The GraphQL input of Stripe: a PaymentMethod that Stripe.js made; the number itself never passes through here."""

from typing import Final

import strawberry

from app.providers.spec import AddInput
from app.vault.enums import AddRoute
from app.vault.model import Address, NewCard, NewMethod
from app.vault.secret import Secret
from resolvers.inputs.fields import sensitive
from vaultgraph_stripe.mapping import NAME
from vaultgraph_stripe.validation import TOKEN


@strawberry.input(description="Stripe: a PaymentMethod that Stripe.js made.")
class StripePaymentMethodInput:
    payment_method_id: Secret = sensitive(known_form=TOKEN.fullmatch, description="Begins with pm_.")

    def to_new(self, billing: Address | None) -> NewMethod:
        return NewCard(
            provider=NAME, route=AddRoute.PROVIDER_TOKEN, secret=self.payment_method_id, billing_address=billing
        )


ADD_INPUTS: Final = (
    AddInput("stripe_payment_method", StripePaymentMethodInput, "Stripe: a PaymentMethod that Stripe.js made."),
)
