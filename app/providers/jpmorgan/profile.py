"""Maps what a consumer profile holds besides payment methods: addresses, phones, e-mail addresses, stamps. Pure.

Source: "Manage payment methods for a consumer profile"; schema `consumerProfileResponse`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from app.providers.base import collect
from app.providers.countries import alpha2
from app.providers.jpmorgan.wire import JpMorganAddress, WireEmail, WirePhone
from app.providers.values import instant_of, postal_code_of, text, word
from app.vault.enums import AddressType
from app.vault.model import Address, AddressLabels, Email, PersonName, Phone, StoredAddress, VaultProfile

_TYPE: Final[Mapping[str, AddressType]] = {"BILLING": AddressType.BILLING, "SHIPPING": AddressType.SHIPPING}
_IS_ACTIVE: Final[Mapping[str, bool]] = {"ACTIVE": True, "INACTIVE": False}
T = TypeVar("T")


def to_profile(profile: Mapping[str, Any]) -> tuple[VaultProfile, dict[str, StoredAddress]]:
    """Parse all but the payment methods; also the readable addresses by id.

    In the profile a list with an unreadable entry is None: without that entry it would look complete.
    """
    given = profile.get("communication")
    is_readable = given is None or isinstance(given, dict)
    talk: Mapping[str, Any] = given if isinstance(given, dict) else {}
    addresses, is_whole = _read(profile.get("addresses"), to_stored_address)
    found = VaultProfile(
        addresses=addresses if is_whole else None,
        phones=_all(talk.get("phoneList"), lambda one: _phone(one, talk)) if is_readable else None,
        emails=_all(talk.get("emailList"), lambda one: _email(one, talk)) if is_readable else None,
        card_on_file_reference=text(profile.get("cardOnFileReferenceNumber")),
        created_at=instant_of(profile.get("createTimestamp")),
        updated_at=instant_of(profile.get("updateTimestamp")),
    )
    return found, {one.ref: one for one in addresses}


def methods_created_at(created_at: datetime | None, updated_at: datetime | None) -> datetime | None:
    """When the profile's methods were created: known only while the profile is as it was created, with its methods.

    Any later change renews `updateTimestamp`, also one that concerns no method.
    """
    return created_at if created_at == updated_at else None


def billing_address(stored: StoredAddress | None) -> Address | None:
    """The address as the one for bills: not if it has another type, or is INACTIVE."""
    if stored is None or stored.is_active is False or stored.labels.type not in (None, AddressType.BILLING):
        return None
    return stored.address


def to_stored_address(wire: JpMorganAddress) -> StoredAddress:
    """Parse one address. A country that is neither alpha-3 nor alpha-2 is left out; an unlisted type is OTHER.

    Raises ValueError without an id.
    """
    ref = wire.get("addressIdentifier")
    if not isinstance(ref, str) or not ref:
        raise ValueError("no addressIdentifier")
    kind, status, is_primary = wire.get("addressType"), wire.get("addressStatus"), wire.get("primaryAddressIndicator")
    recipient = PersonName(text(wire.get("firstName")) or "", text(wire.get("lastName")) or "")
    return StoredAddress(
        ref=ref,
        address=Address(
            line1=text(wire.get("line1")),
            line2=text(wire.get("line2")),
            city=text(wire.get("city")),
            region=text(wire.get("state")),
            postal_code=postal_code_of(wire.get("postalCode")),
            country=alpha2(wire.get("countryCode")),
        ),
        labels=AddressLabels(
            type=None if kind is None else _TYPE.get((text(kind) or "").upper(), AddressType.OTHER),
            name=text(wire.get("consumerAssignedAddressName")),
            is_primary=is_primary if isinstance(is_primary, bool) else None,
            recipient=recipient if str(recipient) else None,
        ),
        # An unlisted status is not ACTIVE: such an address is not used for bills.
        is_active=None if status is None else _IS_ACTIVE.get((text(status) or "").upper(), False),
    )


def _phone(wire: WirePhone, talk: Mapping[str, Any]) -> Phone:
    number = text(wire.get("phoneNumber"))
    if number is None:
        raise ValueError("no phoneNumber")
    return Phone(
        number=number,
        dialling_prefix=text(wire.get("countryCode")),
        type=word(wire.get("phoneNumberType")),
        is_default=_is_default(wire.get("communicationIdentifier"), talk.get("defaultPhone")),
    )


def _email(wire: WireEmail, talk: Mapping[str, Any]) -> Email:
    address = text(wire.get("emailAddress"))
    if address is None:
        raise ValueError("no emailAddress")
    return Email(
        address=address,
        type=word(wire.get("emailAddressType")),
        is_default=_is_default(wire.get("communicationIdentifier"), talk.get("defaultEmail")),
    )


def _is_default(ref: str | None, default: object) -> bool | None:
    """None if the profile names no default."""
    named = default.get("communicationIdentifier") if isinstance(default, dict) else None
    return None if named is None else ref == named


def _all(records: object, read: Callable[[Any], T]) -> tuple[T, ...] | None:
    found, is_whole = _read(records, read)
    return found if is_whole else None


def _read(records: object, read: Callable[[Any], T]) -> tuple[tuple[T, ...], bool]:
    """The readable ones, and whether that is all."""
    if records is not None and not isinstance(records, list):
        return (), False
    found, unreadable = collect(records or (), read)
    return found, not unreadable
