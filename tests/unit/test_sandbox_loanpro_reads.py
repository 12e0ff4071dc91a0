"""LoanPro emulator: credentials, reads, OData queries, search."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.support.asgi import call
from tests.support.loanpro import LMS, LoanPro

CUSTOMERS = "odata.svc/Customers()"


def ids(reply: Any) -> list[int]:
    assert reply.status == 200
    return [row["id"] for row in reply.json()["d"]["results"]]


async def filtered(vault: LoanPro, text: str, more: str = "") -> list[int]:
    return ids(await vault.lms("GET", f"{CUSTOMERS}?$filter={quote(text)}{more}"))


@pytest.mark.parametrize(
    "change",
    [
        {"Authorization": ""},
        {"Authorization": "sandbox-loanpro-api-token"},
        {"Authorization": "Bearer other"},
        {"Autopal-Instance-Id": ""},
        {"Autopal-Instance-Id": "1"},
    ],
    ids=str,
)
async def test_both_lms_headers_are_required(change: dict[str, str]) -> None:
    vault = LoanPro()
    reply = await vault.lms("GET", "odata.svc/Customers(37)", headers={**vault.headers, **change})
    assert reply.status == 401
    assert reply.json()["code"] == "401-CN0001"


async def test_mounted_elsewhere_it_serves_the_same_paths() -> None:
    vault = LoanPro()
    reply = await call(vault.app, "GET", f"{LMS}odata.svc/Customers(37)", headers=vault.headers, root_path="/loanpro")
    assert reply.json()["d"]["id"] == 37


async def test_unknown_customer_is_409_and_unknown_endpoint_404() -> None:
    vault = LoanPro()
    assert (await vault.lms("GET", "odata.svc/Customers(9)")).status == 409
    assert (await vault.lms("GET", "odata.svc/Customers(9)/PaymentAccounts")).status == 409
    assert (await vault.lms("GET", "odata.svc/PaymentAccounts(9)")).status == 409
    assert (await vault.lms("GET", "odata.svc/Wallets")).status == 404
    assert (await vault.lms("DELETE", "odata.svc/Customers(37)")).status == 404


async def test_alex_holds_a_primary_visa_a_bank_account_and_an_old_card() -> None:
    card, bank, old = sorted(await LoanPro().accounts(37), key=lambda row: row["id"])
    flags = ("isPrimary", "isSecondary", "active", "type", "CheckingAccount")
    assert [card[name] for name in flags] == [1, 0, 1, "paymentAccount.type.credit", None]
    details = ("cardNumber", "cardType", "cardExpiration", "cardHolderName")
    assert [card["CreditCard"][name] for name in details] == [
        "XXXXXXXXXXXX1111",
        "creditCard.type.visa",
        "01/2030",
        "Alex Morales",
    ]
    assert [bank["isPrimary"], bank["isSecondary"], bank["active"], bank["CreditCard"]] == [0, 0, 1, None]
    account = ("accountNumber", "bankName", "accountType", "cardHolderName")
    assert [bank["CheckingAccount"][name] for name in account] == [
        "XXXXXXX4235",
        "Test Bank",
        "bankacct.type.checking",
        "Alex Morales",
    ]
    assert [old["active"], old["CreditCard"]["cardType"]] == [0, "creditCard.type.discover"]


async def test_children_are_deferred_until_expanded() -> None:
    vault = LoanPro()
    whole = (await vault.lms("GET", "odata.svc/Customers(37)")).json()["d"]
    assert whole["PaymentAccounts"] == {"__deferred": {"uri": "Customers(id=37)/PaymentAccounts"}}
    assert whole["firstName"] == "Alex"
    one = (await vault.lms("GET", "odata.svc/Customers(37)?$expand=PaymentAccounts,PrimaryAddress")).json()["d"]
    assert one["PrimaryAddress"]["state"] == "geo.state.UT"
    assert next(row["CreditCard"] for row in one["PaymentAccounts"]["results"]) == {
        "__deferred": {"uri": "PaymentAccounts(id=303)/CreditCard"}
    }
    two = (await vault.lms("GET", "odata.svc/Customers(37)?$expand=PaymentAccounts/CreditCard")).json()["d"]
    assert two["PaymentAccounts"]["results"][0]["CreditCard"]["cardNumber"] == "XXXXXXXXXXXX1117"
    three = await vault.accounts(37, "$expand=CheckingAccount/Address&$filter=id%20eq%20302")
    assert three[0]["CheckingAccount"]["Address"]["city"] == "Salt Lake City"
    assert (await vault.lms("GET", "odata.svc/Customers(37)?$expand=Wallets")).status == 409


async def test_many_customers_with_all_profiles_come_in_one_call() -> None:
    wanted = [37, 38, *range(1001, 1041)]
    text = quote(" or ".join(f"id eq {number}" for number in [*wanted, 9]))
    expand = "PaymentAccounts,PaymentAccounts/CheckingAccount,PaymentAccounts/CreditCard"
    reply = await LoanPro().lms("GET", f"{CUSTOMERS}?$filter={text}&$expand={expand}&nopaging=true")
    assert ids(reply) == wanted
    assert [len(row["PaymentAccounts"]["results"]) for row in reply.json()["d"]["results"]] == [3, 2, *[3] * 40]


async def test_a_page_holds_fifty_rows_unless_paging_is_off() -> None:
    vault = LoanPro()
    first = await vault.lms("GET", CUSTOMERS)
    assert first.json()["d"]["summary"] == {"start": 0, "pageSize": 50, "total": 203}
    assert len(ids(first)) == 50
    assert ids(await vault.lms("GET", f"{CUSTOMERS}?$skip=200")) == [1198, 1199, 1200]
    assert len(ids(await vault.lms("GET", f"{CUSTOMERS}?$top=120"))) == 50
    assert len(ids(await vault.lms("GET", f"{CUSTOMERS}?nopaging"))) == 203
    assert ids(await vault.lms("GET", f"{CUSTOMERS}?nopaging=true&$top=2&$orderby=id%20desc")) == [1200, 1199]
    assert (await vault.lms("GET", f"{CUSTOMERS}?$top=many")).status == 409


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("email eq 'alex@example.com'", [37]),
        ("customId eq 'user-88421'", [38]),
        ("(id eq 37 or id eq 38) and firstName ne 'Alex'", [38]),
        ("id gt 37 and id le 39", [38, 39]),
        ("id ge 37 and not (id gt 38)", [37, 38]),
        ("id lt 39 and firstName eq 'O''Neil'", []),
        ("startswith(lastName, 'Mor')", [37]),
        ("endswith(email,'sam@example.com') eq true", [38]),
        ("substringof('kafo', lastName)", [38]),
        ("tolower(firstName) eq 'alex'", [37]),
        ("PrimaryAddress/address1 eq '37 Example Street'", [37]),
        ("id lt 40 and birthDate gt datetime'1970-08-10'", [38, 39]),
        ("id lt 40 and middleName eq null", [37, 38, 39]),
        ("id eq '37'", [37]),
    ],
)
async def test_filter_grammar(text: str, found: list[int]) -> None:
    assert await filtered(LoanPro(), text) == found


@pytest.mark.parametrize(
    "text",
    ["id in (37)", "id eq", "id eq 37 38", "shoeSize eq 1", "(id eq 37", "soundex(email) eq 'a'", "id eq 37;", "eq 1"],
)
async def test_unsupported_filter_is_409(text: str) -> None:
    reply = await LoanPro().lms("GET", f"{CUSTOMERS}?$filter={quote(text)}")
    assert (reply.status, reply.json()["error"]["type"]) == (409, "EntityException")


async def test_profiles_filter_and_sort() -> None:
    vault = LoanPro()
    assert [row["id"] for row in await vault.accounts(37, "$filter=active%20eq%201&$orderby=id")] == [301, 302]
    assert [row["id"] for row in await vault.accounts(37, "")] == [303, 302, 301]
    text = quote("(entityId eq 37 or entityId eq 38) and active eq 1")
    reply = await vault.lms("GET", f"odata.svc/PaymentAccounts?$filter={text}&$orderby=id%20asc")
    assert ids(reply) == [301, 302, 304, 305]
    child = await vault.lms("GET", "odata.svc/PaymentAccounts(id=301)/CreditCard")
    assert child.json()["d"]["cardNumber"] == "XXXXXXXXXXXX1111"


async def test_flags_can_be_text_and_card_details_absent() -> None:
    plain = (await LoanPro().accounts(38, "$filter=isPrimary%20eq%201"))[0]
    assert (plain["isPrimary"], plain["active"], plain["verify"]) == (1, 1, 0)
    vault = LoanPro(FLAGS="strings", CARD_DETAILS="none", TOKEN_ECHO="none")
    row = (await vault.accounts(38, "$expand=CreditCard&$filter=isPrimary%20eq%201"))[0]
    assert (row["isPrimary"], row["isSecondary"], row["active"], row["verify"]) == ("1", "0", "1", 0)
    assert (row["CreditCard"]["cardNumber"], row["CreditCard"]["token"]) == (None, None)


async def search(vault: LoanPro, query: Any, options: str = "") -> list[int]:
    return ids(await vault.lms("POST", f"Customers/Autopal.Search(){options}", {"query": query}))


async def test_search_is_analysed_and_pages_with_start() -> None:
    vault = LoanPro()
    assert (await search(vault, {"match": {"email": "sam@example.com"}}))[0] == 38
    assert len(await search(vault, {"match": {"email": "sam@example.com"}}, "?$top=25&$start=0")) == 25
    assert await search(vault, {"bool": {"must": {"match": {"primaryPhone": "8015550037"}}}}) == [37]
    both = {"bool": {"should": [{"match": {"firstName": "sam"}}, {"match": {"firstName": "alex"}}]}}
    assert await search(vault, both) == [37, 38]
    assert await search(vault, both, "?$top=1&$start=1") == [38]
    assert await search(vault, {"query_string": {"query": "mora*", "fields": ["lastName"]}}) == [37]
    assert (await vault.lms("POST", "Customers/Autopal.Search()", {"query": {"fuzzy": {}}})).status == 409


async def test_search_index_can_lag_behind() -> None:
    vault = LoanPro(SEARCH_DELAY_S="5")
    changed = await vault.lms("PUT", "odata.svc/Customers(38)", {"firstName": "Samuel"})
    assert changed.json()["d"]["firstName"] == "Samuel"
    assert await search(vault, {"match": {"firstName": "samuel"}}) == []
    assert await search(vault, {"match": {"firstName": "sam"}}) == [38]
    vault.emulator.clock.advance(6)
    assert await search(vault, {"match": {"firstName": "samuel"}}) == [38]
