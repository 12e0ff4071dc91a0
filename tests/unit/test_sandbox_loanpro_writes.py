"""LoanPro emulator: customers, linking, moving the primary, deactivating, and refusals."""

import copy
import json
from typing import Any

import pytest

from app.vault import pan
from tests.support.loanpro import VISA, LoanPro

NEW = {
    "firstName": "Ada",
    "lastName": "Example",
    "email": "ada@example.org",
    "birthDate": "1970-01-15",
    "ssn": "900990001",
    "customerType": "customer.type.individual",
    "Phones": {"results": [{"phone": "5551234567", "isPrimary": 1, "type": "customer.phoneType.cell"}]},
    "PrimaryAddress": {
        "country": "company.country.usa",
        "address1": "201 E Randolph St",
        "city": "Chicago",
        "state": "geo.state.IL",
        "zipcode": "60602",
    },
    "MailAddress": {
        "country": "company.country.usa",
        "address1": "PO Box 1",
        "city": "Chicago",
        "state": "geo.state.IL",
        "zipcode": "60602",
    },
}


def held(vault: LoanPro, customer: int = 37) -> list[tuple[str, str, bool, bool]]:
    rows = vault.emulator.held(str(customer)) or []
    return [(row["kind"], row["last4"], row["active"], row["is_default"]) for row in rows]


def update(number: int, **changes: Any) -> dict[str, Any]:
    return {"__id": number, "__update": True, **changes}


ALEX = [("card", "1111", True, True), ("bank", "4235", True, False), ("card", "1117", False, False)]


def test_demo_is_deterministic_and_held_is_none_for_an_unknown_customer() -> None:
    vault = LoanPro()
    assert held(vault) == ALEX
    assert vault.emulator.held("39") == []
    assert vault.emulator.held("9") is None
    assert vault.emulator.demo_state() == LoanPro().emulator.state


async def test_the_state_is_json_and_has_no_card_number() -> None:
    vault = LoanPro()
    await vault.link(37, vault.card(), vault.bank("123456789012"))
    text = json.dumps(vault.emulator.state)
    assert not pan.looks_like_card_number(text)
    assert "123456789012" not in text
    again = LoanPro()
    again.emulator.state = json.loads(text)
    assert await again.accounts(37) == await vault.accounts(37)
    assert (await again.link(37, again.card())).status == 200


async def test_a_link_answer_lists_all_profiles_newest_last_by_default() -> None:
    vault = LoanPro()
    shown = (await vault.link(37, vault.card())).json()["d"]["PaymentAccounts"]["results"]
    assert [row["id"] for row in shown][:3] == [301, 302, 303]
    assert shown[3]["id"] > 303


async def test_a_link_answer_can_defer_the_profiles() -> None:
    vault = LoanPro(LINK_RESPONSE="deferred")
    reply = await vault.link(37, vault.card())
    assert reply.status == 200
    assert reply.json()["d"]["PaymentAccounts"] == {"__deferred": {"uri": "Customers(id=37)/PaymentAccounts"}}
    assert held(vault) == [*ALEX, ("card", "1111", True, False)]


async def test_a_link_answer_can_list_the_newest_first() -> None:
    vault = LoanPro(LINK_RESPONSE="expanded_newest_first")
    shown = (await vault.link(37, vault.card())).json()["d"]["PaymentAccounts"]["results"]
    assert [row["id"] for row in shown][1:] == [303, 302, 301]
    assert shown[0]["id"] > 303
    assert shown[0]["CreditCard"]["cardNumber"] == "X" * 12 + VISA[-4:]
    plain = await vault.lms("PUT", "odata.svc/Customers(37)", {"firstName": "Alexa"})
    assert "__deferred" in plain.json()["d"]["PaymentAccounts"]


async def test_the_token_comes_back_in_either_form_and_links_in_either() -> None:
    vault = LoanPro()
    element = vault.card()
    token = element["CreditCard"]["token"]
    assert len(token) > 800
    assert VISA not in token
    await vault.link(38, element)
    assert (await vault.accounts(38))[0]["CreditCard"]["token"] == token
    vault.emulator.set_switch("TOKEN_ECHO", "decoded")
    decoded = (await vault.accounts(38))[0]["CreditCard"]["token"]
    assert decoded != token
    assert (await vault.link(39, {**element, "CreditCard": {"token": decoded}})).status == 200


@pytest.mark.parametrize("children", [[], [{}], {}, {"result": [{}]}, None, "x", {"results": {}}], ids=str)
async def test_a_child_list_of_another_shape_is_silently_dropped(children: Any) -> None:
    vault = LoanPro()
    reply = await vault.lms("PUT", "odata.svc/Customers(37)", {"PaymentAccounts": children})
    assert reply.status == 200
    assert held(vault) == ALEX


def broken(name: str, element: dict[str, Any]) -> dict[str, Any]:
    other = {"accountType": "bankacct.type.checking", "token": "x"}
    return {
        "no title": {**element, "title": ""},
        "no type": {key: value for key, value in element.items() if key != "type"},
        "wrong type": {**element, "type": "paymentAccount.type.savings"},
        "type of the other": {**element, "type": "paymentAccount.type.checking"},
        "no child": {key: value for key, value in element.items() if key != "CreditCard"},
        "both children": {**element, "CheckingAccount": other},
        "no token": {**element, "CreditCard": {}},
        "foreign token": {**element, "CreditCard": {"token": "QVFJREFIalVqRlk3bHJIVFJFWERTSFljS3R6..."}},
        "number as token": {**element, "CreditCard": {"token": VISA}},
        "flag": {**element, "isPrimary": 2},
        "not an object": 7,
        "second primary": {**element, "isPrimary": 1},
        "second secondary": {**element, "isSecondary": 1},
        "update without id": {"__update": True, "title": "x"},
        "update of another customer's": {"__update": True, "__id": 304, "title": "x"},
        "update of nothing": {"__update": True, "__id": 1, "title": "x"},
    }[name]  # type: ignore[return-value]


BROKEN = [
    "no title",
    "no type",
    "wrong type",
    "type of the other",
    "no child",
    "both children",
    "no token",
    "foreign token",
    "number as token",
    "flag",
    "not an object",
    "second primary",
    "second secondary",
    "update without id",
    "update of another customer's",
    "update of nothing",
]


@pytest.mark.parametrize("name", BROKEN)
async def test_one_bad_element_refuses_the_whole_list(name: str) -> None:
    vault = LoanPro()
    good = {**vault.card(), "isSecondary": int(name == "second secondary")}
    before = copy.deepcopy(vault.emulator.state)
    reply = await vault.link(37, good, broken(name, good))
    assert (reply.status, reply.json()["error"]["code"]) == (409, 409)
    assert vault.emulator.state == before


async def test_a_bank_token_needs_its_account_type_and_its_own_kind() -> None:
    vault = LoanPro()
    bank = vault.bank()
    swapped = {**vault.card(), "CreditCard": {"token": bank["CheckingAccount"]["token"]}}
    assert (await vault.link(37, swapped)).status == 409
    child = {**bank["CheckingAccount"], "accountType": "bankacct.type.gold"}
    assert (await vault.link(37, {**bank, "CheckingAccount": child})).status == 409
    assert (await vault.link(37, bank)).status == 200


async def test_the_primary_moves_when_the_demotion_comes_first() -> None:
    vault = LoanPro()
    promote, demote = update(302, isPrimary=1, isSecondary=0), update(301, isPrimary=0, isSecondary=1)
    assert (await vault.link(37, promote, demote)).status == 409
    assert held(vault) == ALEX
    assert (await vault.link(37, update(301, isPrimary=0), promote)).status == 200
    assert held(vault)[:2] == [("card", "1111", True, False), ("bank", "4235", True, True)]


async def test_a_new_card_becomes_primary_in_one_call() -> None:
    vault = LoanPro()
    assert (await vault.link(37, update(301, isPrimary=0), vault.card(isPrimary=1))).status == 200
    assert [row[3] for row in held(vault)] == [False, False, False, True]


async def test_last_primary_wins_if_switched() -> None:
    vault = LoanPro(PRIMARY_CONFLICT="last_wins")
    assert (await vault.link(37, vault.card(isPrimary=1))).status == 200
    assert [row[3] for row in held(vault)] == [False, False, False, True]


async def test_deactivating_keeps_the_row_and_clears_the_primary() -> None:
    vault = LoanPro()
    assert (await vault.link(37, update(301, active=0, isPrimary="0", isSecondary=0))).status == 200
    assert held(vault)[0] == ("card", "1111", False, False)
    assert [row["id"] for row in await vault.accounts(37)] == [303, 302, 301]
    assert (await vault.link(37, update(302, isPrimary=1))).status == 200


async def test_only_the_flags_sent_change_and_the_type_never_does() -> None:
    vault = LoanPro()
    before = (await vault.accounts(37, "$filter=id%20eq%20302"))[0]
    assert (await vault.link(37, update(302, title="Household", visible=0))).status == 200
    after = (await vault.accounts(37, "$filter=id%20eq%20302"))[0]
    assert after == {**before, "title": "Household", "visible": 0}
    assert (await vault.link(37, update(302, type="paymentAccount.type.credit"))).status == 409


async def test_one_token_may_be_linked_twice_unless_switched_off() -> None:
    vault = LoanPro()
    element = vault.card()
    assert (await vault.link(37, element, element)).status == 200
    vault.emulator.set_switch("ALLOW_DUPLICATE_TOKEN", "0")
    assert (await vault.link(38, element)).status == 409
    only = vault.card()
    assert (await vault.link(38, only)).status == 200
    made = max(int(row["ref"]) for row in vault.emulator.held("38") or [])
    assert (await vault.link(38, update(made, active=0), only)).status == 200


async def test_a_token_expires_after_five_years() -> None:
    vault = LoanPro()
    element = vault.card()
    vault.emulator.clock.advance(5 * 366 * 86400)
    assert (await vault.link(37, element)).status == 409


async def test_ids_are_never_used_again() -> None:
    vault = LoanPro()
    await vault.link(39, vault.card(), vault.card())
    first, second = (int(row["ref"]) for row in vault.emulator.held("39") or [])
    assert second == first + 1
    assert (await vault.link(39, {"__id": second, "__delete": True})).status == 200
    await vault.link(39, vault.card())
    assert [int(row["ref"]) for row in vault.emulator.held("39") or []] == [first, second + 1]


async def test_bodies_that_are_not_json_are_409() -> None:
    vault = LoanPro()
    for headers, body in (({"content-type": "text/plain"}, b"{}"), ({"content-type": "application/json"}, b"{")):
        reply = await vault.lms("PUT", "odata.svc/Customers(37)", headers=vault.headers | headers, body=body)
        assert reply.status == 409


async def create(vault: LoanPro, **changes: Any) -> Any:
    return await vault.lms("POST", "odata.svc/Customers", {**NEW, **changes})


async def test_a_customer_is_created_with_200_and_found_again() -> None:
    vault = LoanPro()
    reply = await create(vault, PaymentAccounts={"results": [vault.card(isPrimary=1)]})
    assert reply.status == 200
    made = reply.json()["d"]
    assert (made["firstName"], made["birthDate"]) == ("Ada", "/Date(1209600)/")
    assert held(vault, made["id"]) == [("card", "1111", True, True)]
    found = await vault.lms("GET", "odata.svc/Customers()?$filter=email%20eq%20'ada@example.org'&$expand=Phones")
    assert [row["id"] for row in found.json()["d"]["results"]] == [made["id"]]
    assert found.json()["d"]["results"][0]["Phones"]["results"][0]["phone"] == "5551234567"


@pytest.mark.parametrize(
    "changes",
    [
        {"firstName": None},
        {"lastName": " "},
        {"email": "ada"},
        {"PrimaryAddress": None},
        {"MailAddress": {**NEW["MailAddress"], "state": None}},  # type: ignore[dict-item]
        {"MailAddress": {**NEW["MailAddress"], "state": "IL"}},  # type: ignore[dict-item]
        {"PrimaryAddress": {**NEW["PrimaryAddress"], "country": "US"}},  # type: ignore[dict-item]
        {"customerType": "individual"},
        {"gender": "x"},
        {"birthDate": "15/01/1970"},
        {"Phones": {"results": [{"phone": "1", "type": "cell"}]}},
        {"PaymentAccounts": {"results": [{}]}},
    ],
    ids=str,
)
async def test_a_customer_that_breaks_a_rule_is_409_and_leaves_nothing(changes: dict[str, Any]) -> None:
    vault = LoanPro()
    before = {name: dict(vault.emulator.state[name]) for name in ("customers", "sp_customers", "accounts")}
    assert (await create(vault, **changes)).status == 409
    assert {name: vault.emulator.state[name] for name in before} == before


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"email": "ALEX@example.com"}, "Email"),
        ({"Phones": {"results": [{"phone": "8015550037", "type": "customer.phoneType.cell"}]}}, "Phone"),
        ({"ssn": "900000037"}, "SSN"),
    ],
)
async def test_likely_duplicates_are_warnings_that_can_be_ignored(changes: dict[str, Any], word: str) -> None:
    vault = LoanPro()
    refused = await create(vault, **changes)
    assert refused.status == 409
    assert refused.json()["error"]["type"] == "TransactionWarningException"
    assert [word in text and "Customer ID 37:" in text for text in refused.json()["warnings"]] == [True]
    assert (await create(vault, **changes, __ignoreWarnings=True)).status == 200


async def test_the_same_ssn_and_birth_date_cannot_be_ignored() -> None:
    vault = LoanPro()
    assert (await create(vault)).status == 200
    assert (await create(vault, __ignoreWarnings=True)).status == 409
    assert (await create(vault, __ignoreWarnings=True, birthDate="1971-01-15")).status == 200


async def test_a_put_changes_only_what_it_names() -> None:
    vault = LoanPro()
    before = (await vault.lms("GET", "odata.svc/Customers(37)?$expand=MailAddress")).json()["d"]
    reply = await vault.lms("PUT", "odata.svc/Customers(37)", {"lastName": "Moss", "MailAddress": {"city": "Provo"}})
    assert reply.status == 200
    after = (await vault.lms("GET", "odata.svc/Customers(37)?$expand=MailAddress")).json()["d"]
    assert after["MailAddress"] == {**before["MailAddress"], "city": "Provo"}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"lastName", "MailAddress", "lastUpdate"}
    assert (await vault.lms("PUT", "odata.svc/Customers(37)", {"email": "moss"})).status == 409
    assert (await vault.lms("PUT", "odata.svc/Customers(9)", {"lastName": "Moss"})).status == 409
