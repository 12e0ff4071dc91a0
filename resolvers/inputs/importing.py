"""The input of an import: links of existing vault customers, and cards by their processor's tokens."""

import strawberry

from app.vault.model import Expiry
from app.vault.names import CardBrand, CustomerRef, ProviderName
from app.vault.rules.text import tidy
from app.vault.secret import Secret
from app.wallet.commands import ImportedLook, ImportMethods, ImportRow
from resolvers.inputs.fields import given, optional, sensitive, text
from resolvers.scalars import IdempotencyKey, Last4


@strawberry.input(description="What is shown of an imported card.")
class ImportedCardInput:
    last4: Last4
    expiry: Expiry
    brand: CardBrand
    holder_name: str = text()

    def to_look(self) -> ImportedLook:
        return ImportedLook(last4=self.last4, expiry=self.expiry, brand=self.brand, holder_name=tidy(self.holder_name))


@strawberry.input(description="A link of an existing vault customer; at Caselle also a card, by its processor's token.")
class ImportRowInput:
    external_id: strawberry.ID
    provider: ProviderName
    customer_ref: str = text(description="The vault's own key of the customer.")
    caselle_processor_token: Secret | None = sensitive(is_optional=True)
    card: ImportedCardInput | None = optional("What is shown of the token's card; required with it.")

    def to_row(self) -> ImportRow:
        card = given(self.card)
        return ImportRow(
            external_id=self.external_id,
            provider=self.provider,
            customer_ref=CustomerRef(self.customer_ref.strip()),
            processor_token=given(self.caselle_processor_token),
            card=card.to_look() if card is not None else None,
        )


@strawberry.input(description="At most 500 rows; their outcomes stand in `operation.results`, in the rows' order.")
class ImportPaymentMethodsInput:
    idempotency_key: IdempotencyKey = strawberry.field(description="A dry run and the real one need one each.")
    dry_run: bool = strawberry.field(default=True, description="Check every row and change nothing.")
    rows: list[ImportRowInput]

    def to_command(self) -> ImportMethods:
        return ImportMethods(
            idempotency_key=self.idempotency_key,
            dry_run=self.dry_run,
            rows=tuple(row.to_row() for row in self.rows),
        )
