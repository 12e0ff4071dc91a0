"""Scopes as declared in the schema, and access to other customers' data by every field.

Both walk the schema: a new field without a scope, or without an entry here, fails a test.
"""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from graphql import GraphQLInputObjectType, GraphQLNonNull, GraphQLObjectType, get_named_type

from app.api.auth.claims import END_USER_SCOPES
from app.wallet.caller import ALL_SCOPES
from resolvers.schema import schema
from resolvers.scopes import needs_of
from tests.support.gateway import RunningGateway
from tests.support.sandbox import RunningSandbox
from tests.support.writes import document, sample

GRAPH: Final = schema._schema

OPEN: Final = {"node", "nodes", "viewer", "providers", "_service", "_entities"}
"""For any caller: `node`, `nodes` and `_entities` check the object of each id."""
NEEDED: Final = {
    "customer": "customers:read",
    "findCustomer": "customers:read",
    "customers": "customers:read",
    "expiringPaymentMethods": "payment_methods:read",
    "CustomerEdge.node": "customers:read",
    "CustomerConnection.nodes": "customers:read",
    "ExpiringPaymentMethod.customer": "customers:read",
    "CustomerFilter.linkedAt": "links:read",
    "paymentMethod": "payment_methods:read",
    "operation": "payment_methods:read",
    "Customer.paymentMethods": "payment_methods:read",
    "Customer.paymentMethodsConnection": "payment_methods:read",
    "PaymentMethodEdge.node": "payment_methods:read",
    "events": "audit:read",
    "Customer.links": "links:read",
    "Customer.events": "audit:read",
    "PaymentMethod.customer": "customers:read",
    "CustomerEvent.customer": "customers:read",
    "Viewer.actingCustomer": "customers:read",
    "PaymentMethod.providerRef": "provider_refs:read",
    "Card.bin": "payment_methods:bin",
    "ProviderLink.customerRef": "provider_refs:read",
    "addPaymentMethod": "payment_methods:write",
    "addPaymentMethods": "payment_methods:write",
    "updatePaymentMethod": "payment_methods:write",
    "setDefaultPaymentMethod": "payment_methods:write",
    "deletePaymentMethod": "payment_methods:write",
    "createTokenization": "payment_methods:write",
    "createHostedSession": "payment_methods:write",
    "importPaymentMethods": "import:write",
    "quotePayment": "payments:write",
    "capturePayment": "payments:write",
    "createCustomer": "customers:write",
    "eraseCustomer": "customers:erase",
    "exportCustomer": "customers:export",
    "mergeCustomers": "links:write",
    "linkProviderCustomer": "links:write",
    "unlinkProviderCustomer": "links:write",
    "CustomerBy.providerRef": "links:read",
    "AddMethodInput.jpmNetworkToken": "network_tokens:write",
    "AddMethodInput.jpmRawCard": "pan:write",
}
SUBSCRIPTIONS: Final = {
    "customerEvents": "customers:read",
    "events": "customers:read",
    "operationUpdated": "payment_methods:read",
}


def roots() -> Iterator[tuple[str, str, Any]]:
    """Kind of operation, name and definition of every root field."""
    for kind, root in (
        ("query", GRAPH.query_type),
        ("mutation", GRAPH.mutation_type),
        ("subscription", GRAPH.subscription_type),
    ):
        for name, field in root.fields.items() if root is not None else ():
            yield kind, name, field


def test_every_root_field_needs_its_scope() -> None:
    for kind, name, field in roots():
        expected = SUBSCRIPTIONS.get(name) if kind == "subscription" else NEEDED.get(name)
        if name in OPEN:
            assert needs_of(field) == (), name
        else:
            assert expected is not None, f"say in this test which scope {name} needs"
            assert needs_of(field) == ((expected,),), name


def test_scopes_below_the_root_are_the_same_everywhere() -> None:
    for path, expected in NEEDED.items():
        kind, _, name = path.rpartition(".")
        owner = GRAPH.type_map.get(kind)
        if owner is None or name not in owner.fields:
            continue
        for one in [owner, *(GRAPH.get_possible_types(owner) if kind == "PaymentMethod" else ())]:
            assert needs_of(one.fields[name]) == ((expected,),), f"{one.name}.{name}"


def test_no_scoped_field_is_non_null_and_every_scope_exists() -> None:
    seen = set()
    for kind in GRAPH.type_map.values():
        for name, field in getattr(kind, "fields", {}).items():
            for any_of in needs_of(field):
                seen.update(any_of)
                if isinstance(kind, GraphQLObjectType) and kind is not GRAPH.subscription_type:  # refused at start
                    assert not isinstance(field.type, GraphQLNonNull), f"{kind.name}.{name}"
    assert seen <= ALL_SCOPES


def test_methods_are_reached_through_scoped_fields_only() -> None:
    """Every field that leads from a customer or a payload to a payment method needs payment_methods:read."""
    method_types = {"PaymentMethod", "Card", "BankAccount", "OtherMethod"}
    for kind in GRAPH.type_map.values():
        if not isinstance(kind, GraphQLObjectType) or kind.name in method_types or kind.name.startswith("__"):
            continue
        for name, field in kind.fields.items():
            if get_named_type(field.type).name in method_types and (kind.name, name) not in EMPTY_INSTEAD:
                assert ("payment_methods:read",) in needs_of(field), f"{kind.name}.{name}"


EMPTY_INSTEAD: Final = {
    ("DeletePaymentMethodPayload", "remainingLookalikes"),  # empty without the scope
    ("DuplicateError", "existing"),  # resolved only for callers with the scope
}


# ---- access to other customers ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(
        sandbox_server.url, tmp_path_factory.mktemp("whose"), return_origins=["https://shop.example"]
    ) as gateway:
        yield gateway


@pytest.fixture
def sam(shared: RunningGateway, sandbox: RunningSandbox) -> RunningGateway:
    """The end user Sam, with every scope that an end user can have, from a token that claims all."""
    shared.headers = {"authorization": f"Bearer {shared.token(ALL_SCOPES, 'cus_sam')}"}
    return shared


@pytest.fixture
def alexs(shared: RunningGateway, sandbox: RunningSandbox) -> dict[str, str]:
    """Ids of Alex's objects: a method of every vault, an operation."""
    staff = {"authorization": f"Bearer {shared.token()}"}
    reply = shared.query('{ customer(id: "cus_alex") { paymentMethods { id provider } } }', headers=staff)
    found = {one["provider"]: one["id"] for one in reply.data["customer"]["paymentMethods"]}
    done = shared.query(
        "mutation ($input: UpdatePaymentMethodInput!) { updatePaymentMethod(input: $input) { operation { id } } }",
        {"input": {"id": found["CASELLE"], "nickname": "Mine", "idempotencyKey": "0123456789abcdef"}},
        headers=staff,
    )
    operation = (done.data["updatePaymentMethod"] or {}).get("operation")
    assert operation is not None, done.raw
    sandbox.clear_calls()
    return {**found, "OPERATION": operation["id"], "METHOD": found["LOANPRO"]}


QUERIES: Final[dict[str, tuple[str, Any]]] = {
    "node": ("{ c: node(id: $customer) { id } m: node(id: $method) { id } o: node(id: $operation) { id } }", None),
    "nodes": ("{ nodes(ids: [$customer, $method, $operation]) { id } }", {"nodes": [None, None, None]}),
    "customer": ("{ customer(id: $customer) { name email paymentMethods { id } } }", None),
    "findCustomer": ('{ findCustomer(by: {externalId: "user-88420"}) { name } }', None),
    "customers": (
        '{ customers(filter: {email: "alex@example.com"}) { nodes { name } pageInfo { hasNextPage } } }',
        {"customers": {"nodes": [], "pageInfo": {"hasNextPage": False}}},
    ),
    "paymentMethod": ("{ paymentMethod(id: $method) { label } }", None),
    "operation": ("{ operation(id: $operation) { state } }", None),
    "events": ("{ events { edges { node { id } } } }", None),
    "_entities": (
        '{ c: _entities(representations: [{__typename: "Customer", id: $customer}]) { __typename } '
        'm: _entities(representations: [{__typename: "Card", id: $method}]) { __typename } }',
        {"c": [None], "m": [None]},
    ),
}
WITHOUT_CUSTOMER: Final = {
    "viewer": "shows the caller: tested below",
    "providers": "the same for everybody",
    "expiringPaymentMethods": "tests/e2e/test_finding.py, which observes several customers",
    "_service": "the schema",
}
MUTATIONS: Final = {
    "addPaymentMethod": "NOT_FOUND",
    "addPaymentMethods": "NOT_FOUND",
    "updatePaymentMethod": "NOT_FOUND",
    "setDefaultPaymentMethod": "NOT_FOUND",
    "deletePaymentMethod": "NOT_FOUND",
    "quotePayment": "NOT_FOUND",
    "capturePayment": "NOT_FOUND",
    "createHostedSession": "NOT_FOUND",
    "createTokenization": "NOT_FOUND",
    "importPaymentMethods": "FORBIDDEN",
    "createCustomer": "FORBIDDEN",
    "eraseCustomer": "FORBIDDEN",
    "exportCustomer": "FORBIDDEN",
    "mergeCustomers": "FORBIDDEN",
    "linkProviderCustomer": "FORBIDDEN",
    "unlinkProviderCustomer": "FORBIDDEN",
}
"""The errors for an end user who names another customer's object: unknown, or not allowed for end users."""
STREAMS: Final = {"customerEvents", "events", "operationUpdated"}
"""Covered by the tests of subscriptions."""


def test_every_root_field_has_an_access_test() -> None:
    for kind, name, _ in roots():
        known = {
            "query": QUERIES.keys() | WITHOUT_CUSTOMER.keys(),
            "mutation": MUTATIONS.keys(),
            "subscription": STREAMS,
        }[kind]
        assert name in known, f"add to this test what {kind} {name} returns to another customer's end user"


@pytest.mark.parametrize("name", QUERIES)
def test_an_end_user_cannot_read_other_customers(
    sam: RunningGateway, alexs: dict[str, str], sandbox: RunningSandbox, name: str
) -> None:
    query, expected = QUERIES[name]
    values = {"customer": "cus_alex", "method": alexs["METHOD"], "operation": alexs["OPERATION"]}
    used = {key: value for key, value in values.items() if f"${key}" in query}
    head = "query" + (f"({', '.join(f'${key}: ID!' for key in used)}) " if used else " ")
    if "_entities" in query:  # representations are one variable each
        kinds = {"c": ("Customer", "customer"), "m": ("Card", "method")}
        for alias, (typename, key) in kinds.items():
            reply = sam.query(
                "query ($of: [_Any!]!) { _entities(representations: $of) { __typename } }",
                {"of": [{"__typename": typename, "id": values[key]}]},
            )
            assert (reply.status, reply.data) == (200, {"_entities": expected[alias]}), reply.raw
    else:
        reply = sam.query(head + query, used)
        assert reply.status == 200, reply.raw
        data = reply.data
        assert data == (expected or dict.fromkeys(data)), reply.raw
        assert data, reply.raw
    assert sandbox.calls() == [], "nothing was asked of a vault on behalf of a stranger"


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_an_end_user_cannot_change_other_customers(
    sam: RunningGateway, alexs: dict[str, str], sandbox: RunningSandbox, name: str
) -> None:
    assert GRAPH.mutation_type is not None
    field = GRAPH.mutation_type.fields.get(name)
    if field is None:
        pytest.skip("not in the schema yet")
    kind = get_named_type(field.args["input"].type)
    assert isinstance(kind, GraphQLInputObjectType)
    reply = sam.query(document(name, kind), {"input": _named(sample(kind), alexs)})
    assert reply.status == 200, reply.raw
    if MUTATIONS[name] == "FORBIDDEN":
        assert (reply.data, reply.codes) == ({name: None}, ["FORBIDDEN"])
    else:
        assert [error["code"] for error in reply.data[name]["userErrors"]] == ["NOT_FOUND"], reply.raw
    assert sandbox.calls() == []


def _named(value: Any, alexs: dict[str, str]) -> Any:
    """The same input with Alex's ids."""
    names = {
        "customerId": "cus_alex",
        "id": alexs["METHOD"],
        "paymentMethodId": alexs["METHOD"],
        "paymentId": "pay_01JD8ZK4Q5W6X7Y8Z9ABCDEFGH",
        "token": "tok_1234567890abcdef",
    }
    if isinstance(value, dict):
        return {key: names.get(key, _named(one, alexs)) for key, one in value.items()}
    return [_named(one, alexs) for one in value] if isinstance(value, list) else value


def test_an_end_user_has_access_to_its_customer(sam: RunningGateway) -> None:
    data = sam.data(
        "{ viewer { partner scopes actingCustomer { id } } "
        'customer(id: "cus_sam") { name paymentMethods { provider } } '
        'node(id: "cus_sam") { id } findCustomer(by: {externalId: "user-88421"}) { id } }'
    )
    assert data["viewer"] == {
        "partner": "developer",
        "scopes": sorted(END_USER_SCOPES),
        "actingCustomer": {"id": "cus_sam"},
    }
    assert data["customer"]["name"] == "Sam Okafor"
    assert {one["provider"] for one in data["customer"]["paymentMethods"]} == {"LOANPRO", "JPMORGAN", "CASELLE"}
    assert (data["node"], data["findCustomer"]) == ({"id": "cus_sam"}, {"id": "cus_sam"})


GUARDED: Final = """query Guarded($id: ID!) { customer(id: $id) { name links { provider customerRef }
  defaultMethodInfo { state providerDefaults { id } } authSummary { basis { id } challengePending { id } }
  paymentMethods { label providerRef ... on Card { bin } } } }"""
BY_REF: Final = '{ findCustomer(by: {providerRef: {provider: LOANPRO, customerRef: "37"}}) { id } }'


def test_a_document_compiled_for_one_caller_is_guarded_for_others(
    shared: RunningGateway, sandbox: RunningSandbox
) -> None:
    """Documents are prepared once for all callers, and run by a plan from their second use on."""
    staff = {"authorization": f"Bearer {shared.token(ALL_SCOPES)}"}
    bare = {"authorization": f"Bearer {shared.token(['customers:read'], name='bare')}"}
    for _ in range(4):
        full = shared.query(GUARDED, {"id": "cus_alex"}, headers=staff)
        assert full.errors == [], full.raw
        assert all(one["providerRef"] for one in full.data["customer"]["paymentMethods"])
        assert shared.query(BY_REF, headers=staff).data == {"findCustomer": {"id": "cus_alex"}}
    for _ in range(2):
        reply = shared.query(GUARDED, {"id": "cus_alex"}, headers=bare)
        customer = reply.data["customer"]
        assert (customer["links"], customer["paymentMethods"]) == (None, None)
        assert customer["defaultMethodInfo"]["providerDefaults"] is None
        assert customer["authSummary"] == {"basis": None, "challengePending": None}
        assert set(reply.codes) == {"FORBIDDEN"}
        refused = shared.query(BY_REF, headers=bare)
        assert (refused.data, refused.codes) == ({"findCustomer": None}, ["FORBIDDEN"])
    some = {"authorization": f"Bearer {shared.token(['customers:read', 'payment_methods:read', 'links:read'])}"}
    for _ in range(2):
        reply = shared.query(GUARDED, {"id": "cus_alex"}, headers=some)
        methods = reply.data["customer"]["paymentMethods"]
        assert methods
        assert all(one["providerRef"] is None and one.get("bin") is None for one in methods)
        assert all(one["customerRef"] is None for one in reply.data["customer"]["links"])
        assert set(reply.codes) == {"FORBIDDEN"}
    nothing = {"authorization": f"Bearer {shared.token([], name='nothing')}"}
    sandbox.clear_calls()
    for _ in range(3):
        reply = shared.query(GUARDED, {"id": "cus_alex"}, headers=nothing)
        assert (reply.data, reply.codes) == ({"customer": None}, ["FORBIDDEN"])
    assert sandbox.calls() == []


# ---- several writes in one request -------------------------------------------------------------------------

TWO: Final = """mutation ($a: SetDefaultPaymentMethodInput!, $b: AddPaymentMethodInput!, $skip: Boolean = false) {
  first: setDefaultPaymentMethod(input: $a) { userErrors { code } }
  second: addPaymentMethod(input: $b) @skip(if: $skip) { userErrors { code } }
}"""
RAW: Final = {"accountNumber": "4012888888881881", "expiry": "2031-07", "brand": "VISA"}


def test_no_write_runs_unless_all_may(sam: RunningGateway, alexs: dict[str, str], sandbox: RunningSandbox) -> None:
    """The second field's input needs pan:write, which this caller lacks: the first one is not run either."""
    wanted = {
        "a": {"customerId": "cus_alex", "paymentMethodId": alexs["JPMORGAN"]},
        "b": {"customerId": "cus_alex", "idempotencyKey": "k" * 16, "method": {"jpmRawCard": RAW}},
    }
    staff = {"authorization": f"Bearer {sam.token()}"}
    for _ in range(3):  # by a plan from the second run on
        reply = sam.query(TWO, wanted, headers=staff)
        assert (reply.status, reply.data) == (200, {"first": None, "second": None}), reply.raw
        assert [(error["path"], error["extensions"]["code"]) for error in reply.errors] == [
            (["first"], "FORBIDDEN"),
            (["second"], "FORBIDDEN"),
        ]
        assert all(error["extensions"]["requiresAnyOf"] == ["pan:write"] for error in reply.errors)
        assert sandbox.calls() == []
    skipped = sam.query(TWO, {**wanted, "skip": True}, headers=staff)
    assert (skipped.data, skipped.errors) == ({"first": {"userErrors": []}}, []), "what is skipped asks for nothing"


def test_refused_writes_are_in_the_audit_trail(sam: RunningGateway, alexs: dict[str, str]) -> None:
    written = 'mutation { eraseCustomer(input: {customerId: "cus_alex", idempotencyKey: "0123456789abcdef", '
    written += 'confirmExternalId: "user-88420"}) { userErrors { code } } }'
    sam.query(written, headers={"x-request-id": "refused-write"})
    refused = (
        "mutation ($input: DeletePaymentMethodInput!) { deletePaymentMethod(input: $input) { userErrors { code } } }"
    )
    sam.query(refused, {"input": {"id": alexs["METHOD"]}}, headers={"x-request-id": "unknown-write"})

    async def notes() -> list[Any]:
        await sam.gateway.audit.flush()
        return await sam.gateway.store.events.after(None, limit=10_000)

    found = {
        (one.request_id, one.type.value, one.actor, one.outcome)
        for one in sam.on_loop(notes())
        if one.request_id in ("refused-write", "unknown-write")
    }
    assert ("refused-write", "ACCESS_REFUSED", "user:developer", "FORBIDDEN") in found
    assert ("unknown-write", "MUTATION", "user:developer", "REFUSED") in found
