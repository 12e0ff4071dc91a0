"""Aloha emulator: credentials, shapes, field rules, media types."""

import copy
import json
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest

from app.sandbox.aloha import demo
from app.vault import pan
from tests.support.aloha import ALEX_REF, PAYMENTS, TOKEN_PATH, UNKNOWN_CUSTOMER, Aloha, faults, header
from tests.support.asgi import Reply, call

MODELS = "{http://schemas.datacontract.org/2004/07/OnlineOrderingAPI.Models.v1}"


@pytest.mark.parametrize(
    "change", [{"authorization": ""}, {"authorization": "Basic eDp5"}, {"x_api_companycode": ""}], ids=str
)
async def test_basic_and_company_code_are_required(change: dict[str, str]) -> None:
    reply = await Aloha().call("GET", PAYMENTS, **change)
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Basic")


async def test_companies_share_no_customers() -> None:
    vault = Aloha()
    assert (await vault.call("GET", PAYMENTS, x_api_companycode=demo.OTHER_COMPANY)).status == 404
    assert (await vault.call("GET", PAYMENTS, x_api_companycode="NONE999")).status == 401
    elsewhere = f"/v1/customers/{demo.ELSEWHERE}"
    assert (await vault.call("GET", elsewhere)).status == 404
    assert (await vault.call("GET", elsewhere, x_api_companycode=demo.OTHER_COMPANY.lower())).status == 200
    refused = await vault.call("PUT", TOKEN_PATH, header(), x_api_companycode=demo.OTHER_COMPANY)
    assert faults(refused) == ["header.CustomerId"]


async def test_demo_has_an_expired_card_and_a_similar_card() -> None:
    vault = Aloha()
    rows = vault.emulator.held(ALEX_REF) or []
    assert [(row["kind"], row["last4"], row["active"], row["is_default"]) for row in rows] == [
        ("card", "7890", True, None),
        ("card", "1111", True, None),
    ]
    first, second = await vault.listed()
    assert [row["ref"] for row in rows] == [first["AccountId"], second["AccountId"]]
    assert (first["MethodType"], first["ExpirationDate"], first["MaskedAccountNumber"]) == (
        6,
        "2017-12-01",
        "123456xxxxxx7890",
    )
    assert (second["MethodType"], second["ExpirationDate"]) == (7, "2030-01-01")
    assert vault.emulator.held(demo.UNLINKED) == []
    assert vault.emulator.held(UNKNOWN_CUSTOMER) is None
    odd = (await vault.call("GET", f"/v1/Customers/{demo.ODD}/Payments")).json()
    assert [(row["MethodType"], row["ProviderType"]) for row in odd] == [(2, 1)]


async def test_the_state_is_json_and_has_no_card_number() -> None:
    vault = Aloha()
    await vault.add()
    body = {"AccountNumber": "4111 1111 1111 1111", "ExpirationDate": "12/30", "PaymentMethodType": 7}
    assert (await vault.call("POST", f"/v1/Customers/{demo.UNLINKED}/Payments", body)).status == 200
    text = json.dumps(vault.emulator.state)
    assert not pan.looks_like_card_number(text)
    again = Aloha()
    again.emulator.state = json.loads(text)
    assert await again.listed() == await vault.listed()
    assert Aloha().emulator.state == vault.emulator.demo_state()


@pytest.mark.parametrize(
    "path", [f"/V1/CUSTOMERS/{ALEX_REF.upper()}/payments", f"/v1/customers/{{{ALEX_REF}}}/Payments"]
)
async def test_paths_and_guids_match_in_any_case(path: str) -> None:
    assert len((await Aloha().call("GET", path)).json()) == 2


async def test_mounted_elsewhere_it_serves_the_same_paths() -> None:
    vault = Aloha()
    assert (await call(vault.app, "GET", PAYMENTS, headers=vault.headers, root_path="/aloha")).status == 200


async def test_wrong_verbs_and_paths() -> None:
    vault = Aloha()
    assert (await vault.call("GET", f"/v1/Customers/{UNKNOWN_CUSTOMER}")).status == 404
    assert (await vault.call("GET", "/v1/Customers/37")).status == 404
    assert (await vault.call("GET", "/v1/Wallets")).status == 404
    wrong = await vault.call("PUT", PAYMENTS, {})
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET, POST")
    assert (await vault.call("PUT", TOKEN_PATH, body=b"x", content_type="text/plain")).status == 415
    assert (await vault.call("PUT", TOKEN_PATH, body=b"x")).status == 415
    assert (await vault.call("PUT", TOKEN_PATH, body=b"{", content_type="text/json")).status == 400
    assert (await vault.call("PUT", TOKEN_PATH, [1])).status == 400


async def test_empty_list_and_unknown_customer_are_404_unless_switched() -> None:
    vault = Aloha()
    path = f"/v1/Customers/{demo.UNLINKED}/Payments"
    assert (await vault.call("GET", path)).status == 404
    assert (await vault.call("GET", f"/v1/Customers/{demo.UNLINKED}")).status == 200
    vault.emulator.set_switch("EMPTY_PAYMENTS", "empty_array")
    assert (await vault.call("GET", path)).json() == []
    assert (await vault.call("GET", f"/v1/Customers/{UNKNOWN_CUSTOMER}/Payments")).status == 404


async def test_every_list_shape() -> None:
    odd = f"/v1/Customers/{demo.ODD}/Payments"
    shapes = {}
    for shape in ("array", "single_or_array", "single"):
        vault = Aloha(PAYMENTS_SHAPE=shape)
        shapes[shape] = [type((await vault.call("GET", path)).json()).__name__ for path in (PAYMENTS, odd)]
    assert shapes == {
        "array": ["list", "list"],
        "single_or_array": ["list", "dict"],
        "single": ["dict", "dict"],
    }


async def test_info_wraps_the_same_payments() -> None:
    vault = Aloha()
    info = (await vault.call("GET", f"{PAYMENTS}/Info")).json()
    assert sorted(info) == ["CPSCompanyCode", "CPSCompanyID", "CustomerProfileId", "Payments"]
    assert [row.pop("$id") for row in info["Payments"]] == ["2", "3"]
    assert info["Payments"] == await vault.listed()
    assert (await vault.call("GET", f"/v1/Customers/{demo.UNLINKED}/Payments/Info")).json()["Payments"] == []
    assert (await vault.call("GET", f"/v1/Customers/{UNKNOWN_CUSTOMER}/Payments/Info")).status == 400


GOOD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"ExpirationDate": "2031-09-01", "MethodType": 6, "ProviderType": 2}),
    ({"ExpirationDate": "2031-09-30"}, {"ExpirationDate": "2031-09-01"}),
    ({"ExpirationDate": "12/17"}, {"ExpirationDate": "2017-12-01"}),
    ({"ProviderType": "ConnectedPayments", "CardType": "Amex"}, {"ProviderType": 2, "MethodType": 0}),
    ({"ProviderType": "2", "CardType": "jcb"}, {"MethodType": 5}),
    ({"MaskedCardNumber": "222300●●●●●●0007"}, {"MaskedAccountNumber": "222300●●●●●●0007"}),
    ({"MaskedCardNumber": "2223 00XX XXXX 0007"}, {"MaskedAccountNumber": "2223 00XX XXXX 0007"}),
    (
        {"ProviderType": 4, "CardToken": "anything", "MaskedCardNumber": "****0007", "CardType": 3},
        {"ProviderType": 4, "ExpirationDate": "09/31", "MethodType": 3},
    ),
    ({"ProviderType": 6, "CardToken": "9f1c2d3e", "CardHolderName": "Ada Example", "CardType": 7}, {"MethodType": 7}),
]


@pytest.mark.parametrize(("changes", "read"), GOOD, ids=str)
async def test_a_token_is_saved_and_read_back(changes: dict[str, Any], read: dict[str, Any]) -> None:
    vault = Aloha()
    reply = await vault.add(**changes)
    assert (reply.status, len(reply.json())) == (200, 36)
    saved = (await vault.listed())[-1]
    assert saved["AccountId"] == reply.json()
    assert saved["AccountNumber"] == changes.get("CardToken", header()["CardToken"])
    assert {name: saved[name] for name in read} == read
    assert "CardHolderName" not in saved


BAD: list[tuple[dict[str, Any], str]] = [
    ({"CustomerId": None}, "CustomerId"),
    ({"CustomerId": "37"}, "CustomerId"),
    ({"CustomerId": "00000000-0000-0000-0000-000000000000"}, "CustomerId"),
    ({"CustomerId": UNKNOWN_CUSTOMER}, "CustomerId"),
    ({"ProviderType": 1}, "ProviderType"),
    ({"ProviderType": "Bpoint"}, "ProviderType"),
    ({"ProviderType": None}, "ProviderType"),
    ({"CardType": 2}, "CardType"),
    ({"CardType": True}, "CardType"),
    ({"MaskedCardNumber": ""}, "MaskedCardNumber"),
    ({"MaskedCardNumber": "4111111111111111"}, "MaskedCardNumber"),
    ({"MaskedCardNumber": "4111-1111-1111-1111"}, "MaskedCardNumber"),
    ({"MaskedCardNumber": "411111******111"}, "MaskedCardNumber"),
    ({"MaskedCardNumber": "4111111111"}, "MaskedCardNumber"),
    ({"MaskedCardNumber": "411111######1111"}, "MaskedCardNumber"),
    ({"ProviderType": 4, "MaskedCardNumber": "4111111111111111"}, "MaskedCardNumber"),
    ({"ExpirationDate": "13/29"}, "ExpirationDate"),
    ({"ExpirationDate": "00/29"}, "ExpirationDate"),
    ({"ExpirationDate": "9/29"}, "ExpirationDate"),
    ({"ExpirationDate": "2029-02-30"}, "ExpirationDate"),
    ({"ExpirationDate": "09/2029"}, "ExpirationDate"),
    ({"ExpirationDate": None}, "ExpirationDate"),
    ({"CardToken": ""}, "CardToken"),
    ({"CardToken": "1234567890123456"}, "CardToken"),
    ({"CardToken": "20:1234"}, "CardToken"),
    ({"CardToken": "201:"}, "CardToken"),
    ({"ProviderType": 6}, "CardHolderName"),
    ({"ProviderType": 6, "CardHolderName": "  "}, "CardHolderName"),
]


@pytest.mark.parametrize(("changes", "name"), BAD, ids=str)
async def test_a_bad_field_is_named_and_nothing_is_saved(changes: dict[str, Any], name: str) -> None:
    vault = Aloha()
    before = copy.deepcopy(vault.emulator.state)
    reply = await vault.add(**changes)
    assert faults(reply) == [f"header.{name}"]
    assert b"4111" not in reply.body
    assert vault.emulator.state == before


async def test_every_bad_field_has_its_message() -> None:
    reply = await Aloha().call("PUT", TOKEN_PATH, {})
    names = ("CardToken", "CardType", "CustomerId", "ExpirationDate", "MaskedCardNumber", "ProviderType")
    assert faults(reply) == [f"header.{name}" for name in names]


async def test_member_names_match_in_any_case() -> None:
    sent = {name[0].lower() + name[1:]: value for name, value in header().items()}
    assert (await Aloha().call("PUT", TOKEN_PATH, sent)).status == 200


async def test_a_company_takes_only_the_providers_it_is_set_up_for() -> None:
    vault = Aloha(ENABLED_PROVIDERS="4,6")
    assert faults(await vault.add()) == ["header.ProviderType"]
    assert (await vault.add(ProviderType=4)).status == 200


async def test_past_dates_are_accepted_unless_switched() -> None:
    assert (await Aloha().add(ExpirationDate="01/20")).status == 200
    assert faults(await Aloha(PAST_EXPIRATION="reject").add(ExpirationDate="01/20")) == ["header.ExpirationDate"]


async def test_a_token_saved_twice() -> None:
    counts = {}
    for mode in ("new_account", "same_account", "reject"):
        vault = Aloha(DUPLICATE_TOKEN=mode)
        first, second = await vault.add(), await vault.add()
        counts[mode] = (second.status, second.body == first.body, len(await vault.listed()))
    assert counts == {
        "new_account": (200, False, 4),
        "same_account": (200, True, 3),
        "reject": (400, False, 3),
    }


async def test_posting_payments_replaces_them_all() -> None:
    vault = Aloha()
    sent = {"AccountNumber": "4111111111111111", "ExpirationDate": "12/30", "PaymentMethodType": 7}
    reply = await vault.call("POST", PAYMENTS, sent)
    assert reply.status == 200
    (left,) = await vault.listed()
    assert (left["AccountId"], left["MaskedAccountNumber"]) == (reply.json(), "411111******1111")
    assert left["ExpirationDate"] == "2030-12-01"
    assert faults(await vault.call("POST", PAYMENTS, {})) == [
        "payment.AccountNumber",
        "payment.ExpirationDate",
        "payment.PaymentMethodType",
    ]


async def test_deleting_is_405_unless_switched_on() -> None:
    vault = Aloha()
    first, second = await vault.listed()
    path = f"{PAYMENTS}/{first['AccountId']}"
    assert (await vault.call("DELETE", path)).status == 405
    vault.emulator.set_switch("ENABLE_PAYMENT_DELETE", "1")
    assert (await vault.call("DELETE", path)).status == 200
    assert (await vault.call("DELETE", path)).status == 404
    assert await vault.listed() == [second]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        ("text/xml", "text/xml"),
        ("application/json;q=0.5, application/xml", "application/xml"),
        ("application/xml;q=0, text/*", "text/json"),
    ],
)
async def test_accept_chooses_the_media_type(accept: str, media_type: str) -> None:
    reply = await Aloha().call("GET", PAYMENTS, accept=accept)
    assert reply.headers["content-type"].partition(";")[0] == media_type


async def test_xml_lists_members_in_order_with_enum_names() -> None:
    vault = Aloha()
    root = fromstring((await vault.call("GET", PAYMENTS, accept="application/xml")).body)
    assert root.tag == f"{MODELS}ArrayOfCustomerPayment"
    first = root[0]
    names = [child.tag.removeprefix(MODELS) for child in first]
    assert names == sorted(names)
    assert len(names) == 9
    assert [first.findtext(f"{MODELS}{name}") for name in ("MethodType", "ProviderType")] == [
        "MasterCard",
        "ConnectedPayments",
    ]
    assert first.find(f"{MODELS}ZipCode").attrib == {"{http://www.w3.org/2001/XMLSchema-instance}nil": "true"}  # type: ignore[union-attr]
    info = fromstring((await vault.call("GET", f"{PAYMENTS}/Info", accept="text/xml")).body)
    assert [child.tag for child in info.find(f"{MODELS}Payments") or ()] == [f"{MODELS}ConsumerPaymentMethod"] * 2


def token_xml(*members: str, root: str = "CustomerCreditCardTokenHeader", namespace: str = MODELS[1:-1]) -> bytes:
    return f'<{root} xmlns="{namespace}">{"".join(members)}</{root}>'.encode()


MEMBERS = (
    "<CardHolderName>Ada Example</CardHolderName>",
    "<CardToken>9f1c2d3e</CardToken>",
    "<CardType>Visa</CardType>",
    f"<CustomerId>{ALEX_REF}</CustomerId>",
    "<ExpirationDate>12/29</ExpirationDate>",
    "<MaskedCardNumber>411111******1111</MaskedCardNumber>",
    "<ProviderType>FreedomPay</ProviderType>",
)


async def put_xml(vault: Aloha, body: bytes) -> Reply:
    return await vault.call("PUT", TOKEN_PATH, body=body, content_type="application/xml; charset=utf-8")


async def test_an_xml_member_out_of_order_counts_as_missing() -> None:
    vault = Aloha()
    assert (await put_xml(vault, token_xml(*MEMBERS))).status == 200
    swapped = (*MEMBERS[1:2], MEMBERS[0], *MEMBERS[2:])
    assert faults(await put_xml(vault, token_xml(*swapped))) == ["header.CardHolderName"]


@pytest.mark.parametrize(
    "body",
    [
        token_xml(*MEMBERS, namespace="http://example.org"),
        token_xml(*MEMBERS, root="Token"),
        b"<open>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
        b"",
    ],
)
async def test_xml_that_is_not_the_contract_is_400(body: bytes) -> None:
    vault = Aloha()
    reply = await vault.call("PUT", TOKEN_PATH, body=body, content_type="text/xml", accept="text/xml")
    assert (reply.status, fromstring(reply.body).tag) == (400, "Error")
    assert len(await vault.listed()) == 2
