"""The four kinds of payment method: their lists, fields and secret fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.sandbox.checks import Check, boolean, matching, one_of, routing_number, text
from app.sandbox.jpmorgan.fields import (
    ACCOUNT_STATUS,
    AUTHENTICATION_REQUEST,
    CARD_TYPES,
    MONTH_YEAR,
    NAMES,
    iban,
    mandates,
    record,
)

_SHARED: Final[Mapping[str, Check]] = {**NAMES, "accountStatus": ACCOUNT_STATUS}
THREE_DS_DATA: Final[Mapping[str, Check]] = {
    "threeDSTransactionId": text(64),
    "threeDSAuthenticationId": text(64),
    "threeDSTransactionDate": text(40),
}
_CARD_EDITABLE: Final[Mapping[str, Check]] = {
    "cardExpirationMonthYearNumber": MONTH_YEAR,
    "cardType": one_of(*CARD_TYPES),
    **_SHARED,
    "currency": matching(r"[A-Z]{3}|UNKNOWN", "be an ISO 4217 code"),
    "threeDSAuthenticatedData": record(THREE_DS_DATA),
    "billerDebitCardReferenceNumber": text(35),
    "isBillPayment": boolean,
    "consumerPreferredPaymentNetwork": one_of("VI", "MC", "CB"),
    "cardBadgeType": one_of("CO_BADGED", "MONO_BADGED"),
}
_ACH_EDITABLE: Final[Mapping[str, Check]] = {
    "paymentType": one_of("WEB", "TEL", "RECURRING"),
    "accountType": one_of("CHECKING", "SAVING", "CORPORATE_CHECKING"),
    **_SHARED,
    "isTransactionMicroEntry": boolean,
}
_MANDATED: Final[Mapping[str, Check]] = {**_SHARED, "mandateList": mandates}
DIGITS_13_TO_19: Final = matching(r"[0-9]{13,19}", "be 13 to 19 digits")
DIGITS_16: Final = matching(r"[0-9]{16}", "be 16 digits")


@dataclass(frozen=True, slots=True)
class Kind:
    """`number` names the input that identifies the account. `dropped` inputs are checked and never stored; `fixed` ones
    are stored and cannot be updated.
    """

    word: str
    number: str
    last4: str
    dropped: Mapping[str, Check]
    needed: tuple[str, ...]
    editable: Mapping[str, Check]
    fixed: Mapping[str, Check]

    @property
    def plural(self) -> str:
        return f"{self.word}List"


KINDS: Final[Mapping[str, Kind]] = {
    kind.word: kind
    for kind in (
        Kind(
            "card",
            "accountNumber",
            "last4CardNumber",
            {"accountNumber": DIGITS_13_TO_19, "authenticationRequest": AUTHENTICATION_REQUEST},
            ("accountNumber",),
            _CARD_EDITABLE,
            {
                "accountNumberType": one_of("PAN", "NETWORK_TOKEN", "DEVICE_TOKEN"),
                "profileCardSourceName": one_of("SAFETECH_TOKEN"),
                "walletProvider": one_of("APPLE_PAY", "GOOGLE_PAY", "PAZE"),
            },
        ),
        Kind(
            "ach",
            "accountNumber",
            "last4AccountNumber",
            {
                "accountNumber": matching(r"[0-9]{4,17}", "be 4 to 17 digits"),
                "financialInstitutionRoutingNumber": routing_number,
            },
            ("accountNumber", "financialInstitutionRoutingNumber"),
            _ACH_EDITABLE,
            {},
        ),
        Kind(
            "sepa",
            "internationalBankAccountNumber",
            "last4AccountNumber",
            {
                "internationalBankAccountNumber": iban,
                "internationalBusinessIdentifierCode": matching(
                    r"[A-Z0-9]{8}([A-Z0-9]{3})?", "be a BIC of 8 or 11 characters"
                ),
            },
            ("internationalBankAccountNumber",),
            _MANDATED,
            {},
        ),
        Kind(
            "bacs",
            "accountNumber",
            "last4AccountNumber",
            {
                "accountNumber": matching(r"[0-9]{8}", "be 8 digits"),
                "bankSortCode": matching(r"[0-9]{6}", "be 6 digits"),
            },
            ("accountNumber", "bankSortCode"),
            _MANDATED,
            {},
        ),
    )
}
"""The order in which a create without `defaultMOP` picks its default (the place of BACS is assumed)."""

WALLETS: Final[Mapping[str, str]] = {"googlepay": "GOOGLE_PAY", "applepay": "APPLE_PAY", "paze": "PAZE"}
NOT_IN_AN_UPDATE: Final = (
    "accountNumber",
    "financialInstitutionRoutingNumber",
    "internationalBankAccountNumber",
    "bankSortCode",
)
