"""Scopes: a field without its scope is null with an error, and causes no upstream call."""

from typing import Any

import pytest

from app.wallet.caller import ALL_SCOPES, Caller
from tests.support.memory import P, World


def lacking(*scopes: str) -> Caller:
    return Caller(name="tests", scopes=ALL_SCOPES - set(scopes))


CUSTOMER = '{ customer(id: "cus_a") { id %s } }'


@pytest.mark.parametrize(
    ("scope", "query", "data"),
    [
        ("customers:read", '{ customer(id: "cus_a") { id } }', {"customer": None}),
        ("customers:read", '{ findCustomer(by: {externalId: "ext-cus_a"}) { id } }', {"findCustomer": None}),
        ("customers:read", '{ node(id: "cus_a") { id } }', {"node": None}),
        (
            "links:read",
            '{ findCustomer(by: {providerRef: {provider: CASELLE, customerRef: "cs"}}) { id } }',
            {"findCustomer": None},
        ),
        (
            "payment_methods:read",
            CUSTOMER % "paymentMethods { id }",
            {"customer": {"id": "cus_a", "paymentMethods": None}},
        ),
        (
            "payment_methods:read",
            CUSTOMER % "defaultMethod { id }",
            {"customer": {"id": "cus_a", "defaultMethod": None}},
        ),
        ("payment_methods:read", '{ paymentMethod(id: "pm_x") { id } }', {"paymentMethod": None}),
        ("links:read", CUSTOMER % "links { provider }", {"customer": {"id": "cus_a", "links": None}}),
    ],
)
async def test_without_its_scope_a_field_is_null_and_forbidden(scope: str, query: str, data: dict[str, Any]) -> None:
    world = World()
    result = await world.ask(query, caller=lacking(scope))
    assert result.data == data
    (error,) = result.errors
    assert (error.extensions["code"], error.extensions["requiresAnyOf"]) == ("FORBIDDEN", [scope])
    assert world.calls() == {}


async def test_scoped_parts_of_a_method_are_null_one_by_one() -> None:
    world = World()
    result = await world.ask(
        """{ customer(id: "cus_a") {
          links { customerRef } paymentMethods(filter: {providers: [CASELLE]}) { label providerRef ... on Card { bin } }
        } }""",
        caller=lacking("provider_refs:read", "payment_methods:bin"),
    )
    assert result.data["customer"] == {
        "links": [{"customerRef": None}] * 4,
        "paymentMethods": [{"label": "Visa ending 5555", "providerRef": None, "bin": None}],
    }
    assert {tuple(error.extensions["requiresAnyOf"]) for error in result.errors} == {
        ("provider_refs:read",),
        ("payment_methods:bin",),
    }


@pytest.mark.parametrize(
    "field",
    [
        "defaultMethodInfo { providerDefaults { id } }",
        "authSummary { basis { id } }",
        "authSummary { challengePending { id } }",
    ],
)
async def test_methods_are_guarded_on_every_path(field: str) -> None:
    result = await World().ask(CUSTOMER % field, caller=lacking("payment_methods:read"))
    assert "FORBIDDEN" in [error.extensions["code"] for error in result.errors]
    assert "pm_" not in str(result.data)


async def test_a_node_in_a_list_is_refused_alone() -> None:
    world = World()
    method = world.id(P.CASELLE, "cs", "uid")
    result = await world.ask(
        "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }",
        {"ids": ["cus_a", method]},
        caller=lacking("payment_methods:read"),
    )
    assert result.data == {"nodes": [{"id": "cus_a"}, None]}
    assert [error.path for error in result.errors] == [["nodes", 1]]


async def test_entities_need_the_same_scopes() -> None:
    world = World()
    of = [{"__typename": "Customer", "id": "cus_a"}]
    result = await world.ask(
        "query ($of: [_Any!]!) { _entities(representations: $of) { __typename } }",
        {"of": of},
        caller=lacking("customers:read"),
    )
    assert result.data == {"_entities": [None]}
    assert [error.extensions["code"] for error in result.errors] == ["FORBIDDEN"]


async def test_fields_for_any_caller() -> None:
    world = World()
    caller = Caller(name="nobody", scopes=frozenset())
    data = await world.data('{ viewer { partner } providers { provider } node(id: "op_x") { id } }', caller=caller)
    assert (data["viewer"], data["node"], len(data["providers"])) == ({"partner": "nobody"}, None, 4)
