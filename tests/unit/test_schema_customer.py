"""A customer through GraphQL: vault calls and results."""

from dataclasses import replace
from typing import Any

import pytest

from app.store.records import MethodAddress
from app.vault.enums import BankRail, CardBrand, CustomerRef, MethodRef, PaymentMethodStatus
from app.vault.model import BankAccount, Expiry, OtherMethod
from app.wallet.defaults.stored_choice import ChoiceChange
from app.wallet.reads.build_wallet import DefaultInfo
from tests.support.memory import LONG_AGO, NOW, P, World, card, choice_of

WALLET = """
query Wallet($filter: PaymentMethodFilter, $order: PaymentMethodOrder! = DEFAULT_FIRST, $first: Int! = 100) {
  customer(id: "cus_a") {
    paymentMethods(filter: $filter, orderBy: $order, first: $first) { label }
    sources { provider state }
  }
}
"""


def labels(data: Any) -> list[str]:
    return [one["label"].removeprefix("Visa ending ") for one in data["customer"]["paymentMethods"]]


def states(data: Any) -> list[str]:
    return [row["state"] for row in data["customer"]["sources"]]


async def test_many_fields_and_aliases_are_one_read_per_vault() -> None:
    world = World()
    data = await world.data(
        """{
          a: customer(id: "cus_a") {
            paymentMethods { id customer { defaultMethod { id } } } again: paymentMethods(first: 1) { id }
            defaultMethod { id } defaultMethodInfo { state } authStatus authSummary { status isComplete }
            sources { state } isComplete
          }
          b: customer(id: "cus_a") { paymentMethods { id } }
          c: findCustomer(by: {externalId: "ext-cus_a"}) { defaultMethod { id } }
        }"""
    )
    assert world.calls() == {"LOANPRO": 1, "ALOHA": 1, "JPMORGAN": 1, "CASELLE": 1}
    assert len(world.directory.reads) == 1
    assert data["a"]["paymentMethods"][0]["customer"]["defaultMethod"] == data["c"]["defaultMethod"]
    assert len(data["b"]["paymentMethods"]) == 5


async def test_directory_fields_cost_no_call() -> None:
    world = World()
    data = await world.data(
        '{ customer(id: "cus_a") { id externalId name email links { provider customerRef proof linkedAt linkedBy } } }'
    )
    assert world.calls() == {}
    links = data["customer"].pop("links")
    assert data["customer"] == {
        "id": "cus_a",
        "externalId": "ext-cus_a",
        "name": "Alex Morales",
        "email": "alex@example.com",
    }
    assert links[0] == {
        "provider": "LOANPRO",
        "customerRef": "37",
        "proof": "TRUSTED_BACKEND",
        "linkedAt": "2020-01-01T00:00:00Z",
        "linkedBy": "test",
    }
    assert [link["provider"] for link in links] == ["LOANPRO", "ALOHA", "JPMORGAN", "CASELLE"]


async def test_all_fields_of_a_card() -> None:
    world = World()
    world.directory.known["cus_a"] = replace(
        world.directory.known["cus_a"],
        nicknames={MethodAddress(P.CASELLE, CustomerRef("cs"), MethodRef("uid")): "Travel"},
    )
    world.vaults[P.CASELLE].put(
        "cs", card("uid", created_at=LONG_AGO, holder_name="A Morales", status_detail="LIVE", is_provider_default=False)
    )
    data = await world.data(
        """{ customer(id: "cus_a") { paymentMethods(filter: {providers: [CASELLE]}) {
          __typename id provider kind status statusDetail label nickname holderName last4 billingAddress { line1 }
          isDefault isProviderDefault isSecondary authStatus capabilities possibleDuplicates { id } groupKey
          createdAt updatedAt asOf isStale providerRef
          ... on Card { brand funding tokenType wallet expiry expiryState bin threeDSecure { status } }
        } } }"""
    )
    (one,) = data["customer"]["paymentMethods"]
    assert one.pop("groupKey").startswith("grp_")
    assert one == {
        "__typename": "Card",
        "id": world.id(P.CASELLE, "cs", "uid"),
        "provider": "CASELLE",
        "kind": "CARD",
        "status": "ACTIVE",
        "statusDetail": "LIVE",
        "label": "Visa ending 4242",
        "nickname": "Travel",
        "holderName": "A Morales",
        "last4": "4242",
        "billingAddress": None,
        "isDefault": None,
        "isProviderDefault": False,
        "isSecondary": None,
        "authStatus": "NOT_APPLICABLE",
        "capabilities": ["DELETE", "PAY"],
        "possibleDuplicates": [],
        "createdAt": "2020-01-01T00:00:00Z",
        "updatedAt": None,
        "asOf": "2028-03-15T00:00:00Z",
        "isStale": False,
        "providerRef": "uid",
        "brand": "VISA",
        "funding": None,
        "tokenType": "PROVIDER_TOKEN",
        "wallet": None,
        "expiry": "2030-01",
        "expiryState": "VALID",
        "bin": "424242",
        "threeDSecure": None,
    }


async def test_every_kind_has_its_type() -> None:
    world = World()
    place: dict[str, Any] = {"provider": P.LOANPRO, "customer_ref": CustomerRef("-")}
    world.vaults[P.LOANPRO].put(
        "37",
        card("1", brand=CardBrand.MASTERCARD),
        BankAccount(**place, method_ref=MethodRef("2"), rail=BankRail.ACH, last4="6789"),
        OtherMethod(**place, method_ref=MethodRef("3"), provider_kind="GIFT_CARD"),
    )
    data = await world.data(
        """{ customer(id: "cus_a") { paymentMethods(filter: {providers: [LOANPRO]}) {
          __typename kind label ... on BankAccount { rail verification } ... on OtherMethod { providerKind }
        } } }"""
    )
    assert data["customer"]["paymentMethods"] == [
        {"__typename": "Card", "kind": "CARD", "label": "Mastercard ending 4242"},
        {
            "__typename": "BankAccount",
            "kind": "BANK_ACCOUNT",
            "label": "Bank account ending 6789",
            "rail": "ACH",
            "verification": "UNKNOWN",
        },
        {"__typename": "OtherMethod", "kind": "OTHER", "label": "Payment method", "providerKind": "GIFT_CARD"},
    ]


# ---- filters and orders ------------------------------------------------------------------------------------


async def test_vaults_excluded_by_the_filter_are_not_read() -> None:
    world = World()
    data = await world.data(WALLET, {"filter": {"providers": ["LOANPRO"]}})
    assert (labels(data), states(data)) == (["4242", "1111"], ["OK", "SKIPPED", "SKIPPED", "SKIPPED"])
    assert world.calls() == {"LOANPRO": 1}


async def test_a_field_that_needs_all_vaults_reads_them_in_any_field_order() -> None:
    for fields in ("sources { state } defaultMethod { id } {}", "{} sources { state } defaultMethod { id }"):
        world = World()
        listed = "paymentMethods(filter: {providers: [LOANPRO]}) { isDefault }"
        data = await world.data('{ customer(id: "cus_a") { ' + fields.replace("{}", listed) + " } }")
        assert states(data) == ["OK"] * 4
        assert [one["isDefault"] for one in data["customer"]["paymentMethods"]] == [False, False]
        assert world.calls() == {"LOANPRO": 1, "ALOHA": 1, "JPMORGAN": 1, "CASELLE": 1}


async def test_a_vault_that_only_a_nested_field_needs_is_in_sources_too() -> None:
    world = World()
    listed = "paymentMethods(filter: {providers: [LOANPRO]}) { customer { defaultMethod { id } } }"
    data = await world.data('{ customer(id: "cus_a") { sources { state } ' + listed + " } }")
    assert states(data) == ["OK"] * 4
    assert world.calls() == {"LOANPRO": 1, "ALOHA": 1, "JPMORGAN": 1, "CASELLE": 1}


async def test_sources_alone_read_every_linked_vault() -> None:
    world = World()
    world.directory.add("cus_a", {P.LOANPRO: "37", P.CASELLE: "cs"})
    data = await world.data('{ customer(id: "cus_a") { isComplete sources { state methodCount } } }')
    assert states(data) == ["OK", "NOT_LINKED", "NOT_LINKED", "OK"]
    assert [row["methodCount"] for row in data["customer"]["sources"]] == [2, None, None, 1]
    assert data["customer"]["isComplete"] is True


async def test_no_vault_at_all_is_an_empty_list_and_complete() -> None:
    world = World()
    world.directory.add("cus_a", {})
    data = await world.data(
        '{ customer(id: "cus_a") { paymentMethods { id } isComplete defaultMethodInfo { state } } }'
    )
    assert data["customer"] == {"paymentMethods": [], "isComplete": True, "defaultMethodInfo": {"state": "NONE"}}
    assert await world.data(WALLET, {"filter": {"providers": []}}) is not None
    assert world.calls() == {}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, ["3333", "1111", "9999", "2222"]),
        ({"kinds": ["BANK_ACCOUNT"]}, []),
        ({"statuses": ["INACTIVE"]}, ["8888"]),
        ({"statuses": ["ACTIVE", "INACTIVE"]}, ["3333", "1111", "8888", "2222"]),
        ({"statuses": ["EXPIRED"]}, ["9999"]),
        ({"expiringWithinDays": 40}, ["1111"]),
        ({"expiringWithinDays": 0}, []),
        ({"usableFor": "PAY"}, ["3333", "1111"]),
        ({"usableFor": "THREE_D_SECURE", "providers": None}, ["3333"]),
        ({"providers": ["ALOHA", "JPMORGAN"]}, ["3333", "2222"]),
    ],
)
async def test_filters(wanted: dict[str, Any] | None, expected: list[str]) -> None:
    world = World()
    world.vaults[P.LOANPRO].put(
        "37",
        card("1", last4="1111", expiry=Expiry(2028, 3)),
        card("8", last4="8888", status=PaymentMethodStatus.INACTIVE),
        card("9", last4="9999", expiry=Expiry(2028, 2)),
    )
    world.vaults[P.CASELLE].put("cs")
    if wanted and wanted.get("providers"):
        world.directory.known["cus_a"] = replace(
            world.directory.known["cus_a"], choice=choice_of("cus_a", P.JPMORGAN, "PACJGQ", "pm1")
        )
    assert labels(await world.data(WALLET, {"filter": wanted})) == expected


async def test_orders_and_first() -> None:
    world = World()
    world.vaults[P.CASELLE].put("cs", card("uid", last4="5555", created_at=NOW))
    world.vaults[P.ALOHA].put("al", card("tok", last4="2222", created_at=LONG_AGO))
    assert labels(await world.data(WALLET)) == ["3333", "4242", "1111", "2222", "5555"]
    assert labels(await world.data(WALLET, {"order": "PROVIDER"})) == ["4242", "1111", "2222", "3333", "5555"]
    assert labels(await world.data(WALLET, {"order": "NEWEST_FIRST"}))[:2] == ["5555", "2222"]
    assert labels(await world.data(WALLET, {"first": 2})) == ["3333", "4242"]


@pytest.mark.parametrize(
    "variables",
    [
        {"first": 0},
        {"first": -1},
        {"first": 101},
        {"filter": {"expiringWithinDays": -1}},
        {"filter": {"expiringWithinDays": 2_000_000_000}},
    ],
)
async def test_numbers_out_of_range_are_refused_before_any_call(variables: dict[str, Any]) -> None:
    world = World()
    query = WALLET.replace("sources { provider state }", "id")
    result = await world.ask(query, variables)
    assert result.data == {"customer": {"paymentMethods": None, "id": "cus_a"}}
    assert [error.extensions["code"] for error in result.errors] == ["BAD_USER_INPUT"]
    assert world.calls() == {}


# ---- the effective default ---------------------------------------------------------------------------------

DEFAULT = """{ customer(id: "cus_a") {
  defaultMethod { label isDefault } defaultMethodInfo { state reason setAt setBy providerDefaults { label } } authStatus
} }"""


async def test_the_explicit_choice_explains_itself() -> None:
    world = World()
    world.directory.known["cus_a"] = replace(
        world.directory.known["cus_a"], choice=choice_of("cus_a", P.ALOHA, "al", "tok")
    )
    data = (await world.data(DEFAULT))["customer"]
    assert data == {
        "defaultMethod": {"label": "Visa ending 2222", "isDefault": True},
        "defaultMethodInfo": {
            "state": "RESOLVED",
            "reason": "EXPLICIT_CHOICE",
            "setAt": "2020-01-01T00:00:00Z",
            "setBy": "test",
            "providerDefaults": [{"label": "Visa ending 3333"}],
        },
        "authStatus": "NOT_APPLICABLE",
    }


async def test_an_expired_choice_is_none_unless_it_was_allowed() -> None:
    world = World()
    world.vaults[P.ALOHA].put("al", card("tok", expiry=Expiry(2028, 2)))
    entry = world.directory.known["cus_a"]
    world.directory.known["cus_a"] = replace(entry, choice=choice_of("cus_a", P.ALOHA, "al", "tok"))
    data = (await world.data(DEFAULT))["customer"]
    assert (data["defaultMethod"], data["defaultMethodInfo"]["state"]) == (None, "NONE")
    assert data["authStatus"] == "NOT_APPLICABLE"
    world.services.directory.drop("cus_a")
    world.directory.known["cus_a"] = replace(entry, choice=choice_of("cus_a", P.ALOHA, "al", "tok", allow=True))
    data = (await world.data(DEFAULT))["customer"]
    assert (data["defaultMethodInfo"]["state"], data["defaultMethodInfo"]["reason"]) == ("RESOLVED", "EXPLICIT_CHOICE")


async def test_a_chosen_default_missing_from_its_vault_stays_and_is_not_replaced() -> None:
    world, noted = World(), []

    async def note(default: DefaultInfo) -> bool:
        noted.append((default.choice_change, default.choice_read_at))
        return False

    world.services.note_choice = note
    entry = world.directory.known["cus_a"]
    world.directory.known["cus_a"] = replace(entry, choice=choice_of("cus_a", P.ALOHA, "al", "deleted"))
    data = (await world.data(DEFAULT))["customer"]
    assert (data["defaultMethod"], data["defaultMethodInfo"]["state"], data["defaultMethodInfo"]["reason"]) == (
        None,
        "NONE",
        None,
    )
    assert data["defaultMethodInfo"]["setAt"] is not None
    ((change, read_at),) = noted
    assert change is ChoiceChange.MISSING
    assert read_at is not None


async def test_once_the_store_clears_a_choice_the_same_response_uses_the_rules() -> None:
    world = World()

    async def forgotten(default: DefaultInfo) -> bool:
        return True

    world.services.note_choice = forgotten
    entry = world.directory.known["cus_a"]
    world.directory.known["cus_a"] = replace(entry, choice=choice_of("cus_a", P.ALOHA, "al", "deleted"))
    data = (await world.data(DEFAULT))["customer"]["defaultMethodInfo"]
    assert (data["state"], data["reason"], data["setAt"]) == ("RESOLVED", "ONLY_PROVIDER_DEFAULT", None)
