"""The demo profiles. cus_alex's is that of J.P. Morgan's guide "Manage payment methods for a consumer profile"."""

from typing import Any, Final

from app.sandbox.base import Json
from app.sandbox.demo import ALEX, LOAD_CUSTOMERS, SAM, DemoCustomer, demo_guid, load_customer

MERCHANT: Final = "993371390059"
OTHER_MERCHANT: Final = "998482157630"
"""A second merchant of the same client; cards and ACH only."""
_CREATED_AT: Final = "2026-01-05T09:00:00.000Z"
_FIRST_HOME: Final = "8d452494-ec75-4ef9-9b45-e4bd7debf6a0"
_SECOND_HOME: Final = "e17a1ecd-b177-4c3d-a99b-c72e132b260f"
_THIRD_HOME: Final = "f99a1ecd-b177-4c3d-a99b-c72e132b260g"


def demo_profiles() -> Json:
    profiles = [_alex(), _sam(), _free(), *(_load(number) for number in range(1, LOAD_CUSTOMERS + 1))]
    return {f"{profile['merchant']}/{profile['wire']['consumerProfileId']}": profile for profile in profiles}


def _profile(ref: str, external_id: str, wire: Json, methods: list[Json], default: str | None, **more: Any) -> Json:
    stamps = {"createTimestamp": _CREATED_AT, "createUserIdentifier": "jack"}
    return {
        "merchant": MERCHANT,
        "external_id": external_id.upper(),
        "wire": {
            "consumerProfileId": ref,
            "correlationIdentifier": demo_guid(f"jpmorgan-correlation-{ref}"),
            "profileStatus": "ACTIVE",
            **stamps,
            "updateTimestamp": _CREATED_AT,
            "updateUserIdentifier": "jack",
            **wire,
        },
        "methods": methods,
        "default": default,
        "addresses": more.get("addresses", []),
        "communication": more.get("communication", {}),
    }


def _card(
    method_id: str, brand: str, first6: str, last4: str, expiry: str, holder: tuple[str, str], **more: Any
) -> Json:
    return {
        "kind": "card",
        "wire": {
            "paymentMethodId": method_id,
            "cardExpirationMonthYearNumber": expiry,
            "last4CardNumber": last4,
            "accountStatus": "ACTIVE",
            "cardType": brand,
            "firstName": holder[0],
            "lastName": holder[1],
            **({"addressIdentifier": more["address"]} if "address" in more else {}),
        },
        "first6": first6,
        "three_ds": more.get("three_ds"),
    }


def _ach(method_id: str, last4: str, holder: tuple[str, str]) -> Json:
    return {
        "kind": "ach",
        "wire": {
            "paymentMethodId": method_id,
            "last4AccountNumber": last4,
            "accountStatus": "ACTIVE",
            "paymentType": "WEB",
            "accountType": "CHECKING",
            "firstName": holder[0],
            "lastName": holder[1],
        },
        "first6": None,
    }


def _address(address_id: str, kind: str, name: str, line1: str) -> Json:
    return {
        "addressIdentifier": address_id,
        "firstName": "John",
        "lastName": "Doe",
        "consumerAssignedAddressName": name,
        "primaryAddressIndicator": True,
        "addressType": kind,
        "line1": line1,
        "line2": "Apt 123",
        "city": "Glen Mills",
        "state": "PA",
        "postalCode": "19342",
        "countryCode": "USA",
        "addressStatus": "ACTIVE",
    }


def _alex() -> Json:
    john = ("John", "Doe")
    authenticated = {
        "authenticationId": "3aeebeed-1c22-4c32-ae63-5c537c3cbaa2",
        "is_awaited": False,
        "status": "SUCCESS",
        "transactionIdentifier": "0eec7ed4-3ecc-4c5c-952e-57a3fbfa5727",
        "transactionDate": "2025-08-14T10:43:52.100Z",
    }
    second = "63aaba29-4857-494a-82bc-2a80e1fa2b1e"
    return _profile(
        ALEX.refs["jpmorgan"],
        ALEX.external_id,
        {
            "cardOnFileReferenceNumber": "123",
            "firstName": "John",
            "lastName": "Doe",
            "correlationIdentifier": "648ccc37-e006-45ee-a127-2718bffeadad",
            "createTimestamp": "2021-08-23T00:23:05.353Z",
            "updateTimestamp": "2024-07-02T11:44:52.219Z",
        },
        [
            _card("77ccba29-4857-494a-82bc-2a80e1fa2b9d", "MC", "555555", "9999", "01/2030", john, address=_FIRST_HOME),
            _card(second, "DI", "423455", "0919", "02/2030", john, address=_THIRD_HOME),
            _card(
                "6d66f2e5-ad81-4848-9884-d5ff32ee7690",
                "VI",
                "411111",
                "1111",
                "03/2030",
                john,
                address=_FIRST_HOME,
                three_ds=authenticated,
            ),
        ],
        second,
        addresses=[
            _address(_FIRST_HOME, "SHIPPING", "Work", "200 Elton Farm"),
            _address(_SECOND_HOME, "SHIPPING", "Work2", "400 Elton Farm"),
            _address(_THIRD_HOME, "BILLING", "Work", "300 Elton Street"),
        ],
        communication={
            "phoneList": [
                {
                    "phoneNumber": "8888888828",
                    "countryCode": "1",
                    "phoneNumberType": "Home",
                    "communicationIdentifier": "HH04423498968",
                }
            ],
            "emailList": [
                {
                    "emailAddress": "john.doe.x@gmail.com",
                    "emailAddressType": "Home",
                    "communicationIdentifier": "EE8141240230923",
                }
            ],
        },
    )


def _named(customer: DemoCustomer) -> tuple[str, str]:
    return customer.first_name, customer.last_name


def _sam() -> Json:
    denied = {
        "authenticationId": demo_guid("jpmorgan-sam-authentication"),
        "is_awaited": False,
        "status": "DENIED",
        "transactionIdentifier": demo_guid("jpmorgan-sam-transaction"),
        "transactionDate": "2026-03-02T15:20:01.000Z",
    }
    card = demo_guid("jpmorgan-sam-card")
    holder = _named(SAM)
    return _profile(
        SAM.refs["jpmorgan"],
        SAM.external_id,
        {"firstName": holder[0], "lastName": holder[1]},
        [
            _card(card, "VI", "401288", "1881", "08/2030", holder, three_ds=denied),
            _ach(demo_guid("jpmorgan-sam-ach"), "6543", holder),
        ],
        card,
    )


def _free() -> Json:
    card = demo_guid("jpmorgan-free-card")
    holder = ("Free", "Profile")
    return _profile(
        "FREE01",
        "free-01",
        {"firstName": holder[0], "lastName": holder[1]},
        [_card(card, "VI", "411111", "2020", "05/2031", holder)],
        card,
    )


def _load(number: int) -> Json:
    customer = load_customer(number)
    holder = _named(customer)
    card = demo_guid(f"jpmorgan-{customer.external_id}-card")
    brand, first6 = ("VI", "411111") if number % 2 else ("MC", "555555")
    return _profile(
        customer.refs["jpmorgan"],
        customer.external_id,
        {"firstName": holder[0], "lastName": holder[1]},
        [
            _card(card, brand, first6, f"{1000 + number:04d}", f"{1 + number % 12:02d}/{2029 + number % 3}", holder),
            _ach(demo_guid(f"jpmorgan-{customer.external_id}-ach"), f"{5000 + number:04d}", holder),
        ],
        card,
    )
