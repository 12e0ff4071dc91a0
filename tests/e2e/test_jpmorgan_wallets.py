"""J.P. Morgan's orchestrated 3-D Secure, and cards from Apple Pay, Google Pay and Paze."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.adding import HOME, adding, new_key, raw_card, wallet_payload
from tests.support.gateway import RunningGateway
from tests.support.gateways import patient
from tests.support.mutating import ADD, CREATE, codes, run
from tests.support.sandbox import RunningSandbox

ALL = [
    "customers:read",
    "customers:write",
    "payment_methods:read",
    "payment_methods:write",
    "provider_refs:read",
    "links:read",
    "pan:write",
]
BROWSER = {
    "acceptHeader": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
    "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.6478.127",
    "language": "en-US",
    "screenHeight": 1080,
    "screenWidth": 1920,
    "colorDepth": 24,
    "timeZone": "-300",
    "javaEnabled": False,
    "javaScriptEnabled": True,
    "challengeWindowSize": "FULL_SCREEN",
    "ipAddress": "192.0.2.255",
}
AUTHENTICATE = {"returnUrl": "https://shop.example/back", "browserInfo": BROWSER}


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    settings = {"raw_cards": True, "return_origins": ["https://shop.example"], **patient()}
    with RunningGateway(sandbox_server.url, tmp_path_factory.mktemp("wallets"), **settings) as gateway:
        gateway.headers["authorization"] = f"Bearer {gateway.token(ALL)}"
        yield gateway


@pytest.fixture
def gateway(shared: RunningGateway, sandbox: RunningSandbox) -> RunningGateway:
    """One for the module; the vaults are reset for every test."""
    return shared


# ---- 3-D Secure -------------------------------------------------------------------------------------------


STATUS = """query ($id: ID!) { customer(id: $id) { authStatus defaultMethod { id } defaultMethodInfo { state }
  authSummary { status basis { id } challengePending { id } }
  paymentMethods { id status ... on Card { threeDSecure { status responseCode nextAction { url } } } } } }"""


def status(gateway: RunningGateway, customer: str) -> Any:
    return gateway.data(STATUS, id=customer)["customer"]


def test_a_new_customers_first_card_waits_for_its_challenge(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    """The profile's own default is pending: nothing can pay yet, and the customer's status says why."""
    new = {"externalId": "browser-1", "idempotencyKey": new_key(), "name": {"last": "Example"}}
    customer = run(gateway, CREATE, new)["customer"]["id"]
    assert status(gateway, customer)["authStatus"] == "NOT_APPLICABLE"
    done = run(gateway, ADD, adding(raw_card(sandbox, authenticate=AUTHENTICATE), customer, provision=True))
    assert (done["userErrors"], done["paymentMethod"]["status"]) == ([], "PENDING")
    method = done["paymentMethod"]["id"]
    pending = status(gateway, customer)
    assert (pending["authStatus"], pending["defaultMethod"]) == ("CHALLENGE_REQUIRED", None)
    assert pending["defaultMethodInfo"]["state"] == "NONE"
    assert pending["authSummary"] == {
        "status": "CHALLENGE_REQUIRED",
        "basis": {"id": method},
        "challengePending": [{"id": method}],
    }
    url = pending["paymentMethods"][0]["threeDSecure"]["nextAction"]["url"]
    assert url == done["nextAction"]["url"]
    _complete(sandbox, url, "SUCCESS")
    completed = status(gateway, customer)
    assert (completed["authStatus"], completed["defaultMethod"]) == ("AUTHENTICATED", {"id": method})
    assert completed["paymentMethods"][0]["threeDSecure"]["responseCode"] == "ACCEPTED"


def _complete(sandbox: RunningSandbox, url: str, outcome: str) -> None:
    """As the cardholder's browser does, which is then sent back to the shop."""

    path = url.removeprefix(sandbox.url)
    form = {"content-type": "application/x-www-form-urlencoded"}
    back = sandbox.request("POST", path, urlencode({"outcome": outcome}).encode(), form)
    assert (back.status, back.headers["location"]) == (303, "https://shop.example/back")


def test_a_chosen_method_that_becomes_pending_is_the_basis(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    """And is not replaced by another method: the customer chose it."""
    choose = """mutation ($input: SetDefaultPaymentMethodInput!) { setDefaultPaymentMethod(input: $input) {
      userErrors { code } } }"""
    cards = status(gateway, "cus_sam")["paymentMethods"]
    jpmorgan = next(one["id"] for one in cards if (one.get("threeDSecure") or {}).get("status") == "FAILED")
    chosen = run(gateway, choose, {"customerId": "cus_sam", "paymentMethodId": jpmorgan})
    assert chosen["userErrors"] == []
    assert status(gateway, "cus_sam")["authStatus"] == "FAILED"
    result = {"authenticationId": "a-1", "authenticationOrchestrationUrl": "https://acs.example/1"}
    at = "/paymentMethodType/cardList/0"
    sandbox.fault(
        "jpmorgan",
        "rewrite",
        method="GET",
        set={f"{at}/accountStatus": "PENDING", f"{at}/authenticationResult": result},
        remove=["/cardAuthenticationDetails"],
    )
    found = status(gateway, "cus_sam")
    assert (found["authStatus"], found["authSummary"]["basis"]) == ("CHALLENGE_REQUIRED", {"id": jpmorgan})
    assert (found["defaultMethod"], found["defaultMethodInfo"]["state"]) == (None, "NONE")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("acceptHeader", "é"),
        ("userAgent", "a" * 2049),
        ("language", "zh-Hant-TW"),
        ("screenHeight", 0),
        ("screenWidth", 1_000_000),
        ("colorDepth", 30),
        ("timeZone", "half past two"),
        ("challengeWindowSize", "full screen"),
        ("ipAddress", "192.0.2"),
    ],
)
def test_browser_info_is_checked_field_by_field(
    gateway: RunningGateway, sandbox: RunningSandbox, field: str, value: Any
) -> None:
    sandbox.clear_calls()
    authenticate = AUTHENTICATE | {"browserInfo": BROWSER | {field: value}}
    done = run(gateway, ADD, adding(raw_card(sandbox, authenticate=authenticate)))
    path = ["input", "method", "jpmRawCard", "authenticate", "browserInfo", field]
    assert [(one["code"], one["path"]) for one in done["userErrors"]] == [("INVALID_INPUT", path)]
    assert sandbox.calls() == []


def test_the_vaults_own_refusal_of_browser_info_is_named(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    refusal = {"responseStatus": "ERROR", "responseCode": "MP_REQ_001", "validationErrors": [
        {"code": "MP_REQ_001", "message": "x", "entity": "browserInfo.challengeWindowSize"}]}  # fmt: skip
    sandbox.fault("jpmorgan", "rewrite", method="POST", status=400, body=refusal, times=1)
    done = run(gateway, ADD, adding(raw_card(sandbox, authenticate=AUTHENTICATE)))
    path = ["input", "method", "jpmRawCard", "authenticate", "browserInfo", "challengeWindowSize"]
    assert path in [one["path"] for one in done["userErrors"]]


# ---- wallets ----------------------------------------------------------------------------------------------


METHODS = """query ($id: ID!) { customer(id: $id) { paymentMethods(filter: {providers: [JPMORGAN]}) {
  id status providerRef ... on Card { wallet tokenType } } } }"""


def wallet_cards(gateway: RunningGateway) -> list[Any]:
    found = gateway.data(METHODS, id="cus_alex")["customer"]["paymentMethods"]
    return [one for one in found if one.get("wallet")]


@pytest.mark.parametrize("wallet", ["APPLE_PAY", "GOOGLE_PAY", "PAZE"])
@pytest.mark.parametrize("fault", [None, "drop_after"])
def test_a_wallets_payload_becomes_a_card(
    gateway: RunningGateway, sandbox: RunningSandbox, wallet: str, fault: str | None
) -> None:
    """Also if the reply is lost. The payload is in no log or file: `RunningGateway` searches them."""
    if fault is not None:
        sandbox.fault("jpmorgan", fault, method="POST", path="/api/v2/mmp/consumer-profiles", times=1)
    value = adding(wallet_payload(sandbox, wallet=wallet), status="INACTIVE" if wallet == "PAZE" else "ACTIVE")
    done = run(gateway, ADD, value)
    assert (done["userErrors"], done["operation"]["state"]) == ([], "SUCCEEDED")
    again = run(gateway, ADD, value)
    assert (again["operation"]["replayed"], again["paymentMethod"]["id"]) == (True, done["paymentMethod"]["id"])
    (card,) = wallet_cards(gateway) if wallet != "PAZE" else [{"wallet": wallet, "tokenType": "DEVICE_TOKEN"}]
    assert (card["wallet"], card["tokenType"]) == (wallet, "DEVICE_TOKEN")
    held = sandbox.held("jpmorgan", "PACJGQ")
    assert [one["active"] for one in held[3:]] == [wallet != "PAZE"]


def test_the_same_key_with_another_payload_is_refused(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    value = adding(wallet_payload(sandbox))
    assert codes(run(gateway, ADD, value)) == []
    assert codes(run(gateway, ADD, value | {"method": wallet_payload(sandbox)})) == ["IDEMPOTENCY_KEY_REUSED"]


@pytest.mark.parametrize(
    ("change", "more", "code", "path"),
    [
        ({"encryptedPayload": "4111111111111111"}, {}, "PAN_NOT_ALLOWED", ["encryptedPayload"]),
        ({"encryptedPayload": '{"number": "4111 1111 1111 1111"}'}, {}, "PAN_NOT_ALLOWED", ["encryptedPayload"]),
        ({"encryptedPayload": "x" * 16_385}, {}, "INVALID_INPUT", ["encryptedPayload"]),
        ({"signature": "4111-1111-1111-1111"}, {}, "PAN_NOT_ALLOWED", ["signature"]),
        ({"wallet": "OTHER"}, {}, "INVALID_INPUT", ["wallet"]),
        ({}, {"billingAddress": HOME}, "UNSUPPORTED_BY_PROVIDER", None),
    ],
)
def test_what_is_no_payload_is_refused_before_any_call(
    gateway: RunningGateway, sandbox: RunningSandbox, change: Any, more: Any, code: str, path: Any
) -> None:
    method = wallet_payload(sandbox, **change)
    sandbox.clear_calls()
    done = run(gateway, ADD, adding(method, **more))
    expected = ["input", "billingAddress"] if path is None else ["input", "method", "jpmWalletPayload", *path]
    assert [(one["code"], one["path"]) for one in done["userErrors"]] == [(code, expected)]
    assert sandbox.calls() == []
