"""LoanPro emulator: Secure Payments, its two authentication methods, and minted tokens."""

from typing import Any

import pytest

from tests.support.loanpro import VISA, LoanPro

ACCOUNT = {
    "accountholder_name": "Ada Example",
    "account_number": "000123456789",
    "routing_number": "124002971",
    "account_type": "checking",
    "bank_name": "Test Bank",
    "address": "201 E Randolph St",
    "city": "Chicago",
    "state": "IL",
    "zipcode": "60602",
    "country": "USA",
}


async def bank_token(vault: LoanPro, **changes: Any) -> Any:
    body = {"checking-account": {**ACCOUNT, **changes}}
    return await vault.wallet("POST", "checking-account", body, headers=await vault.obo())


async def test_both_headers_of_the_pair_are_required_without_bearer() -> None:
    vault = LoanPro()
    token, secret = vault.pair["Authorization"], vault.pair["Secret"]
    for headers in (
        {},
        {"Authorization": token},
        {"Secret": secret},
        {"Authorization": f"Bearer {token}", "Secret": secret},
        {"Authorization": token, "Secret": "x"},
        await vault.obo(),
    ):
        assert (await vault.wallet("POST", "users/obo-token", headers=headers)).status == 401


async def test_logging_in_answers_the_pair() -> None:
    vault = LoanPro()
    shown = vault.emulator.credentials("http://sandbox.test")["secure_payments"]
    body = {"username": shown["username"], "password": shown["password"]}
    reply = await vault.wallet("POST", "authenticate", body, headers={})
    assert reply.json() == {"token": vault.pair["Authorization"], "secret": vault.pair["Secret"]}
    assert (await vault.wallet("POST", "authenticate", {**body, "password": "x"}, headers={})).status == 401


async def test_a_bank_token_created_with_an_obo_token_is_linkable() -> None:
    vault = LoanPro()
    reply = await bank_token(vault)
    assert reply.status == 200
    child = {"accountType": "bankacct.type.savings", "token": reply.json()["token"]}
    element = {"title": "Savings", "type": "paymentAccount.type.checking", "CheckingAccount": child}
    assert (await vault.link(39, element)).status == 200
    shown = (await vault.accounts(39))[0]["CheckingAccount"]
    wanted = ("accountNumber", "routingNumber", "bankName", "cardHolderName", "accountType", "token")
    assert [shown[name] for name in wanted] == [
        "XXXXXXXX6789",
        "124002971",
        "Test Bank",
        "Ada Example",
        "bankacct.type.savings",
        child["token"],
    ]
    body = {"checking-account": ACCOUNT}
    assert (await vault.wallet("POST", "checking-account", body)).status == 401
    assert (await vault.wallet("POST", "checking-account", body, headers=vault.headers)).status == 401


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"routing_number": "124002972"}, "routing_number"),
        ({"routing_number": "12400297"}, "routing_number"),
        ({"account_number": "12345x"}, "account_number"),
        ({"account_number": ""}, "account_number"),
        ({"account_type": "gold"}, "account_type"),
        ({"city": ""}, "city"),
        ({"zipcode": None}, "zipcode"),
    ],
)
async def test_bank_data_is_checked(changes: dict[str, Any], word: str) -> None:
    reply = await bank_token(LoanPro(), **changes)
    assert reply.status == 400
    assert [word in text for text in reply.json()["context"]["errors"]] == [True]


async def test_profiles_can_be_changed_by_their_token() -> None:
    vault = LoanPro()
    card = vault.card()
    obo, token = await vault.obo(), card["CreditCard"]["token"]
    await vault.link(39, card)
    fresh = {"expiration_date": "012033", "cardholder_name": "Ada Newname", "city": "Provo"}
    reply = await vault.wallet("PUT", "credit-card", {"token": token, "card": fresh}, headers=obo)
    assert (reply.status, reply.json()) == (200, True)
    shown = (await vault.accounts(39))[0]["CreditCard"]
    assert [shown[name] for name in ("cardExpiration", "cardHolderName", "city", "cardNumber")] == [
        "01/2033",
        "Ada Newname",
        "Provo",
        "XXXXXXXXXXXX1111",
    ]
    assert (await vault.wallet("PUT", "credit-card", {"token": "x", "card": fresh}, headers=obo)).status == 404
    bad = {"token": token, "card": {"expiration_date": "132033"}}
    assert (await vault.wallet("PUT", "credit-card", bad, headers=obo)).status == 400

    bank = (await bank_token(vault)).json()["token"]
    change = {"token": bank, "checking-account": {"bank_name": "Other Bank"}}
    assert (await vault.wallet("PUT", "checking-account", change, headers=obo)).json() is True
    child = {"accountType": "bankacct.type.checking", "token": bank}
    await vault.link(39, {"title": "Bank", "type": "paymentAccount.type.checking", "CheckingAccount": child})
    shown = (await vault.accounts(39))[0]["CheckingAccount"]
    assert (shown["bankName"], shown["accountNumber"]) == ("Other Bank", "XXXXXXXX6789")


async def test_a_deleted_profile_cannot_be_linked_any_more() -> None:
    vault = LoanPro()
    card = vault.card()
    body = {"credit-card": card["CreditCard"]}
    assert (await vault.wallet("DELETE", "credit-card", body)).json() is True
    assert (await vault.wallet("DELETE", "credit-card", body)).status == 404
    assert (await vault.link(39, card)).status == 409


async def test_profiles_of_a_wallet_customer() -> None:
    vault = LoanPro()
    made = await vault.wallet(
        "POST", "customers", {"customer": {"first_name": "Ada", "last_name": "Example", "email": "ada@example.org"}}
    )
    path = f"customers/{made.json()['id']}"
    body = {"credit-card": vault.card()["CreditCard"]}
    assert (await vault.wallet("PUT", f"{path}/add-card", body)).json() is True
    assert (await vault.wallet("DELETE", f"{path}/credit-card", body)).json() is True
    assert (await vault.wallet("DELETE", f"{path}/credit-card", body)).status == 404
    assert (await vault.wallet("PUT", f"{path}/add-card", {"credit-card": {"token": "x"}})).status == 404
    assert (await vault.wallet("PUT", "customers/99999/add-card", body)).status == 425
    assert (await vault.wallet("POST", "customers", {"customer": {}})).status == 400


async def test_the_capture_form_returns_a_linkable_token() -> None:
    vault = LoanPro()
    obo = (await vault.obo())["Authorization"]
    page = await vault.wallet("GET", f"capture-form/{obo}", headers={})
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"postMessage" in page.body
    data = {"number": VISA, "exp_month": "7", "exp_year": "2031", "holder_name": "Ada Example"}
    reply = (await vault.wallet("POST", f"capture-form/{obo}", data, headers={})).json()
    assert reply["status"] == 200
    element = {"title": "C", "type": "paymentAccount.type.credit", "CreditCard": {"token": reply["token"]}}
    assert (await vault.link(39, element)).status == 200
    refused = await vault.wallet("POST", f"capture-form/{obo}", {**data, "number": "4111111111111112"}, headers={})
    assert (refused.status, b"4111111111111112" in refused.body) == (400, False)
    assert (await vault.wallet("GET", "capture-form/x", headers={})).status == 401
    assert (await vault.wallet("GET", "elsewhere")).status == 404


@pytest.mark.parametrize(
    ("number", "brand"),
    [
        (VISA, "VISA"),
        ("5555555555554444", "MASTERCARD"),
        ("378282246310005", "AMEX"),
        ("6011111111111117", "DISCOVER"),
        ("3530111333300000", None),
    ],
)
def test_minting_a_card_returns_the_browser_capture(number: str, brand: str | None) -> None:
    wish = {"kind": "card", "number": number, "exp_month": 7, "exp_year": 2031, "holder_name": "Ada Example"}
    minted = LoanPro().emulator.mint_token(wish)
    assert {name: value for name, value in minted.items() if name != "token"} == {
        "last4": number[-4:],
        "bin": number[:6],
        "brand": brand,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"number": "4111111111111112"},
        {"number": None},
        {"kind": "gift"},
        {"exp_month": 13},
        {"exp_year": None},
        {"kind": "bank", "number": "x"},
        {"kind": "bank", "number": "12345678", "routing_number": "1"},
        {"kind": "bank", "number": "12345678", "account_type": "gold"},
    ],
    ids=str,
)
def test_an_invalid_token_request_is_refused_without_quoting_values(changes: dict[str, Any]) -> None:
    vault = LoanPro()
    before = len(vault.emulator.state["vault"])
    with pytest.raises(ValueError) as caught:
        vault.emulator.mint_token({"kind": "card", "number": VISA, "exp_month": 7, "exp_year": 2031, **changes})
    assert "411111" not in str(caught.value)
    assert len(vault.emulator.state["vault"]) == before
