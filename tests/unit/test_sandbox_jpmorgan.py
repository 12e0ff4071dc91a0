"""Rules of the J.P. Morgan emulator: tenancy, batches, updates, defaults, 3-D Secure, contacts."""

import asyncio
import json
from typing import Any

import pytest

from app.sandbox.base import SandboxClock
from app.sandbox.jpmorgan import JpMorganEmulator
from tests.support.asgi import Reply, call

BASE = "/api/v2/mmp"
ALEX = "/consumer-profiles/PACJGQ"
VISA = "4112344112344113"
CARD = {"accountNumber": VISA, "cardExpirationMonthYearNumber": "01/2030", "cardType": "VI"}
ACH = {"accountNumber": "0888271156", "financialInstitutionRoutingNumber": "122000247", "accountType": "CHECKING"}
SEPA = {"internationalBankAccountNumber": "DE89370400440532013000"}
BACS = {"accountNumber": "31926819", "bankSortCode": "601613"}
HOME = {"addressType": "BILLING", "line1": "1 Main", "city": "Provo", "postalCode": "84601", "countryCode": "USA"}


class Vault:
    def __init__(self) -> None:
        self.emulator = JpMorganEmulator(SandboxClock())
        self.headers: dict[str, str] = self.emulator.credentials("http://sandbox.test")["headers"]
        self._app = self.emulator.asgi()

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        return await call(self._app, method, BASE + path, json=body, headers=self.headers | headers)

    async def create(self, external_id: str = "CUST-1", **more: Any) -> Reply:
        body = {"externalConsumerProfileIdentifier": external_id, "profilePaymentMethod": {"cardList": [CARD]}}
        return await self.call("POST", "/consumer-profiles", body | more)

    async def profile(self, path: str = ALEX) -> Any:
        return (await self.call("GET", path)).json()


@pytest.fixture
def vault() -> Vault:
    return Vault()


def entities(reply: Reply) -> list[str]:
    assert (reply.status, reply.json()["responseCode"]) == (400, "MP_REQ_001")
    return [fault["entity"] for fault in reply.json()["validationErrors"]]


async def test_the_bearer_comes_before_anything_else(vault: Vault) -> None:
    reply = await vault.call("PUT", "/no/such/path", Authorization="Bearer x", merchantIdentifier="")
    assert (reply.status, reply.json()["errorCode"]) == (401, "EDG00012")


async def test_the_merchant_scopes_every_call(vault: Vault) -> None:
    assert entities(await vault.call("GET", ALEX, merchantIdentifier=" ")) == ["merchantIdentifier"]
    assert (await vault.call("GET", ALEX, merchantIdentifier="111111111111")).status == 403
    assert (await vault.call("GET", ALEX, merchantIdentifier="998482157630")).status == 404
    assert (await vault.call("GET", "/healthcheck", merchantIdentifier="")).json() == {"status": "UP"}


async def test_unreadable_and_misplaced_requests(vault: Vault) -> None:
    assert entities(await vault.call("POST", "/consumer-profiles", {}, **{"content-type": "text/plain"})) == [
        "Content-Type"
    ]
    assert (await vault.call("POST", "/consumer-profiles", [])).status == 400
    assert (await vault.call("GET", "/nothing")).status == 404
    assert (await vault.call("PUT", ALEX)).status == 405


async def test_create_makes_the_first_card_the_default(vault: Vault) -> None:
    methods = {"achList": [ACH], "cardList": [CARD, CARD], "sepaList": [SEPA], "bacsList": [BACS]}
    reply = await vault.create(
        profilePaymentMethod=methods,
        firstName="Ann",
        consumerProfileAddresses=[HOME],
        communication={"emailList": [{"emailAddress": "a@example.com"}]},
    )
    assert reply.status == 200
    profile = reply.json()
    held = profile["paymentMethodType"]
    assert {name: len(held[name]) for name in held} == {
        "cardList": 2,
        "achList": 1,
        "sepaList": 1,
        "bacsList": 1,
        "defaultMOP": 1,
    }
    assert held["defaultMOP"] == {"card": held["cardList"][0]}
    assert held["sepaList"][0]["last4AccountNumber"] == "3000"
    assert held["achList"][0] == {
        "paymentMethodId": held["achList"][0]["paymentMethodId"],
        "last4AccountNumber": "1156",
        "accountStatus": "ACTIVE",
        "accountType": "CHECKING",
    }
    assert profile["addresses"][0] == {"addressIdentifier": profile["addresses"][0]["addressIdentifier"], **HOME}
    assert len(profile["consumerProfileId"]) == 6
    kept = json.dumps(vault.emulator.state)
    numbers = (VISA, ACH["accountNumber"], SEPA["internationalBankAccountNumber"], BACS["accountNumber"])
    assert [number in kept or number in reply.body.decode() for number in numbers] == [False] * 4
    assert "CUST-1" not in reply.body.decode()


async def test_create_reports_every_error(vault: Vault) -> None:
    wrong_card = {"accountNumber": "41", "cardExpirationMonthYearNumber": "13/2030", "cardType": "ZZ"}
    wrong_ach = ACH | {"financialInstitutionRoutingNumber": "122000248"}
    reply = await vault.create(
        " x",
        profilePaymentMethod={"cardList": [wrong_card], "achList": [wrong_ach], "sepaList": [{}]},
        consumerProfileAddresses=[{"countryCode": "US"}],
    )
    assert entities(reply) == [
        "externalConsumerProfileIdentifier",
        "consumerProfileAddresses[0].addressType",
        "consumerProfileAddresses[0].countryCode",
        "profilePaymentMethod.cardList[0].accountNumber",
        "profilePaymentMethod.cardList[0].cardExpirationMonthYearNumber",
        "profilePaymentMethod.cardList[0].cardType",
        "profilePaymentMethod.achList[0].financialInstitutionRoutingNumber",
        "profilePaymentMethod.sepaList[0].internationalBankAccountNumber",
    ]
    assert entities(await vault.create(profilePaymentMethod={})) == ["profilePaymentMethod"]
    assert (await vault.create()).status == 200


@pytest.mark.parametrize("external_id", ["a&&b", "", "x" * 37, "a_b"])
async def test_external_id_format(vault: Vault, external_id: str) -> None:
    assert entities(await vault.create(external_id)) == ["externalConsumerProfileIdentifier"]


async def test_an_external_id_is_unique_whatever_its_case_and_the_race(vault: Vault) -> None:
    replies = await asyncio.gather(*(vault.create(name) for name in ("Cust-9", "CUST-9", "cust-9")))
    assert sorted(reply.status for reply in replies) == [200, 400, 400]


async def test_a_profile_id_may_be_the_external_id(vault: Vault) -> None:
    vault.emulator.set_switch("PROFILE_ID", "external")
    assert (await vault.create("order121")).json()["consumerProfileId"] == "ORDER121"
    assert (await vault.create("order121")).status == 400


async def test_a_kind_the_merchant_may_not_use(vault: Vault) -> None:
    body = {"externalConsumerProfileIdentifier": "X", "profilePaymentMethod": {"sepaList": [SEPA]}}
    reply = await vault.call("POST", "/consumer-profiles", body, merchantIdentifier="998482157630")
    assert (reply.status, reply.json()["responseCode"]) == (400, "NOT_ENTITLED")


async def test_adding_a_batch_is_all_or_nothing(vault: Vault) -> None:
    before = await vault.profile()
    bad = {"cardList": [CARD], "achList": [ACH | {"accountNumber": "12a4"}]}
    assert entities(await vault.call("POST", ALEX + "/payment-methods", bad)) == ["achList[0].accountNumber"]
    assert entities(await vault.call("POST", ALEX + "/payment-methods", {})) == [""]
    assert entities(await vault.call("POST", ALEX + "/payment-methods", {"cardList": []})) == ["cardList"]
    assert await vault.profile() == before
    for bundle in ({}, {"token": "opaque"}, {"encryptedPaymentBundle": {}}):
        assert (await vault.call("POST", ALEX + "/payment-methods", {"paze": bundle})).status == 400
    bad = {"cardList": [CARD], "browserInfo": {"browserLanguage": "zh-Hant-TW", "javaEnabled": "no"}}
    assert entities(await vault.call("POST", ALEX + "/payment-methods", bad)) == [
        "browserInfo.browserLanguage",
        "browserInfo.javaEnabled",
    ]
    assert await vault.profile() == before
    bundle = {"encryptedPaymentBundle": {"encryptedPayload": "opaque"}}
    good = {"cardList": [CARD], "achList": [ACH], "googlepay": bundle, "browserInfo": {"browserLanguage": "en-US"}}
    reply = await vault.call("POST", ALEX + "/payment-methods", good)
    held = reply.json()["paymentMethodType"]
    assert (len(held["cardList"]), len(held["achList"])) == (5, 1)
    assert held["cardList"][4]["walletProvider"] == "GOOGLE_PAY"
    assert held["defaultMOP"] == before["paymentMethodType"]["defaultMOP"]


async def test_default_mop_in_an_add_names_its_method(vault: Vault) -> None:
    reply = await vault.call("POST", ALEX + "/payment-methods", {"achList": [ACH], "defaultMOP": {"ach": ACH}})
    held = reply.json()["paymentMethodType"]
    assert held["defaultMOP"] == {"ach": held["achList"][0]}
    assert len(held["achList"]) == 1


async def test_pan_lengths(vault: Vault) -> None:
    amex = {"cardList": [CARD | {"accountNumber": "378282246310005"}]}
    assert (await vault.call("POST", ALEX + "/payment-methods", amex)).status == 200
    vault.emulator.set_switch("PAN_LENGTH", "exactly_16")
    assert entities(await vault.call("POST", ALEX + "/payment-methods", amex)) == ["cardList[0].accountNumber"]


async def test_addresses_of_methods(vault: Vault) -> None:
    path = ALEX + "/payment-methods"
    named = {"cardList": [CARD | {"addressIdentifier": "nope"}]}
    assert entities(await vault.call("POST", path, named)) == ["cardList[0].addressIdentifier"]
    before = len((await vault.profile())["addresses"])
    both = {"cardList": [CARD | {"addressIdentifier": "nope", "consumerProfileAddress": HOME}] * 2}
    profile = (await vault.call("POST", path, both)).json()
    used = [card["addressIdentifier"] for card in profile["paymentMethodType"]["cardList"][-2:]]
    assert [address["addressIdentifier"] for address in profile["addresses"][before:]] == used
    assert len(set(used)) == 2


FIRST = ALEX + "/payment-methods/77ccba29-4857-494a-82bc-2a80e1fa2b9d"


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, [""]),
        ({"ach": {}}, [""]),
        ({"card": {}, "ach": {}}, [""]),
        ({"card": {"accountNumber": VISA}}, ["card.accountNumber"]),
        ({"card": {"cardExpirationMonthYearNumber": "1/30"}}, ["card.cardExpirationMonthYearNumber"]),
        ({"card": {"accountStatus": "PENDING"}}, ["card.accountStatus"]),
        (
            {"card": {"consumerProfileAddress": {"line1": "<"}}},
            ["card.consumerProfileAddress.addressType", "card.consumerProfileAddress.line1"],
        ),
    ],
)
async def test_an_update_is_checked_and_changes_nothing(vault: Vault, body: Any, wrong: list[str]) -> None:
    before = await vault.profile()
    assert entities(await vault.call("PATCH", FIRST, body)) == wrong
    assert await vault.profile() == before


async def test_update_default_and_delete(vault: Vault) -> None:
    updated = await vault.call(
        "PATCH", FIRST, {"card": {"accountStatus": "INACTIVE"}, "unknown": 1}, userIdentifier="me"
    )
    card = updated.json()["paymentMethodType"]["cardList"][0]
    assert (card["accountStatus"], updated.json()["updateUserIdentifier"]) == ("INACTIVE", "me")
    refused = await vault.call("PATCH", FIRST + "/default")
    assert (refused.status, refused.json()["responseCode"]) == (400, "PAYMENT_METHOD_INACTIVE")
    await vault.call("PATCH", FIRST, {"card": {"accountStatus": "ACTIVE"}})
    for _ in range(2):
        assert (await vault.call("PATCH", FIRST + "/default")).json()["paymentMethodType"]["defaultMOP"]["card"][
            "last4CardNumber"
        ] == "9999"
    deleted = await vault.call("DELETE", FIRST)
    assert "defaultMOP" not in deleted.json()["paymentMethodType"]
    assert len(deleted.json()["addresses"]) == 3
    assert [
        (await vault.call(verb, path)).status for verb, path in (("DELETE", FIRST), ("PATCH", FIRST + "/default"))
    ] == [
        404,
        404,
    ]


async def test_profiles_are_patched_closed_and_deleted(vault: Vault) -> None:
    patched = await vault.call("PATCH", ALEX, {"lastName": "Roe", "profileStatus": "INACTIVE", "paymentMethodType": {}})
    assert (patched.json()["lastName"], patched.json()["firstName"]) == ("Roe", "John")
    refused = await vault.call("POST", ALEX + "/payment-methods", {"cardList": [CARD]})
    assert (refused.status, refused.json()["responseCode"]) == (400, "PROFILE_INACTIVE")
    assert (await vault.call("GET", ALEX)).status == 200
    assert (await vault.call("DELETE", ALEX)).json() == {
        "responseStatus": "SUCCESS",
        "responseCode": "ACCEPTED",
        "responseMessage": "Request Accepted",
    }
    assert [(await vault.call(verb, ALEX)).status for verb in ("GET", "DELETE")] == [404, 404]
    assert vault.emulator.held("PACJGQ") is None


async def test_an_external_id_cannot_be_taken_over_by_a_patch(vault: Vault) -> None:
    name = "externalConsumerProfileIdentifier"
    assert entities(await vault.call("PATCH", ALEX, {name: "free-01"})) == [name]
    assert (await vault.call("PATCH", ALEX, {name: "user-88420"})).status == 200


async def test_request_and_correlation_ids_are_echoed(vault: Vault) -> None:
    reply = await vault.call("GET", ALEX, requestIdentifier="r-1", correlationIdentifier="c-1")
    assert (reply.json()["requestId"], reply.json()["correlationIdentifier"]) == ("r-1", "c-1")
    assert "requestId" not in await vault.profile()


async def test_addresses(vault: Vault) -> None:
    added = (await vault.call("POST", ALEX + "/addresses", HOME)).json()["addresses"][-1]
    path = f"{ALEX}/addresses/{added['addressIdentifier']}"
    moved = await vault.call("PATCH", path, {"line1": "2 Main"})
    assert moved.json()["addresses"][-1] == added | {"line1": "2 Main"}
    assert entities(await vault.call("PATCH", path, {"addressType": "SHIPPING"})) == ["addressType"]
    assert len((await vault.call("DELETE", path)).json()["addresses"]) == 3
    assert (await vault.call("DELETE", path)).status == 404
    used = await vault.call("DELETE", ALEX + "/addresses/8d452494-ec75-4ef9-9b45-e4bd7debf6a0")
    assert (used.status, used.json()["responseCode"]) == (400, "ADDRESS_IN_USE")


async def test_communication(vault: Vault) -> None:
    path = ALEX + "/communication"
    assert entities(await vault.call("POST", path, {"phoneList": [{"phoneNumber": "8"}]})) == [
        "phoneList[0].phoneNumber",
        "phoneList[0].countryCode",
    ]
    added = await vault.call("POST", path, {"phoneList": [{"phoneNumber": "8015550100", "countryCode": "840"}]})
    phone = added.json()["communication"]["phoneList"][1]
    one = f"{path}/{phone['communicationIdentifier']}"
    assert (await vault.call("PATCH", one + "/default")).json()["communication"]["defaultPhone"] == phone
    changed = await vault.call("PATCH", one, {"phone": {"phoneNumberType": "Work"}})
    assert changed.json()["communication"]["defaultPhone"] == phone | {"phoneNumberType": "Work"}
    assert entities(await vault.call("PATCH", one, {"email": {}})) == [""]
    left = (await vault.call("DELETE", one)).json()["communication"]
    assert ("defaultPhone" in left, len(left["phoneList"])) == (False, 1)
    assert (await vault.call("DELETE", one)).status == 404


ASKED = {"authenticationRequest": {"authenticationReturnUrl": "https://shop.example/back"}}


async def test_a_challenge_decides_a_new_card(vault: Vault) -> None:
    reply = await vault.call("POST", ALEX + "/payment-methods", {"cardList": [CARD | ASKED]})
    card = reply.json()["paymentMethodType"]["cardList"][-1]
    assert card["accountStatus"] == "PENDING"
    status = f"{ALEX}/payment-methods/{card['paymentMethodId']}/status"
    assert "cardAuthenticationDetails" not in (await vault.call("GET", status)).json()
    result = card["authenticationResult"]
    page = result["authenticationOrchestrationUrl"]
    assert page == f"http://sandbox.test/jpmorgan/three-ds/{result['authenticationId']}"
    app, path = vault.emulator.asgi(), page.removeprefix("http://sandbox.test/jpmorgan")
    assert b"4113" in (await call(app, "GET", path)).body
    assert (await call(app, "POST", path, form={"outcome": "MAYBE"})).status == 400
    done = await call(app, "POST", path, form={"outcome": "DENIED"})
    assert (done.status, done.headers["location"]) == (303, "https://shop.example/back")
    assert b"DENIED" in (await call(app, "POST", path, form={"outcome": "SUCCESS"})).body
    details = (await vault.call("GET", status)).json()["cardAuthenticationDetails"]
    assert (details["responseStatus"], details["authenticationId"]) == ("DENIED", result["authenticationId"])
    assert (await vault.profile())["paymentMethodType"]["cardList"][-1]["accountStatus"] == "VERIFICATION_FAILED"


@pytest.mark.parametrize("status", ["SUCCESS", "DENIED", "ERROR"])
async def test_a_test_decides_a_card_in_use(vault: Vault, status: str) -> None:
    card = "77ccba29-4857-494a-82bc-2a80e1fa2b9d"
    assert (await vault.call("GET", FIRST + "/status")).status == 404
    assert vault.emulator.set_three_ds(card, status)
    details = (await vault.call("GET", FIRST + "/status")).json()["cardAuthenticationDetails"]
    assert details["responseStatus"] == status
    assert (await vault.profile())["paymentMethodType"]["cardList"][0]["accountStatus"] == "ACTIVE"
    assert vault.emulator.set_three_ds(card, "NONE")
    assert (await vault.call("GET", FIRST + "/status")).status == 404


async def test_three_ds_is_for_cards_that_exist(vault: Vault) -> None:
    refs = vault.emulator.held("EGQSGO")
    assert refs is not None
    bank = next(method["ref"] for method in refs if method["kind"] == "bank")
    reply = await vault.call("GET", f"/consumer-profiles/EGQSGO/payment-methods/{bank}/status")
    assert (reply.status, reply.json()["responseCode"]) == (400, "CARDS_ONLY")
    assert (vault.emulator.set_three_ds(bank, "SUCCESS"), vault.emulator.set_three_ds("no", "SUCCESS")) == (
        False,
        False,
    )
    with pytest.raises(ValueError, match="status"):
        vault.emulator.set_three_ds(bank, "success")


async def test_an_authentication_request_is_checked(vault: Vault) -> None:
    bad = {"authenticationRequest": {"authenticationReturnUrl": "javascript:alert(1)"}}
    reply = await vault.call("POST", ALEX + "/payment-methods", {"cardList": [CARD | bad]})
    assert entities(reply) == ["cardList[0].authenticationRequest"]


async def test_import_status_needs_its_headers_and_a_file(vault: Vault) -> None:
    assert entities(await vault.call("GET", "/bulk-import/status")) == ["merchantFileName", "submitterIdentifier"]
    reply = await vault.call("GET", "/bulk-import/status", merchantFileName="a.csv", submitterIdentifier="S")
    assert reply.status == 404


async def test_first_six_is_a_switch(vault: Vault) -> None:
    vault.emulator.set_switch("FIRST_SIX", "shown")
    cards = (await vault.profile())["paymentMethodType"]["cardList"]
    assert [card["first6CardNumber"] for card in cards] == ["555555", "423455", "411111"]


def test_the_demo_data_is_deterministic_and_readable(vault: Vault) -> None:
    assert vault.emulator.demo_state() == JpMorganEmulator(SandboxClock()).demo_state()
    load = vault.emulator.held("LD0001")
    assert load is not None
    assert [(method["kind"], method["last4"], method["active"], method["is_default"]) for method in load] == [
        ("card", "1001", True, True),
        ("bank", "5001", True, False),
    ]
    sam = vault.emulator.held("EGQSGO")
    assert sam is not None
    assert [(method["kind"], method["is_default"]) for method in sam] == [("card", True), ("bank", False)]
    assert vault.emulator.held("FREE01") is not None
