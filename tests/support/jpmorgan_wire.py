"""J.P. Morgan's records. Test cards only."""

from typing import Any

from app.vault.enums import CustomerRef, MethodRef

REF = CustomerRef("PACJGQ")
FIRST = MethodRef("77ccba29-4857-494a-82bc-2a80e1fa2b9d")
SECOND = MethodRef("63aaba29-4857-494a-82bc-2a80e1fa2b1e")
ADDRESS = {
    "addressIdentifier": "f99a1ecd-b177-4c3d-a99b-c72e132b260g",
    "addressType": "BILLING",
    "primaryAddressIndicator": True,
    "line1": "400 Elton Farm",
    "line2": "Apt 123",
    "city": "Glen Mills",
    "state": "PA",
    "postalCode": "19342",
    "countryCode": "USA",
    "addressStatus": "ACTIVE",
}


def wire_card(**fields: Any) -> Any:
    return {
        "paymentMethodId": SECOND,
        "cardExpirationMonthYearNumber": "02/2025",
        "last4CardNumber": "0919",
        "accountStatus": "ACTIVE",
        "cardType": "DI",
        "firstName": "John",
        "lastName": "Doe",
        "addressIdentifier": ADDRESS["addressIdentifier"],
    } | fields


def wire_account(**fields: Any) -> Any:
    return {
        "paymentMethodId": "a1b2",
        "last4AccountNumber": "1156",
        "accountStatus": "ACTIVE",
        "accountType": "SAVING",
        "firstName": "John",
        "middleName": "Q",
        "lastName": "Doe",
    } | fields


def profile(**methods: Any) -> Any:
    return {"consumerProfileId": REF, "paymentMethodType": methods, "addresses": [ADDRESS]}
