"""Names and addresses."""

from collections.abc import Iterator
from typing import Final

import strawberry

from app.vault.countries import WITHOUT_POSTAL_CODES
from app.vault.enums import AddressType
from app.vault.model import Address, AddressLabels, PersonName
from app.vault.rules.text import tidy
from app.wallet.problems import WriteProblem, required
from resolvers.inputs.fields import given, optional, text, words
from resolvers.scalars import CountryCode
from resolvers.types.profile import KEEPERS_NAMES


@strawberry.input(description="A person's name. One part is enough, but some vaults need both.")
class PersonNameInput:
    first: str | None = text(is_optional=True, description="First name.")
    last: str | None = text(is_optional=True, description="Last name.")

    def own_problems(self, path: tuple[str, ...]) -> Iterator[WriteProblem]:
        if words(self.first) is None and words(self.last) is None:
            yield required("Provide a first or a last name.", *path, "last")

    def to_name(self) -> PersonName:
        return PersonName(words(self.first) or "", words(self.last) or "")


@strawberry.input(description="An address. Fields may have further requirements of their own.")
class AddressInput:
    line1: str = text(description="Street and number.")
    line2: str | None = text(is_optional=True, description="Apartment, suite or the like.")
    city: str = text(description="City or town.")
    region: str | None = text(is_optional=True, description="The code of the state or province, if there is one.")
    postal_code: str | None = text(
        is_optional=True, max_length=32, description="Required in countries that have postal codes."
    )
    country: CountryCode = strawberry.field(description="Country, as a code of two letters.")
    type: AddressType | None = optional(f"What it is for; BILLING if absent. {KEEPERS_NAMES} only.")
    name: str | None = text(
        is_optional=True, max_length=75, description=f"The customer's own name for it, e.g. Work. {KEEPERS_NAMES} only."
    )
    is_primary: bool | None = optional(f"Mark it as the customer's main address. {KEEPERS_NAMES} only.")
    recipient: PersonNameInput | None = optional(f"Who lives or works there. {KEEPERS_NAMES} only.")

    def own_problems(self, path: tuple[str, ...]) -> Iterator[WriteProblem]:
        if words(self.postal_code) is None and self.country not in WITHOUT_POSTAL_CODES:
            yield required("Addresses in this country have a postal code.", *path, "postal_code")

    def to_address(self) -> Address:
        return Address(
            line1=tidy(self.line1),
            line2=words(self.line2),
            city=tidy(self.city),
            region=words(self.region),
            postal_code=words(self.postal_code),
            country=self.country,
        )

    def to_labels(self) -> AddressLabels | None:
        labels = AddressLabels(
            type=given(self.type),
            name=words(self.name),
            is_primary=given(self.is_primary),
            recipient=to_name(self.recipient),
        )
        return None if labels == _NO_LABELS else labels


_NO_LABELS: Final = AddressLabels()


def to_labels(address: AddressInput | None) -> AddressLabels | None:
    """What the input says about the address, if anything."""
    shown = given(address)
    return None if shown is None else shown.to_labels()


def to_address(address: AddressInput | None) -> Address | None:
    shown = given(address)
    return None if shown is None else shown.to_address()


def to_name(name: PersonNameInput | None) -> PersonName | None:
    shown = given(name)
    return None if shown is None else shown.to_name()
