"""Every subscription field of the schema, over every transport: refused without its scope, and for other customers."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from graphql import DirectiveNode, ListValueNode, NonNullTypeNode, ObjectTypeDefinitionNode, StringValueNode, parse

from app.wallet.caller import ALL_SCOPES
from resolvers.schema import schema
from tests.support.gateway import RunningGateway
from tests.support.sandbox import RunningSandbox
from tests.support.streams import listening

ACCEPT = {
    "events": "text/event-stream",
    "parts": "multipart/mixed;boundary=graphql;subscriptionSpec=1.0",
}
FIRST_METHOD = '{ customer(id: "cus_alex") { paymentMethods { id } } }'
NAME_IT = """mutation Name($id: ID!, $key: IdempotencyKey) {
  updatePaymentMethod(input: { id: $id, nickname: "Mine", idempotencyKey: $key }) { operation { id } }
}"""


def definitions() -> dict[str, Any]:
    """The fields of Subscription, from the printed schema."""
    (found,) = [
        one
        for one in parse(schema.as_str()).definitions
        if isinstance(one, ObjectTypeDefinitionNode) and one.name.value == "Subscription"
    ]
    return {field.name.value: field for field in found.fields or ()}


FIELDS = definitions()


def scopes_of(name: str) -> set[str]:
    """Any of these is sufficient."""
    found: set[str] = set()
    for directive in FIELDS[name].directives:
        assert isinstance(directive, DirectiveNode)
        for argument in directive.arguments or ():
            if directive.name.value == "requiresScope" and isinstance(argument.value, ListValueNode):
                found |= {one.value for one in argument.value.values if isinstance(one, StringValueNode)}
    return found


@pytest.fixture(scope="module")
def document(shared: RunningGateway) -> dict[str, str]:
    """By field: a subscription to one of Alex's objects. An unknown argument fails."""
    method = shared.data(FIRST_METHOD)["customer"]["paymentMethods"][0]["id"]
    done = shared.data(NAME_IT, id=method, key="a-key-for-subscription-scopes")["updatePaymentMethod"]
    values = {"customerId": "cus_alex", "id": done["operation"]["id"]}
    found = {}
    for name, field in FIELDS.items():
        wanted = [one.name.value for one in field.arguments if isinstance(one.type, NonNullTypeNode)]
        given = ", ".join(f"{argument}: {json.dumps(values[argument])}" for argument in wanted)
        found[name] = f"subscription {{ {name}{f'({given})' if given else ''} {{ __typename }} }}"
    return found


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    sandbox_server.reset()
    with RunningGateway(sandbox_server.url, tmp_path_factory.mktemp("scopes")) as gateway:
        yield gateway


def codes(errors: Any) -> list[str]:
    return [error["extensions"]["code"] for error in errors]


def first_over_socket(gateway: RunningGateway, query: str, token: str) -> list[str]:
    with listening(gateway, query, token) as listener:
        found = listener.message()
        return codes(found["payload"] if found["type"] == "error" else found["payload"].get("errors", ()))


def first_over_http(gateway: RunningGateway, query: str, token: str, accept: str) -> list[str]:
    """The codes of the first result, whether streamed or a single response."""
    headers = {"content-type": "application/json", "accept": accept, "authorization": f"Bearer {token}"}
    try:
        with urlopen(Request(f"{gateway.url}/graphql", json.dumps({"query": query}).encode(), headers)) as reply:
            for line in reply:
                start = line.find(b"{")
                body = json.loads(line[start:]) if start >= 0 else {}
                if body:
                    return codes(body.get("payload", body).get("errors", ()))
    except HTTPError as refused:
        with refused:
            return codes(json.load(refused)["errors"])
    raise AssertionError("the stream ended without a result")


def first(gateway: RunningGateway, way: str, query: str, token: str) -> list[str]:
    if way == "socket":
        return first_over_socket(gateway, query, token)
    return first_over_http(gateway, query, token, ACCEPT[way])


@pytest.mark.parametrize("way", ["socket", *ACCEPT])
@pytest.mark.parametrize("name", FIELDS)
def test_without_its_scope_a_subscription_is_refused(
    shared: RunningGateway, document: dict[str, str], name: str, way: str
) -> None:
    needed = scopes_of(name)
    assert needed, "a subscription without a scope"
    assert first(shared, way, document[name], shared.token(ALL_SCOPES - needed)) == ["FORBIDDEN"]
    refused = "FORBIDDEN" if name == "events" else "NOT_FOUND"  # `events` are those of all customers
    assert first(shared, way, document[name], shared.token(needed, "cus_sam")) == [refused]
    assert len(shared.gateway.feed) == 0


@pytest.mark.parametrize("name", FIELDS)
def test_with_its_scope_alone_a_subscription_is_accepted(
    shared: RunningGateway, document: dict[str, str], name: str
) -> None:
    for scope in scopes_of(name):
        with listening(shared, document[name], shared.token([scope])) as listener:
            try:
                found = listener.message(timeout=0.7)
            except TimeoutError:  # no event yet and no refusal
                continue
            assert (found["type"], found["payload"]["data"][name]["__typename"]) == ("next", typename(name))


def typename(name: str) -> str:
    kind = FIELDS[name].type
    while not hasattr(kind, "name"):
        kind = kind.type
    return str(kind.name.value)
