"""Aloha emulator: create, validate and replace customers, in JSON and XML."""

import json
from typing import Any

import pytest

from tests.support.aloha import ALEX_REF, UNKNOWN_CUSTOMER, Aloha, faults
from tests.support.asgi import Reply

CUSTOMER = {
    "Email": "ada@example.org",
    "FirstName": "Ada",
    "LastName": "Example",
    "VoicePhone": "512-555-0100",
    "Addresses": [{"AddressLine1": "1 Example Street", "City": "Austin", "IsDefault": True}],
    "LoyaltyCardNumber": "L-1",
}
ENVELOPE = {"Customer": CUSTOMER, "Password": "S3cure-pass", "SecurityQuestion": "q", "SecurityAnswer": "a"}


async def create(vault: Aloha, query: str = "", **changes: Any) -> Reply:
    return await vault.call("PUT", f"/v1/Customers{query}", {**ENVELOPE, "Customer": {**CUSTOMER, **changes}})


async def test_a_customer_is_created_and_read() -> None:
    vault = Aloha()
    reply = await create(vault, CustomerId=UNKNOWN_CUSTOMER)
    made = reply.json()["CustomerId"]
    assert (reply.status, reply.json()["Customer"], made != UNKNOWN_CUSTOMER) == (200, None, True)
    shown = (await vault.call("GET", f"/v1/Customers/{made}")).json()
    assert (shown["Email"], shown["Addresses"][0]["City"], shown["AltPhone"]) == ("ada@example.org", "Austin", None)
    assert (await vault.add(CustomerId=made)).status == 200
    assert "S3cure-pass" not in json.dumps(vault.emulator.state)
    verbose = await create(vault, "?Verbose=True", Email="ada2@example.org")
    assert verbose.json()["Customer"]["Email"] == "ada2@example.org"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"Email": "ada"}, "Email"),
        ({"Email": None}, "Email"),
        ({"FirstName": " "}, "FirstName"),
        ({"LastName": "x" * 101}, "LastName"),
        ({"VoicePhone": "call me"}, "VoicePhone"),
        ({"VoicePhoneExtension": "12345"}, "VoicePhoneExtension"),
        ({"LoyaltyCardNumber": "x" * 51}, "LoyaltyCardNumber"),
        ({"Addresses": None}, "Addresses"),
    ],
    ids=str,
)
async def test_customer_fields_are_checked(changes: dict[str, Any], name: str) -> None:
    vault = Aloha()
    assert faults(await create(vault, **changes)) == [f"customer.{name}"]
    assert faults(await vault.call("POST", f"/v1/Customers/{ALEX_REF}", {**CUSTOMER, **changes})) == [
        f"customer.{name}"
    ]


async def test_an_email_is_unique_in_a_company() -> None:
    vault = Aloha()
    reply = await create(vault, Email="ALEX@example.com")
    assert (reply.status, reply.json()) == (400, {"Message": "DuplicateKey"})
    vault.emulator.set_switch("DUPLICATE_EMAIL_STATUS", "409")
    assert (await create(vault, Email="ALEX@example.com")).status == 409
    taken = {**CUSTOMER, "Email": "robin@example.com"}
    assert (await vault.call("POST", f"/v1/Customers/{ALEX_REF}", taken)).status == 409
    assert faults(await vault.call("PUT", "/v1/Customers", {"Customer": CUSTOMER})) == ["customer.Password"]


async def test_a_replace_overwrites_everything_but_the_payments() -> None:
    vault = Aloha()
    path = f"/v1/Customers/{ALEX_REF}"
    assert (await vault.call("POST", path, CUSTOMER)).status == 200
    assert (await vault.call("GET", path)).json()["LoyaltyCardNumber"] == "L-1"
    left = {name: value for name, value in CUSTOMER.items() if name != "LoyaltyCardNumber"}
    assert (await vault.call("POST", path, left)).status == 200
    assert (await vault.call("GET", path)).json()["LoyaltyCardNumber"] is None
    assert len(await vault.listed()) == 2
    assert (await vault.call("POST", f"/v1/Customers/{UNKNOWN_CUSTOMER}", CUSTOMER)).status == 404


async def test_a_customer_round_trips_in_xml() -> None:
    vault = Aloha()
    path = f"/v1/Customers/{ALEX_REF}"
    await vault.call("POST", path, {**CUSTOMER, "FavoriteSiteIds": [3, 4]})
    before = (await vault.call("GET", path)).json()
    xml = (await vault.call("GET", path, accept="application/xml")).body
    reply = await vault.call("POST", path, body=xml, content_type="application/xml")
    assert reply.status == 200
    assert (await vault.call("GET", path)).json() == before
