"""Both emulators accept or refuse any body, and never reply 500."""

import asyncio
import copy
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.sandbox.base import Emulator, SandboxClock
from app.sandbox.caselle import CaselleEmulator
from app.sandbox.jpmorgan import JpMorganEmulator
from tests.support.asgi import call

PAN = "4012888888881881"
ADDRESS = {"addressType": "BILLING", "line1": "1 Main", "countryCode": "USA"}
CARD = {
    "accountNumber": PAN,
    "cardExpirationMonthYearNumber": "01/2040",
    "cardType": "VI",
    "consumerProfileAddress": ADDRESS,
    "addressIdentifier": "x",
    "threeDSAuthenticatedData": {"threeDSTransactionId": "t"},
    "authenticationRequest": {"threeDSRequestorAuthenticationInfo": {"authenticationPurpose": "ADD_CARD"}},
}
SEPA = {
    "internationalBankAccountNumber": "DE89370400440532013000",
    "mandateList": [{"mandateId": "m", "mandateType": "R", "mandateSignatureDate": "2025-06-30"}],
}
METHODS = {"cardList": [CARD], "sepaList": [SEPA], "defaultMOP": {"card": CARD}, "accountStatus": "ACTIVE"}
PROFILE = {
    "externalConsumerProfileIdentifier": "C-1",
    "consumerProfileAddresses": [ADDRESS],
    "communication": {"phoneList": [{"phoneNumber": "8015550100", "countryCode": "1"}]},
    "merchant": {"merchantSoftware": {"companyName": "x"}},
    "profilePaymentMethod": METHODS,
}
ONE = "/api/v2/mmp/consumer-profiles/PACJGQ"
JPMORGAN = [
    ("POST", "/api/v2/mmp/consumer-profiles", PROFILE),
    ("PATCH", ONE, {"firstName": "A", "profileStatus": "ACTIVE"}),
    ("POST", ONE + "/payment-methods", METHODS),
    ("PATCH", ONE + "/payment-methods/77ccba29-4857-494a-82bc-2a80e1fa2b9d", {"card": CARD}),
    ("POST", ONE + "/addresses", ADDRESS),
    ("POST", ONE + "/communication", PROFILE["communication"]),
    ("PATCH", ONE + "/communication/HH04423498968", {"phone": {"phoneNumber": "8015550100"}}),
]
CREDIT = {"fingerprint": "prx_x", "last4": "1881", "exp_month": 1, "exp_year": 2040, "bin": "401288"}
METHOD = {"payment_method_type": "credit", "credit": CREDIT}
WALLET = {"payment_method_type": "wallet_credit", "wallet": {"saved_payment_method_uid": "spm_alexvisa"}}
PAYMENT = {"base_amount": 100, "currency": "USD", "payment_method": WALLET}
FACE = {name: CREDIT[name] for name in ("last4", "exp_month", "exp_year")}
ITEM = {"customer_uid": "cus_88420", "processor_token": "z", "payment_method": METHOD | {"credit": FACE}}
SESSION = {"amount": 1, "currency": "USD", "success_url": "https://a.example", "cancel_url": "https://a.example"}
CASELLE = [
    ("POST", "/api/customers", {"reference_id": "r", "name": "A", "email": "a@example.com"}),
    ("POST", "/api/customers/cus_88420/payment-methods", {"payment_method": METHOD}),
    ("PUT", "/api/customers/cus_88420/default-payment-method", {"saved_payment_method_uid": "spm_alexach"}),
    ("POST", "/api/saved-payment-methods/import", {"items": [ITEM]}),
    ("POST", "/api/payments", PAYMENT),
    ("POST", "/v1/hosted-sessions", SESSION | {"metadata": {"a": "b"}, "allowed_methods": ["card"]}),
    ("PUT", "/api/webhooks/subscriptions", {"subscriptions": [{"event_type": "provider.noc", "enabled": True}]}),
]
WEIRD = st.sampled_from([None, True, 0, -1, 2.5, "", "x", PAN, [], {}, [None], [[]], [{}], {"a": {}}, "\x00", 10**18])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        found += [deeper for name in value for deeper in places(value[name], (*path, name))]
    if isinstance(value, list):
        found += [deeper for index, entry in enumerate(value) for deeper in places(entry, (*path, index))]
    return found


def bent(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    body = copy.deepcopy(body)
    holder = body
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return body


@st.composite
def requests(draw: st.DrawFn, samples: list[tuple[str, str, Any]]) -> tuple[str, str, Any]:
    method, path, body = draw(st.sampled_from(samples))
    return method, path, bent(body, draw(st.sampled_from(places(body))), draw(WEIRD))


def answered(emulator: Emulator, request: tuple[str, str, Any]) -> int:
    headers = emulator.credentials("http://sandbox.test")["headers"]
    reply = asyncio.run(call(emulator.asgi(), request[0], request[1], json=request[2], headers=headers))
    if reply.status < 400:
        json.dumps(emulator.state)
    return reply.status


JPMORGAN_VAULT, CASELLE_VAULT = JpMorganEmulator(SandboxClock()), CaselleEmulator(SandboxClock())
FUZZ = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@FUZZ
@given(requests(JPMORGAN))
def test_jpmorgan_answers_any_body(request: tuple[str, str, Any]) -> None:
    assert answered(JPMORGAN_VAULT, request) in (200, 400)


@FUZZ
@given(requests(CASELLE))
def test_caselle_answers_any_body(request: tuple[str, str, Any]) -> None:
    assert answered(CASELLE_VAULT, request) in (200, 201, 400, 404, 409, 422)


def test_unchanged_samples_are_accepted() -> None:
    """Unchanged samples are answered 2xx, except for the made-up address id and token."""
    assert [answered(JpMorganEmulator(SandboxClock()), sample) for sample in JPMORGAN] == [
        200,
        200,
        200,
        400,
        200,
        200,
        200,
    ]
    assert [answered(CaselleEmulator(SandboxClock()), sample) for sample in CASELLE] == [
        201,
        422,
        200,
        200,
        200,
        201,
        200,
    ]
