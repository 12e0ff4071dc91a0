"""Inputs to add a payment method by every route; the sandbox mints the tokens."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final
from uuid import uuid4

from tests.support import leaks
from tests.support.sandbox import RunningSandbox

Input = dict[str, Any]
_NUMBERS = count(1)
HOME: Final = {"line1": "1 High St", "line2": "Flat 2", "city": "Leeds", "postalCode": "LS1 1AA", "country": "GB"}


def new_key() -> str:
    return str(uuid4())


def adding(method: Input, customer: str = "cus_alex", **more: Any) -> Input:
    """The input of `addPaymentMethod`, with a new idempotency key."""
    return {"customerId": customer, "idempotencyKey": new_key(), "method": method, **more}


def loanpro_card(sandbox: RunningSandbox, **changes: Any) -> Input:
    minted = sandbox.token(
        "loanpro", "card", number="4012888888881881", exp_month=7, exp_year=2031, holder_name="Ada Example"
    )
    leaks.note("4012888888881881")
    return {"loanproToken": {"token": minted["token"], "kind": "CARD", **changes}}


def loanpro_account(sandbox: RunningSandbox, **changes: Any) -> Input:
    minted = sandbox.token("loanpro", "bank", number="000123450077", holder_name="Ada Example", account_type="savings")
    leaks.note("000123450077")
    given = {"token": minted["token"], "kind": "BANK_ACCOUNT", "accountType": "SAVINGS"}
    return {"loanproToken": given | changes}


def _aloha(provider: str, token: str, brand: str, **changes: Any) -> Input:
    given = {
        "paymentProvider": provider,
        "token": token,
        "maskedCardNumber": "555555******4444",
        "expiry": "2031-07",
        "brand": brand,
    }
    return {"alohaToken": given | changes}


def aloha_connected(sandbox: RunningSandbox, **changes: Any) -> Input:
    """Aloha's capture happens at the payment provider, so the token is made up."""
    return _aloha("CONNECTED_PAYMENTS", f"201:e2etoken{next(_NUMBERS):08d}", "MASTERCARD", **changes)


def aloha_credit_call(sandbox: RunningSandbox, **changes: Any) -> Input:
    return _aloha("CREDIT_CALL", f"e2e-credit-call-{next(_NUMBERS):06d}", "VISA", **changes)


def aloha_freedom_pay(sandbox: RunningSandbox, **changes: Any) -> Input:
    token = f"e2e-freedom-pay-{next(_NUMBERS):06d}"
    return _aloha("FREEDOM_PAY", token, "AMEX", **{"holderName": "Ada Example", **changes})


def network_token(sandbox: RunningSandbox, **changes: Any) -> Input:
    given = {"token": "5555555555554444", "expiry": "2031-07", "brand": "MASTERCARD", "firstName": "Ada"}
    return {"jpmNetworkToken": given | {"lastName": "Example"} | changes}


def device_token(sandbox: RunningSandbox, **changes: Any) -> Input:
    return network_token(sandbox, token="5105105105105100", device=True, **changes)


def raw_card(sandbox: RunningSandbox, **changes: Any) -> Input:
    given = {"accountNumber": "4012888888881881", "expiry": "2031-07", "brand": "VISA", "firstName": "Ada"}
    return {"jpmRawCard": given | {"lastName": "Example"} | changes}


def wallet_payload(sandbox: RunningSandbox, **changes: Any) -> Input:
    """An encrypted bundle as a wallet returns it; every one is another."""
    payload = b64encode(f"encrypted by a wallet, {next(_NUMBERS):012d}, and long enough to be one".encode()).decode()
    leaks.note(payload)
    given = {
        "wallet": "APPLE_PAY",
        "encryptedPayload": payload,
        "ephemeralPublicKey": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7tqBmQvPLmSxVbQ3Y0kxSxVbQ3Y0kw==",
        "transactionId": "12606478127537" + "ab" * 25,
        "protocolVersion": "EC_v1",
        "signature": "MIAGCSqGSIb3DQEHAqCAMIACAQExDzANBglghkgBZQMEAgEFADCABgkqhkiG9w0BBwEA",
    }
    return {"jpmWalletPayload": given | changes}


def ach(sandbox: RunningSandbox, **changes: Any) -> Input:
    given = {"accountNumber": "0888271156", "routingNumber": "122000247", "accountType": "CORPORATE_CHECKING"}
    return {"jpmBankAccount": {"ach": given | _NAMED | changes}}


def sepa(sandbox: RunningSandbox, **changes: Any) -> Input:
    given = {"iban": "DE89370400440532013000", "bic": "COBADEFFXXX"}
    return {"jpmBankAccount": {"sepa": given | _NAMED | _MANDATE | changes}}


def bacs(sandbox: RunningSandbox, **changes: Any) -> Input:
    given = {"accountNumber": "31926819", "sortCode": "601613"}
    return {"jpmBankAccount": {"bacs": given | _NAMED | _MANDATE | changes}}


_NAMED: Final = {"firstName": "Erika", "lastName": "Muster"}
_MANDATE: Final = {"mandateId": "MND-1", "mandateSignedOn": "2025-06-30"}


def caselle_card(sandbox: RunningSandbox, **changes: Any) -> Input:
    minted = sandbox.token(
        "caselle", "card", number="4012888888881881", exp_month=7, exp_year=2031, holder_name="Ada Example"
    )
    given = {
        "fingerprint": minted["token"],
        "last4": minted["last4"],
        "expiry": "2031-07",
        "bin": minted["bin"],
        "brand": "VISA",
        "holderName": "Ada Example",
    }
    return {"caselleToken": {"card": given | changes}}


def caselle_ach(sandbox: RunningSandbox, **changes: Any) -> Input:
    minted = sandbox.token(
        "caselle",
        "bank",
        number="000123450077",
        routing_number="122000247",
        account_type="savings",
        holder_name="Ada Example",
    )
    given = {
        "fingerprint": minted["token"],
        "last4": minted["last4"],
        "routingNumber": "122000247",
        "accountType": "SAVINGS",
        "holderName": "Ada Example",
    }
    return {"caselleToken": {"ach": given | changes}}


WAYS: Final[Mapping[str, tuple[str, Callable[..., Input]]]] = {
    "loanpro card": ("LOANPRO", loanpro_card),
    "loanpro account": ("LOANPRO", loanpro_account),
    "aloha connected payments": ("ALOHA", aloha_connected),
    "aloha credit call": ("ALOHA", aloha_credit_call),
    "aloha freedom pay": ("ALOHA", aloha_freedom_pay),
    "jpmorgan network token": ("JPMORGAN", network_token),
    "jpmorgan device token": ("JPMORGAN", device_token),
    "jpmorgan raw card": ("JPMORGAN", raw_card),
    "jpmorgan wallet": ("JPMORGAN", wallet_payload),
    "jpmorgan ach": ("JPMORGAN", ach),
    "jpmorgan sepa": ("JPMORGAN", sepa),
    "jpmorgan bacs": ("JPMORGAN", bacs),
    "caselle card": ("CASELLE", caselle_card),
    "caselle ach": ("CASELLE", caselle_ach),
}
