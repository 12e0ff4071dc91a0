"""Inputs of the mutations on customers and links, and their conversion to commands."""

import re
from typing import Final

import strawberry

from app.vault.enums import CustomerRef, ProviderName
from app.vault.model import PersonName
from app.wallet.commands import (
    CreateCustomer,
    EraseCustomer,
    LinkCustomer,
    MergeCustomers,
    MergedCustomer,
    UnlinkCustomer,
)
from app.wallet.problems import WriteProblem, invalid, required
from resolvers.inputs.fields import KEY, given, optional, text, words
from resolvers.inputs.people import AddressInput, PersonNameInput, to_address, to_labels, to_name
from resolvers.scalars import IdempotencyKey

_EMAIL: Final = re.compile(r"[^@\s]{1,64}@(?=.{1,255}\Z)[^@\s.]+(\.[^@\s.]+)+")
_PHONE: Final = re.compile(r"\+?[0-9](?:[ ().\-/]{0,3}[0-9]){4,19}(?: ?(?:x|ext\.?) ?[0-9]{1,6})?")


@strawberry.input(
    description="Creates a customer here and, for `provisionAt`, in those vaults. What a vault requires beyond the "
    "name is validated before any call."
)
class CreateCustomerInput:
    external_id: strawberry.ID = text(description="Your key of the customer, unique among all.")
    idempotency_key: IdempotencyKey = strawberry.field(description=KEY)
    name: PersonNameInput | None = optional("A person's name; optional for a business.")
    business_name: str | None = text(is_optional=True, description="The name of a business; shown as `Customer.name`.")
    email: str | None = text(is_optional=True, description="E-mail address.")
    phone: str | None = text(
        is_optional=True, max_length=32, description="Telephone number, for vaults that need one; not stored here."
    )
    address: AddressInput | None = optional("For vaults that need an address; not stored here.")
    provision_at: list[ProviderName] = strawberry.field(
        default_factory=list, description="The vaults in which to create the customer too."
    )

    def problems(self) -> list[WriteProblem]:
        """Problems that apply to every vault; a vault may be stricter."""
        email, phone = words(self.email), words(self.phone)
        found: list[WriteProblem] = []
        if given(self.name) is None and words(self.business_name) is None:
            missing = "Provide the name of a person or of a business."
            found.append(required(missing, "name"))
        if email is not None and not _EMAIL.fullmatch(email):
            found.append(invalid("This is not an e-mail address.", "email"))
        if phone is not None and not _PHONE.fullmatch(phone):
            found.append(invalid("This is not a telephone number.", "phone"))
        return found

    def to_command(self) -> CreateCustomer:
        return CreateCustomer(
            external_id=self.external_id,
            idempotency_key=self.idempotency_key,
            name=to_name(self.name) or PersonName(),
            business_name=words(self.business_name),
            email=words(self.email),
            phone=words(self.phone),
            address=to_address(self.address),
            address_labels=to_labels(self.address),
            provision_at=tuple(dict.fromkeys(self.provision_at)),
        )


@strawberry.input(description="The vault's customer that is this customer. The gateway records the evidence.")
class LinkProviderCustomerInput:
    customer_id: strawberry.ID = strawberry.field(description="The customer's id.")
    idempotency_key: IdempotencyKey = strawberry.field(description=KEY)
    provider: ProviderName = strawberry.field(description="The vault.")
    customer_ref: str = text(description="The vault's key of the customer.")

    def to_command(self) -> LinkCustomer:
        return LinkCustomer(
            customer_id=self.customer_id,
            idempotency_key=self.idempotency_key,
            provider=self.provider,
            customer_ref=CustomerRef(self.customer_ref.strip()),
        )


@strawberry.input(description="A link to remove. The vault's data stays.")
class UnlinkProviderCustomerInput:
    customer_id: strawberry.ID = strawberry.field(description="The customer's id.")
    provider: ProviderName = strawberry.field(description="The vault.")
    reason: str = text(max_length=500, description="Stored in the audit trail.")

    def to_command(self) -> UnlinkCustomer:
        return UnlinkCustomer(customer_id=self.customer_id, provider=self.provider, reason=self.reason.strip())


@strawberry.input(description="A customer to erase, here and in the vaults that can.")
class EraseCustomerInput:
    customer_id: strawberry.ID = strawberry.field(description="The customer's id.")
    idempotency_key: IdempotencyKey = strawberry.field(description=KEY)
    confirm_external_id: strawberry.ID = strawberry.field(description="The customer's externalId, as a confirmation.")

    def to_command(self) -> EraseCustomer:
        return EraseCustomer(
            customer_id=self.customer_id,
            idempotency_key=self.idempotency_key,
            confirm_external_id=self.confirm_external_id,
        )


@strawberry.input(
    description="Two customers that are one person. Links, default, nicknames, events, writes and payments of `from` "
    "move to `into`; its name and e-mail address fill what `into` lacks. Nothing is changed in a vault."
)
class MergeCustomersInput:
    from_id: strawberry.ID = strawberry.field(
        description="The id of the customer that ends. Its external id leads to `intoId` from then on."
    )
    into_id: strawberry.ID = strawberry.field(description="The id of the customer that stays.")
    idempotency_key: IdempotencyKey = strawberry.field(description=KEY)
    keep_default_of: MergedCustomer | None = optional(
        "Whose default is kept. Required if both customers have chosen one."
    )
    reason: str | None = text(max_length=500, is_optional=True, description="Stored in the audit trail.")

    def to_command(self) -> MergeCustomers:
        return MergeCustomers(
            from_id=self.from_id,
            into_id=self.into_id,
            idempotency_key=self.idempotency_key,
            keep_default_of=given(self.keep_default_of),
            reason=words(self.reason),
        )


@strawberry.input(description="A customer whose data to export.")
class ExportCustomerInput:
    customer_id: strawberry.ID = strawberry.field(description="The customer's id.")
