"""Names and addresses."""

import strawberry

from app.vault.model import Address, PersonName
from resolvers.inputs.fields import given, text, words
from resolvers.scalars import CountryCode


@strawberry.input(description="A person's name.")
class PersonNameInput:
    first: str = text()
    last: str = text()

    def to_name(self) -> PersonName:
        return PersonName(self.first.strip(), self.last.strip())


@strawberry.input(description="An address. What a vault needs beyond these is said by the field.")
class AddressInput:
    line1: str = text()
    line2: str | None = text(is_optional=True)
    city: str = text()
    region: str | None = text(is_optional=True, description="The code of the state or province, where there is one.")
    postal_code: str = text(max_length=32)
    country: CountryCode

    def to_address(self) -> Address:
        return Address(
            line1=self.line1.strip(),
            line2=words(self.line2),
            city=self.city.strip(),
            region=words(self.region),
            postal_code=self.postal_code.strip(),
            country=self.country,
        )


def to_address(address: AddressInput | None) -> Address | None:
    shown = given(address)
    return None if shown is None else shown.to_address()


def to_name(name: PersonNameInput | None) -> PersonName | None:
    shown = given(name)
    return None if shown is None else shown.to_name()
