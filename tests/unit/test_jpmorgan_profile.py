"""What a J.P. Morgan profile holds besides payment methods."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.providers.jpmorgan.mapping import to_wallet
from app.vault.enums import AddressType
from app.vault.model import AddressLabels, Email, PersonName, Phone, VaultProfile
from tests.support.jpmorgan_wire import ADDRESS, REF, profile, wire_card

CREATED = "2026-01-05T09:00:00.000Z"


def held(**fields: Any) -> VaultProfile:
    found = to_wallet(REF, profile(cardList=[wire_card()]) | fields, None).profile
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("fields", "is_shown"),
    [
        ({"addressType": "BILLING"}, True),
        ({"addressType": "billing", "addressStatus": "active"}, True),
        ({"addressType": None, "addressStatus": None}, True),
        ({"addressType": "SHIPPING"}, False),
        ({"addressType": "LEGAL_ENTITY"}, False),
        ({"addressType": 7}, False),
        ({"addressStatus": "INACTIVE"}, False),
        ({"addressStatus": "DELETED"}, False),
        ({"addressStatus": []}, False),
    ],
)
def test_which_address_is_the_one_for_bills(fields: dict[str, Any], is_shown: bool) -> None:
    wire = profile(cardList=[wire_card()]) | {"addresses": [ADDRESS | fields]}
    (card,) = to_wallet(REF, wire, None).methods
    assert (card.billing_address is not None) is is_shown
    assert card.address_ref == ADDRESS["addressIdentifier"]


def test_what_is_said_about_an_address() -> None:
    one = ADDRESS | {"firstName": "John", "lastName": "Doe", "consumerAssignedAddressName": "Work"}
    other = {"addressIdentifier": "a-2", "addressType": "X", "primaryAddressIndicator": "yes", "addressStatus": "GONE"}
    first, second = held(addresses=[one, other]).addresses or ()
    assert first.labels == AddressLabels(
        type=AddressType.BILLING, name="Work", is_primary=True, recipient=PersonName("John", "Doe")
    )
    assert first.is_active is True
    assert (second.labels, second.is_active) == (AddressLabels(type=AddressType.OTHER), False)


def test_contacts() -> None:
    phones = [
        {"phoneNumber": "8888888828", "countryCode": "1", "phoneNumberType": "Home", "communicationIdentifier": "HH1"},
        {"phoneNumber": "7777777717", "countryCode": "840", "communicationIdentifier": "HH2"},
    ]
    emails = [{"emailAddress": "john.doe.x@gmail.com", "emailAddressType": "Home", "communicationIdentifier": "EE1"}]
    found = held(communication={"phoneList": phones, "emailList": emails, "defaultPhone": phones[1]})
    assert found.phones == (
        Phone(number="8888888828", dialling_prefix="1", type="Home", is_default=False),
        Phone(number="7777777717", dialling_prefix="840", is_default=True),
    )
    assert found.emails == (Email(address="john.doe.x@gmail.com", type="Home"),)
    assert held().phones == held(communication={}).emails == ()


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"addresses": {}}, "addresses"),
        ({"addresses": [ADDRESS, "x"]}, "addresses"),
        ({"addresses": [ADDRESS | {"addressIdentifier": None}]}, "addresses"),
        ({"communication": []}, "phones"),
        ({"communication": {"phoneList": [{"countryCode": "1"}]}}, "phones"),
        ({"communication": {"emailList": "x"}}, "emails"),
    ],
)
def test_an_unreadable_list_is_unknown_and_not_empty(fields: dict[str, Any], name: str) -> None:
    assert getattr(held(**fields), name) is None
    assert to_wallet(REF, profile(cardList=[wire_card()]) | fields, None).skipped == 0


@pytest.mark.parametrize(
    ("updated", "shown"),
    [(CREATED, datetime(2026, 1, 5, 9, tzinfo=UTC)), ("2026-01-05T09:00:00.001Z", None), (None, None)],
)
def test_methods_are_as_old_as_a_profile_that_never_changed(updated: str | None, shown: datetime | None) -> None:
    wire = profile(cardList=[wire_card()]) | {"createTimestamp": CREATED, "updateTimestamp": updated}
    wallet = to_wallet(REF, wire, None)
    assert wallet.methods[0].created_at == shown
    assert wallet.profile is not None
    assert wallet.profile.created_at == datetime(2026, 1, 5, 9, tzinfo=UTC)
