"""Responses over the size limit are refused over HTTP, streams and sockets, by estimate or during execution. The
estimated cost is never less than the actual cost.
"""

import json
from random import Random
from typing import Any
from urllib.request import Request, urlopen

import pytest
from graphql import get_introspection_query

from app.wallet.caller import ALL_SCOPES
from resolvers.schema import schema
from tests.equality.generate import Generator
from tests.support.adding import adding, caselle_card, loanpro_card
from tests.support.gateway import GraphQLReply, RunningGateway
from tests.support.gateways import StartGateway, patient
from tests.support.mutating import DELETE, SET_DEFAULT, UPDATE, methods
from tests.support.sandbox import RunningSandbox
from tests.support.streams import socket_of

LOOP = '{ customer(id: "cus_alex") { ' + "paymentMethods { customer { " * 4 + "name" + " } }" * 4 + " } }"
LOOP = LOOP.replace("name", "paymentMethods { id }")
# Priced at ten methods of nine fields, which is within a hundred.
WIDE = '{ customer(id: "cus_alex") { paymentMethods { ' + " ".join(f"l{n}: label" for n in range(9)) + " } } }"
ADDED = "mutation ($input: AddPaymentMethodInput!) { addPaymentMethod(input: $input) { userErrors { code } } }"
SMALL = {"gate": {"response_fields": 100}, **patient(fresh_for_s=60)}


@pytest.fixture
def small(start_gateway: StartGateway, sandbox: RunningSandbox) -> RunningGateway:
    """A gateway with a limit of a hundred response fields, where Alex has more than ten methods."""
    gateway = start_gateway(**SMALL)
    known = len(gateway.data('{ customer(id: "cus_alex") { paymentMethods { id } } }')["customer"]["paymentMethods"])
    for index in range(11 - known):
        card = loanpro_card(sandbox) if index % 2 else caselle_card(sandbox)
        gateway.query(ADDED, {"input": adding(card, onDuplicate="ALLOW")})
    return gateway


def test_lists_within_lists_are_refused_before_any_call(demo_gateway: RunningGateway, sandbox: Any) -> None:
    reply = demo_gateway.query(LOOP)
    assert (reply.status, reply.codes) == (400, ["COST_ESTIMATED_TOO_EXPENSIVE"])
    assert reply.errors[0]["extensions"]["cost"] == {"requestedFields": 122_222, "maximumFields": 100_000}
    assert sandbox.calls() == []


def test_a_response_larger_than_assumed_is_refused_during_execution(small: RunningGateway) -> None:
    for _ in range(4):  # by graphql-core, then with a plan
        reply = small.query(WIDE)
        assert reply.status == 200
        assert reply.data is None
        assert reply.errors == [
            {
                "message": "The response would exceed 100 fields.",
                "extensions": {"code": "RESPONSE_TOO_LARGE", "unit": "fields", "limit": 100},
            }
        ]
    assert small.query('{ customer(id: "cus_alex") { paymentMethods { id } } }').status == 200


def test_bytes_are_bounded_too(start_gateway: StartGateway) -> None:
    gateway = start_gateway(**{**SMALL, "gate": {"response_bytes": 10_000}})
    long = "a" * 2_000
    text = f'{{ customer(id: "cus_alex") {{ paymentMethods {{ {long}: id }} }} }}'
    for _ in range(3):
        reply = gateway.query(text)
        assert (reply.data, reply.codes) == (None, ["RESPONSE_TOO_LARGE"])
        assert len(reply.raw) < 1_000


@pytest.mark.parametrize("accept", ["text/event-stream", "multipart/mixed;boundary=graphql;subscriptionSpec=1.0"])
def test_streams_carry_the_refusal(small: RunningGateway, accept: str) -> None:
    headers = {"accept": accept, "content-type": "application/json", "authorization": f"Bearer {small.token()}"}
    request = Request(f"{small.url}/graphql", json.dumps({"query": WIDE}).encode(), headers)
    with urlopen(request, timeout=20) as reply:
        assert b"RESPONSE_TOO_LARGE" in reply.read()


def test_a_socket_carries_the_refusal_and_stays(small: RunningGateway) -> None:
    with socket_of(small) as socket:
        for name, text in enumerate((WIDE, "{ viewer { partner } }")):
            socket.send(json.dumps({"id": str(name), "type": "subscribe", "payload": {"query": text}}))
            result = json.loads(socket.recv(20))
            assert result["type"] == "next"
            assert [one["extensions"]["code"] for one in result["payload"].get("errors", ())] == (
                [] if name else ["RESPONSE_TOO_LARGE"]
            )
            assert json.loads(socket.recv(20)) == {"id": str(name), "type": "complete"}


def test_introspection_is_priced_separately(demo_gateway: RunningGateway) -> None:
    text = get_introspection_query()
    headers = {"authorization": f"Bearer {demo_gateway.token(ALL_SCOPES)}"}
    first, again = (demo_gateway.query(text, headers=headers) for _ in range(2))
    assert first.data == again.data
    assert first.data["__schema"]["queryType"]["name"] == "Query"
    assert first.body["extensions"]["cost"]["requested"] >= 10
    named = "query($n: String!) { __type(name: $n) { name } }"
    names = [demo_gateway.query(named, {"n": name}, headers=headers).data for name in ("Card", "Query", "Card")]
    assert [one["__type"]["name"] for one in names] == ["Card", "Query", "Card"]


# ---- the estimated cost is never less than the actual cost ---------------------------------------------------


def cost_of(reply: GraphQLReply) -> tuple[int, int]:
    cost = reply.body["extensions"]["cost"]
    return cost["requested"], cost["actual"]


@pytest.fixture(scope="module")
def shared_values() -> dict[str, Any]:
    return {"ID": [(f'"{one}"', one) for one in ("cus_alex", "cus_bella", "cus_nobody")]}


def test_no_query_costs_more_than_it_was_priced_at(start_gateway: StartGateway, shared_values: Any) -> None:
    gateway = start_gateway(**patient())
    ids = [one["id"] for one in methods(gateway)]
    values = {"ID": [*shared_values["ID"], *[(f'"{one}"', one) for one in ids[:4]]]}
    made = Generator(schema._schema, Random(15), values, frozenset({"Query._entities", "Query._service"}), depth=5)
    asked = count = 0
    while count < 120 or (asked <= 20 and count < 600):  # few root fields of a growing schema call a vault
        count += 1
        document = made.document()
        reply = gateway.query(document.text, document.variables)
        if "extensions" in reply.body and "cost" in reply.body["extensions"]:
            requested, actual = cost_of(reply)
            asked += actual
            assert actual <= requested, document.text
    assert asked > 20


WRITES = {
    SET_DEFAULT: lambda one, other: {"customerId": "cus_alex", "paymentMethodId": one},
    UPDATE: lambda one, other: {"id": one, "nickname": "Mine"},
    DELETE: lambda one, other: {"id": other},
}


def test_no_write_costs_more_than_it_was_priced_at(start_gateway: StartGateway) -> None:
    gateway, asked = start_gateway(**patient()), 0
    for provider in ("LOANPRO", "ALOHA", "JPMORGAN", "CASELLE"):
        found = [one["id"] for one in methods(gateway, provider) if one["status"] == "ACTIVE"]
        for text, given in WRITES.items():
            reply = gateway.query(text, {"input": given(found[0], found[-1])})
            requested, actual = cost_of(reply)
            assert actual <= requested, (provider, text)
            asked += actual
    assert asked > 40
