"""Field rules of Consumer Profile Management as tables of checks. Source: OpenAPI 2.4.2 unless marked assumed."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from app.sandbox.base import Json
from app.sandbox.checks import Check, boolean, email, matching, one_of, place, text, web_address
from app.sandbox.jpmorgan.answers import ValidationFault

CARD_TYPES: Final = tuple(
    "VI MC AX HC EO DI JC DC CC CZ CR OX IM SP PP AP NP VR MR EP CB DP PM".split()  # noqa: SIM905 - as documented
)


def calendar_day(value: Any) -> str | None:
    try:
        datetime.strptime(value, "%Y-%m-%d")
    except (TypeError, ValueError):
        return "must be a date YYYY-MM-DD"
    return None


def iban(value: Any) -> str | None:
    if not (isinstance(value, str) and re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", value)):
        return "must be an IBAN of at most 34 characters"
    turned = value[4:] + value[:4]
    return None if int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1 else "is not an IBAN"


def mandates(value: Any) -> str | None:
    if not (isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value)):
        return "must be a list of mandates"
    for entry in value:
        for name, check in MANDATE.items():
            if (wrong := check(entry.get(name))) is not None:
                return f"{name} {wrong}"
    return None


def record(table: Mapping[str, Check], *, needed: tuple[str, ...] = ()) -> Check:
    """A nested object; only its first error is reported."""

    def check(value: Any) -> str | None:
        if not isinstance(value, dict):
            return "must be an object"
        faults: list[ValidationFault] = []
        take(value, table, "", faults, needed=needed)
        return f"{faults[0].entity} {faults[0].message}" if faults else None

    return check


def take(
    source: Json, table: Mapping[str, Check], at: str, faults: list[ValidationFault], *, needed: tuple[str, ...] = ()
) -> Json:
    """The known, non-null fields of `source`; each wrong or missing one adds to `faults`. Unknown ones are ignored."""
    found: Json = {}
    for name, check in table.items():
        value = source.get(name)
        if value is None:
            if name in needed:
                faults.append(ValidationFault(place(at, name), "is required"))
            continue
        if (wrong := check(value)) is not None:
            faults.append(ValidationFault(place(at, name), wrong))
        found[name] = value
    return found


MANDATE: Final[Mapping[str, Check]] = {
    "mandateId": text(35, shortest=1),
    "mandateType": text(35, shortest=1),
    "mandateSignatureDate": calendar_day,
}
NAMES: Final[Mapping[str, Check]] = {name: text(70) for name in ("firstName", "middleName", "lastName")}
ACCOUNT_STATUS: Final = one_of("ACTIVE", "INACTIVE")
ADDRESS: Final[Mapping[str, Check]] = {
    "firstName": text(70),
    "lastName": text(70),
    "consumerAssignedAddressName": text(75, without="<>"),
    "primaryAddressIndicator": boolean,
    "addressType": one_of("SHIPPING", "BILLING"),
    "line1": text(100, without="<>{}"),
    "line2": text(100, without="<>{}"),
    "city": text(40),
    "state": text(3, shortest=1),
    "postalCode": text(12, shortest=3),
    "countryCode": matching(r"[A-Z]{3}", "be a country code of 3 letters"),
    "addressStatus": ACCOUNT_STATUS,
}
PHONE: Final[Mapping[str, Check]] = {
    "phoneNumber": matching(r"[0-9]{4,15}", "be 4 to 15 digits"),
    "countryCode": matching(r"[0-9]{1,3}", "be 1 to 3 digits"),
    "phoneNumberType": text(20),
}
EMAIL: Final[Mapping[str, Check]] = {
    "emailAddress": email,
    "emailAddressType": text(20),
}
PROFILE: Final[Mapping[str, Check]] = {
    "cardOnFileReferenceNumber": matching(r"[A-Za-z0-9]{1,32}", "be 1 to 32 letters or digits"),
    "firstName": text(70),
    "lastName": text(70),
    "fullName": text(140),
    "profileStatus": ACCOUNT_STATUS,
    "orderOverrideCode": one_of(
        "NO_MAPPING", "CONSUMER_REFNUM_ORDERID", "CONSUMER_REFNUM_COMMENTS", "CONSUMER_REFNUM_ORDERID_COMMENTS"
    ),
}
EXTERNAL_ID: Final = matching(
    r"(?!.*&&)[A-Za-z0-9\-,$@&][A-Za-z0-9\-,$@& ]{0,35}",
    "have 1 to 36 letters, digits, spaces or - , $ @ &, no leading space and no &&",
)
MONTH_YEAR: Final = matching(r"(0[1-9]|1[0-2])/[0-9]{4}", "match MM/YYYY")
BROWSER_INFO: Final[Mapping[str, Check]] = {
    "browserAcceptHeader": text(2048),
    "browserLanguage": text(8, shortest=1),
    "browserScreenHeight": matching(r"[0-9]{1,6}", "be 1 to 6 digits"),
    "browserColorDepth": text(2, shortest=1),
    "browserScreenWidth": matching(r"[0-9]{1,6}", "be 1 to 6 digits"),
    "deviceLocalTimeZone": text(64),
    "browserUserAgent": text(2048),
    "javaEnabled": boolean,
    "javaScriptEnabled": boolean,
    "challengeWindowSize": text(40),
    "deviceIPAddress": text(45),
}
"""Lengths of the schema's texts; the other rules are assumed."""
AUTHENTICATION_REQUEST: Final = record(
    {
        "authenticationReturnUrl": web_address,
        "threeDSPurchaseInfo": record(
            {
                "threeDomainSecureTransactionType": one_of(
                    "CHECK", "GOODS_SERVICES", "ACCOUNT_FUNDING", "QUASI_CASH", "PREPAID"
                )
            }
        ),
        "threeDSRequestorAuthenticationInfo": record(
            {
                "authenticationPurpose": one_of(
                    "PAYMENT_TRANSACTION",
                    "RECURRING_TRANSACTION",
                    "INSTALLMENT_TRANSACTION",
                    "ADD_CARD",
                    "MAINTAIN_CARD",
                    "CARDHOLDER_VERIFICATION",
                    "BILLING_AGREEMENT",
                ),
                "threeDSChallengeType": one_of(
                    "NO_PREFERENCE",
                    "NO_CHALLENGE",
                    "CHALLENGE_REQUESTED",
                    "CHALLENGE_MANDATE",
                    "NO_CHALLENGE_TRA",
                    "NO_CHALLENGE_DATA",
                    "NO_CHALLENGE_DA",
                    "NO_CHALLENGE_TRUSTED",
                ),
            }
        ),
    }
)
