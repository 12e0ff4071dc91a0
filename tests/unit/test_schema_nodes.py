"""Node ids: lists, unknown and foreign ones, and entities of a federated graph."""

from typing import Any

import pytest

from app.vault.enums import CircuitState
from app.wallet.caller import ALL_SCOPES, Caller
from app.wallet.ids import Ids
from tests.support.memory import P, World, card

NODES = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on Customer { paymentMethods { label } } } }"
ENTITIES = """query ($of: [_Any!]!) { _entities(representations: $of) {
  __typename ... on Customer { id name } ... on Card { id label }
} }"""


def crowd(size: int) -> tuple[World, list[str]]:
    world = World()
    for number in range(size):
        world.directory.add(f"cus_{number}", {P.LOANPRO: f"lp{number}", P.CASELLE: f"cs{number}"})
        world.vaults[P.LOANPRO].put(f"lp{number}", card("1", last4=f"{number:04d}"))
        world.vaults[P.CASELLE].put(f"cs{number}")
    return world, [f"cus_{number}" for number in range(size)]


async def test_fifty_customers_are_one_call_where_the_vault_can_read_many() -> None:
    world, ids = crowd(50)
    data = await world.data(NODES, {"ids": ids})
    assert [one["id"] for one in data["nodes"]] == ids
    assert [one["paymentMethods"][0]["label"][-4:] for one in data["nodes"]] == [f"{n:04d}" for n in range(50)]
    assert [len(asked) for asked in world.vaults[P.LOANPRO].calls] == [50]
    assert len(world.vaults[P.CASELLE].calls) == 50
    assert len(world.directory.reads) == 1


async def test_a_hundred_at_most() -> None:
    world, ids = crowd(100)
    assert len((await world.data(NODES, {"ids": ids}))["nodes"]) == 100
    assert [len(asked) for asked in world.vaults[P.LOANPRO].calls] == [50, 50]
    result = await world.ask(NODES, {"ids": [*ids, "cus_100"]})
    assert result.data is None
    assert [error.extensions["code"] for error in result.errors] == ["BAD_USER_INPUT"]


async def test_order_is_kept_and_unknown_ids_are_null() -> None:
    world = World()
    method = world.id(P.CASELLE, "cs", "uid")
    data = await world.data(NODES, {"ids": [method, "cus_nobody", "cus_a", method]})
    assert [one and one["__typename"] for one in data["nodes"]] == ["Card", None, "Customer", "Card"]


WRONG = [
    "",
    "cus_",
    "cus_nobody",
    "CUS_a",
    "pm_",
    "pm_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "op_01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "pay_01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "37",
    "x" * 5_000,
    "cus_\x00",
    "cus_\ud83d\ude00",
]


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
async def test_an_invalid_id_is_null_without_an_error(wrong: str) -> None:
    world = World()
    data = await world.data(
        "query ($id: ID!) { node(id: $id) { id } customer(id: $id) { id } paymentMethod(id: $id) { id } }",
        {"id": wrong},
    )
    assert data == {"node": None, "customer": None, "paymentMethod": None}
    assert world.calls() == {}


async def test_an_id_of_another_kind_is_null_without_an_error() -> None:
    world = World()
    method = world.id(P.CASELLE, "cs", "uid")
    data = await world.data(
        'query ($m: ID!) { customer(id: $m) { id } paymentMethod(id: "cus_a") { id } }', {"m": method}
    )
    assert data == {"customer": None, "paymentMethod": None}


async def test_ids_of_another_tenant_or_key_and_changed_ones_are_null() -> None:
    world = World()
    good = world.id(P.CASELLE, "cs", "uid")
    others = [
        Ids("j" * 32).encode(P.CASELLE, "cs", "uid"),  # type: ignore[arg-type]
        Ids("k" * 32, tenant="other").encode(P.CASELLE, "cs", "uid"),  # type: ignore[arg-type]
        good[:-1] + ("A" if good[-1] != "A" else "B"),
    ]
    data = await world.data("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": [good, *others]})
    assert data["nodes"] == [{"id": good}, None, None, None]


END_USER = Caller(name="shop", scopes=ALL_SCOPES, acting_customer="cus_b")
PARTNER = Caller(name="partner", scopes=ALL_SCOPES, granted=frozenset({"cus_b"}))


@pytest.mark.parametrize("caller", [END_USER, PARTNER], ids=["end user", "partner"])
async def test_a_foreign_customer_looks_unknown(caller: Caller) -> None:
    world = World()
    world.directory.add("cus_b", {P.LOANPRO: "lpb"})
    world.vaults[P.LOANPRO].put("lpb", card("1"))
    method = world.id(P.CASELLE, "cs", "uid")
    data = await world.data(
        """query ($m: ID!, $of: [_Any!]!) {
          node(id: "cus_a") { id } customer(id: "cus_a") { id } paymentMethod(id: $m) { id }
          nodes(ids: ["cus_a", $m]) { id }
          byKey: findCustomer(by: {externalId: "ext-cus_a"}) { id }
          byRef: findCustomer(by: {providerRef: {provider: CASELLE, customerRef: "cs"}}) { id }
          _entities(representations: $of) { __typename }
        }""",
        {"m": method, "of": [{"__typename": "Customer", "id": "cus_a"}, {"__typename": "Card", "id": method}]},
        caller=caller,
    )
    assert data == {
        "node": None,
        "customer": None,
        "paymentMethod": None,
        "nodes": [None, None],
        "byKey": None,
        "byRef": None,
        "_entities": [None, None],
    }
    assert world.calls() == {}
    own = await world.data('{ customer(id: "cus_b") { paymentMethods { label } } }', caller=caller)
    assert own == {"customer": {"paymentMethods": [{"label": "Visa ending 4242"}]}}


async def test_find_customer() -> None:
    world = World()
    data = await world.data(
        """{
          a: findCustomer(by: {externalId: "ext-cus_a"}) { id }
          b: findCustomer(by: {providerRef: {provider: CASELLE, customerRef: "cs"}}) { id }
          c: findCustomer(by: {providerRef: {provider: LOANPRO, customerRef: "cs"}}) { id }
          d: findCustomer(by: {externalId: "nobody"}) { id }
        }"""
    )
    assert data == {"a": {"id": "cus_a"}, "b": {"id": "cus_a"}, "c": None, "d": None}


@pytest.mark.parametrize(
    "by", [{}, {"externalId": None}, {"externalId": "x", "providerRef": {"provider": "CASELLE", "customerRef": "cs"}}]
)
async def test_find_customer_takes_exactly_one_key(by: dict[str, Any]) -> None:
    result = await World().ask("query ($by: CustomerBy!) { findCustomer(by: $by) { id } }", {"by": by})
    assert result.data is None
    assert len(result.errors) == 1


async def test_providers_and_viewer() -> None:
    opened = World(
        enabled=[P.LOANPRO, P.JPMORGAN],
        circuit=lambda name: CircuitState.OPEN if name is P.JPMORGAN else CircuitState.CLOSED,
    )
    data = await opened.data(
        "{ providers { provider displayName enabled circuit capabilities addVia } viewer { partner scopes testMode "
        "schemaDate actingCustomer { id } } }",
        caller=Caller(name="shop", scopes=frozenset({"b", "customers:read"}), acting_customer="cus_a"),
    )
    assert [(one["provider"], one["enabled"], one["circuit"]) for one in data["providers"]] == [
        ("LOANPRO", True, "CLOSED"),
        ("ALOHA", False, "CLOSED"),
        ("JPMORGAN", True, "OPEN"),
        ("CASELLE", False, "CLOSED"),
    ]
    assert data["providers"][2]["capabilities"] == ["LIST", "DELETE", "PAY", "THREE_D_SECURE"]
    assert data["providers"][2]["addVia"] == ["NETWORK_TOKEN", "BANK_ACCOUNT"]
    assert data["providers"][3]["capabilities"] == []
    viewer = data["viewer"]
    assert (viewer["partner"], viewer["scopes"], viewer["testMode"]) == ("shop", ["b", "customers:read"], False)
    assert viewer["actingCustomer"] == {"id": "cus_a"}
    assert opened.calls() == {}


# ---- federation --------------------------------------------------------------------------------------------


async def test_entities_resolve_like_nodes() -> None:
    world = World()
    method = world.id(P.CASELLE, "cs", "uid")
    of = [
        {"__typename": "Card", "id": method},
        {"__typename": "Customer", "id": "cus_a", "name": "Somebody Else"},
        {"__typename": "Customer", "id": "cus_nobody"},
        {"__typename": "BankAccount", "id": method},
        {"__typename": "Customer", "id": method},
    ]
    data = await world.data(ENTITIES, {"of": of})
    assert data["_entities"] == [
        {"__typename": "Card", "id": method, "label": "Visa ending 5555"},
        {"__typename": "Customer", "id": "cus_a", "name": "Alex Morales"},
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    "of", [{"id": "cus_a"}, {"__typename": "Query", "id": "x"}, {"__typename": "Customer"}, "cus_a", None, 7, [1]]
)
async def test_a_broken_representation_is_bad_input_and_affects_no_other(of: object) -> None:
    result = await World().ask(ENTITIES, {"of": [of, {"__typename": "Customer", "id": "cus_a"}]})
    assert result.errors is not None
    if of is None:
        assert result.data is None
    else:
        assert [error.extensions["code"] for error in result.errors] == ["BAD_USER_INPUT"]
        assert result.data["_entities"] == [None, {"__typename": "Customer", "id": "cus_a", "name": "Alex Morales"}]


async def test_entities_are_limited_and_service_returns_the_schema() -> None:
    world = World()
    result = await world.ask(ENTITIES, {"of": [{"__typename": "Customer", "id": "cus_a"}] * 101})
    assert [error.extensions["code"] for error in result.errors] == ["BAD_USER_INPUT"]
    assert "type Customer" in (await world.data("{ _service { sdl } }"))["_service"]["sdl"]
