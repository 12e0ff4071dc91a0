"""The toy vault's input of `AddMethodInput`."""

from typing import Final

import strawberry

from app.providers.spec import AddInput
from app.vault.enums import AddRoute
from app.vault.model import Address, NewCard, NewMethod
from app.vault.secret import Secret
from resolvers.inputs.fields import sensitive
from tests.support.toy.spec import NAME


@strawberry.input(description="A toy's token.")
class ToyTokenInput:
    token: Secret = sensitive()

    def to_new(self, billing: Address | None) -> NewMethod:
        return NewCard(provider=NAME, route=AddRoute.PROVIDER_TOKEN, secret=self.token, billing_address=billing)


ADD_INPUTS: Final = (AddInput("toy_token", ToyTokenInput, "The toy vault: its token."),)
