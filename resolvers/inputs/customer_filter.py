"""The filter for customers."""

from datetime import datetime

import strawberry

from app.store.records import CustomerCriteria
from app.vault.enums import ProviderName
from resolvers.errors import BadUserInput
from resolvers.inputs.fields import optional


@strawberry.input(description="Conditions that must all hold; absent or null ones are ignored.")
class CustomerFilter:
    email: str | None = optional("Exactly this e-mail address; upper and lower case are the same.")
    name_contains: str | None = optional(
        "A part of the name, two to 100 characters; upper and lower case are the same. Names have no "
        "index: a page examines at most 10,000 customers, so it may be short, or empty, although more follow."
    )
    external_id_prefix: str | None = optional("The beginning of the external id, in upper and lower case as stored.")
    linked_at: ProviderName | None = optional("Customers with a link to this vault.", ("links:read",))
    created_after: datetime | None = optional("Customers with a later `createdAt`.")

    def to_criteria(self) -> CustomerCriteria:
        return CustomerCriteria(
            email=_text("email", self.email, 1, 320),
            external_id_prefix=_text("externalIdPrefix", self.external_id_prefix, 1, 255),
            created_after=self.created_after or None,
            linked_at=self.linked_at or None,
            name_contains=_text("nameContains", self.name_contains, 2, 100),
        )


def _text(name: str, value: str | None, least: int, most: int) -> str | None:
    if value is None or value is strawberry.UNSET:
        return None
    text = value.strip()
    if not least <= len(text) <= most:
        raise BadUserInput(f"{name} must have {least} to {most} characters.")
    return text
