"""The input of an import: links of existing vault customers, and cards and bank accounts by their processor's
tokens."""

from typing import TYPE_CHECKING, Any

import strawberry

from app.providers.registry import import_token_field, import_token_fields, names_of_the_able
from app.vault.enums import BankAccountType, CardBrand, CustomerRef, ProviderCapability, ProviderName
from app.vault.model import Expiry
from app.vault.rules.text import tidy
from app.vault.secret import Secret
from app.wallet.commands import ImportedAccountLook, ImportedLook, ImportMethods, ImportRow
from resolvers.inputs.fields import given, optional, sensitive, text, words
from resolvers.scalars import IdempotencyKey, Last4

_TOKENS = import_token_fields()
_IMPORTS = names_of_the_able(lambda can: ProviderCapability.IMPORT in can.operations)


@strawberry.input(description="Display data of an imported card.")
class ImportedCardInput:
    last4: Last4 = strawberry.field(description="The card's last four digits.")
    expiry: Expiry = strawberry.field(description="The month in which the card expires.")
    brand: CardBrand = strawberry.field(description="The card network.")
    bin: str | None = text(
        max_length=8, is_optional=True, description="The card number's first six to eight digits, if they are known."
    )
    holder_name: str = text(description="The name on the card.")

    def to_look(self) -> ImportedLook:
        return ImportedLook(
            last4=self.last4,
            expiry=self.expiry,
            brand=self.brand,
            holder_name=tidy(self.holder_name),
            bin=words(self.bin),
        )


@strawberry.input(description="Display data of an imported bank account.")
class ImportedBankAccountInput:
    last4: Last4 = strawberry.field(description="The account number's last four digits.")
    account_type: BankAccountType = strawberry.field(description="Its kind, for example CHECKING.")
    routing_number: str | None = text(
        max_length=32, is_optional=True, description="The bank's ABA routing number, nine digits, if it is known."
    )
    holder_name: str = text(description="The account holder's name.")

    def to_look(self) -> ImportedAccountLook:
        return ImportedAccountLook(
            last4=self.last4,
            account_type=self.account_type,
            holder_name=tidy(self.holder_name),
            routing_number=words(self.routing_number),
        )


class _Row:
    external_id: strawberry.ID
    provider: ProviderName
    customer_ref: str
    card: ImportedCardInput | None
    bank_account: ImportedBankAccountInput | None

    def to_row(self) -> ImportRow:
        card, account = given(self.card), given(self.bank_account)
        tokens = {name: token for name in _TOKENS if (token := given(getattr(self, name))) is not None}
        field = import_token_field(self.provider, tokens)
        return ImportRow(
            external_id=self.external_id,
            provider=self.provider,
            customer_ref=CustomerRef(self.customer_ref.strip()),
            processor_token=tokens.get(field),
            token_field=field,
            card=card.to_look() if card is not None else None,
            account=account.to_look() if account is not None else None,
        )


def _members() -> dict[str, Any]:
    """The fields of `ImportRowInput`: one for each vault's kind of token."""
    hints = {
        "external_id": strawberry.ID,
        "provider": ProviderName,
        "customer_ref": str,
        **dict.fromkeys(_TOKENS, Secret | None),
        "card": ImportedCardInput | None,
        "bank_account": ImportedBankAccountInput | None,
    }
    return {
        "__annotations__": hints,
        "customer_ref": text(description="The vault's key of the customer."),
        "external_id": strawberry.field(description="Your key of the customer, as when it was created."),
        "provider": strawberry.field(description="The vault."),
        **{name: sensitive(is_optional=True, description="The processor's token of the card.") for name in _TOKENS},
        "card": optional("Display data of the token's card. A token needs either this or bankAccount."),
        "bank_account": optional("Display data of the token's bank account."),
    }


if TYPE_CHECKING:

    class ImportRowInput(_Row): ...
else:
    ImportRowInput = strawberry.input(
        type("ImportRowInput", (_Row,), {"__module__": __name__, **_members()}),
        description=f"A link of an existing vault customer; at {_IMPORTS} also a card or a bank account, by its "
        "processor's token.",
    )


@strawberry.input(description="At most 500 rows; their results are in `operation.results`, in the rows' order.")
class ImportPaymentMethodsInput:
    idempotency_key: IdempotencyKey = strawberry.field(description="A dry run and the real run need different keys.")
    dry_run: bool = strawberry.field(default=True, description="Check every row and change nothing.")
    rows: list[ImportRowInput] = strawberry.field(
        description="One row per link, or per card at a vault that imports cards."
    )

    def to_command(self) -> ImportMethods:
        return ImportMethods(
            idempotency_key=self.idempotency_key,
            dry_run=self.dry_run,
            rows=tuple(row.to_row() for row in self.rows),
        )
