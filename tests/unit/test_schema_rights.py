"""Scopes over the whole schema: without a scope, no field that it guards returns anything, from any root.

Requests are generated from the schema: each root once, with every type below it, every scoped field and every plain
leaf. A new field is included automatically; a new root fails until its arguments are declared here.
"""

from collections import deque
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from graphql import GraphQLInterfaceType, GraphQLObjectType, GraphQLUnionType, get_named_type, is_composite_type

from app.execution.documents import Document, DocumentCache
from app.execution.plans import Plans
from app.execution.run import run_operation, run_subscription
from app.store.records import (
    EventOrigin,
    EventPage,
    EventRecord,
    EventType,
    MethodAddress,
    OperationRecord,
    OperationState,
    PaymentRecord,
    PaymentState,
    ResultPage,
    ResultRow,
    WriteOutcome,
)
from app.vault.enums import CustomerRef, MethodRef
from app.wallet.caller import ALL_SCOPES, Caller
from app.wallet.commands import ItemResult, WriteResult
from app.wallet.problems import ProblemCode, WriteProblem
from resolvers.context import Context
from resolvers.events import NoEvents
from resolvers.schema import schema
from resolvers.scopes import needs_of
from tests.support.memory import NOW, P, World, card, observed
from tests.support.writes import RecordingWriter, mutations, sample

GRAPH: Final = schema._schema
ULID: Final = "01JD8ZK4Q5W6X7Y8Z9ABCDEFGH"
OPERATION, PAYMENT, EVENT = f"op_{ULID}", f"pay_{ULID}", f"evt_{ULID}"
ADDRESS: Final = MethodAddress(P.CASELLE, CustomerRef("cs"), MethodRef("uid"))
METHOD: Final = World().id(*(ADDRESS.provider, "cs", "uid"))
AS_ENTITY: Final = {
    "Customer": [{"__typename": "Customer", "id": "cus_a"}],
    "Card": [{"__typename": "Card", "id": METHOD}],
}
ASKED: Final[dict[str, tuple[tuple[str, dict[str, Any]], ...]]] = {
    "node": tuple(("id: $id", {"id": one}) for one in ("cus_a", METHOD, OPERATION, PAYMENT, EVENT)),
    "nodes": (("ids: $ids", {"ids": ["cus_a", METHOD, OPERATION, PAYMENT, EVENT]}),),
    "viewer": (("", {}),),
    "providers": (("", {}),),
    "_service": (("", {}),),
    "_entities": tuple(("representations: $of", {"of": one}) for one in AS_ENTITY.values()),
    "customer": (("id: $id", {"id": "cus_a"}),),
    "findCustomer": (
        ("by: $by", {"by": {"externalId": "ext-cus_a"}}),
        ("by: $by", {"by": {"providerRef": {"provider": "CASELLE", "customerRef": "cs"}}}),
    ),
    "customers": (("first: $first", {"first": 5}), ("filter: $filter", {"filter": {"linkedAt": "CASELLE"}})),
    "expiringPaymentMethods": (("before: $before", {"before": "2999-01"}),),
    "paymentMethod": (("id: $id", {"id": METHOD}),),
    "operation": (("id: $id", {"id": OPERATION}),),
    "events": (("", {}),),
    "customerEvents": (("customerId: $id", {"id": "cus_a"}),),
    "operationUpdated": (("id: $id", {"id": OPERATION}),),
}
"""For each root: its arguments, and the variables in them."""
MARKS: Final = {
    "customers:read": ("alex@example.com", "Alex Morales", "8888888828"),
    "payment_methods:read": ("ending 5555", "ending 4242", "300 Elton Street"),
    "payment_methods:bin": ("424242",),
    "links:read": ("TRUSTED_BACKEND",),
    "provider_refs:read": ("'uid'", "PACJGQ"),
    "audit:read": ("somebody-who-did-it",),
}
"""Words that occur in responses to a caller with every scope, and in none without this one."""
UNSEEN: Final = {"BankAccount", "OtherMethod", "ProviderError", "InputError", "ConflictError"}
"""Types that do not occur in this world, or errors without scoped fields."""


NOT_IN_THIS_WORLD: Final = {
    ("AuthSummary", "challengePending"),
    ("Card", "consent"),
    ("PaymentAttempt", "paymentMethod"),
}
"""No card has a challenge or a consent, no payment a second attempt: see tests/e2e/test_consent.py and others."""


@dataclass
class Node:
    """The selection of one composite field: fields by object type."""

    kinds: dict[str, dict[str, "Node | None"]] = field(default_factory=dict)

    def text(self) -> str:
        parts = ["__typename"]
        for kind, fields in self.kinds.items():
            asked = " ".join(f"{kind}_0_{name}: {name}{node.text() if node else ''}" for name, node in fields.items())
            parts.append(f"... on {kind} {{ {asked} }}")
        return "{ " + " ".join(parts) + " }"


def objects_of(kind: Any) -> Collection[GraphQLObjectType]:
    named = get_named_type(kind)
    if isinstance(named, GraphQLInterfaceType | GraphQLUnionType):
        return GRAPH.get_possible_types(named)
    return [named] if isinstance(named, GraphQLObjectType) else []


def below(kind: Any) -> Node:
    """Breadth first, each type where it first occurs; scoped fields and leaves wherever their type occurs."""
    top, known = Node(), set()
    waiting = deque([(top, kind)])
    while waiting:
        node, of = waiting.popleft()
        for one in objects_of(of):
            if one.name in known:
                continue
            known.add(one.name)
            fields = node.kinds[one.name] = {}
            for name, definition in one.fields.items():
                if not is_composite_type(get_named_type(definition.type)):
                    fields[name] = None
                    continue
                fields[name] = child = Node()
                waiting.append((child, definition.type))
    return top


def roots() -> Iterator[tuple[str, str, Any]]:
    for kind, root in (
        ("query", GRAPH.query_type),
        ("mutation", GRAPH.mutation_type),
        ("subscription", GRAPH.subscription_type),
    ):
        for name, definition in root.fields.items() if root is not None else ():
            yield kind, name, definition


def requests() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Kind, root, text and variables."""
    for kind, name, definition in roots():
        known = {"input": sample(mutations()[name])} if kind == "mutation" else None
        asked = (("input: $input", known),) if known else ASKED[name]
        selection = below(definition.type).text() if objects_of(definition.type) else ""
        for given, values in asked:
            arguments = {one.split(": $")[1]: definition.args[one.split(": $")[0]].type for one in [given] if one}
            head = ", ".join(f"${variable}: {of}" for variable, of in arguments.items())
            owner = {"query": "Query", "mutation": "Mutation", "subscription": "Subscription"}[kind]
            alias = f"{owner}_0_{name}"
            text = f"{kind} {f'({head})' if head else ''} {{ {alias}: {name}{f'({given})' if given else ''} "
            yield kind, name, f"{text} {selection} }}", dict(values or {})


REQUESTS: Final = list(requests())
NEEDS: Final = {
    (kind.name, name): frozenset(any_of)
    for kind in GRAPH.type_map.values()
    if isinstance(kind, GraphQLObjectType)
    for name, one in kind.fields.items()
    for any_of in needs_of(one)
}
SCOPES: Final = sorted(ALL_SCOPES)


# ---- a world that has everything ------------------------------------------------------------------------------


def _operation() -> OperationRecord:
    return OperationRecord(
        id=OPERATION,
        caller="staff:tests",
        mutation="addPaymentMethod",
        input_digest="d",
        customer_id="cus_a",
        provider=P.CASELLE,
        exclusive=None,
        state=OperationState.SUCCEEDED,
        outcome=WriteOutcome.APPLIED,
        is_final=True,
        epoch=1,
        owner_id="o",
        deadline_at=NOW,
        sent_at=NOW,
        reconcile_at=None,
        looks=0,
        intent={},
        result={},
        request_id="req-0",
        created_at=NOW,
        finished_at=NOW,
    )


def _event() -> EventRecord:
    return EventRecord(
        id=EVENT,
        type=EventType.METHOD_ADDED,
        origin=EventOrigin.GATEWAY,
        occurred_at=NOW,
        customer_id="cus_a",
        provider=P.CASELLE,
        customer_ref=ADDRESS.customer_ref,
        method_ref=ADDRESS.method_ref,
        actor="somebody-who-did-it",
        outcome="APPLIED",
        request_id="req-0",
        detail={},
    )


class Everything(RecordingWriter, NoEvents):
    """A process with one operation, one event and one payment."""

    async def operation(self, operation_id: str) -> OperationRecord | None:
        return _operation()

    async def results(self, operation_id: str, *, after: int = -1, first: int = 50) -> ResultPage:
        row = ResultRow(
            row=0,
            provider=ADDRESS.provider,
            state=OperationState.SUCCEEDED,
            outcome=WriteOutcome.APPLIED,
            customer_ref=ADDRESS.customer_ref,
            method_ref=ADDRESS.method_ref,
        )
        return ResultPage((row,), has_next=False)

    async def payment(self, payment_id: str) -> PaymentRecord | None:
        return PaymentRecord(
            id=PAYMENT,
            customer_id="cus_a",
            method=ADDRESS,
            payment_ref=None,
            state=PaymentState.QUOTED,
            currency="USD",
            amount=100,
            tax=None,
            fee=1,
            total=101,
            reference="r",
            decline_code=None,
            quote={},
            created_at=NOW,
            updated_at=NOW,
        )

    async def event(self, event_id: str) -> EventRecord | None:
        return _event()

    async def of_customer(self, customer_id: str, **how: Any) -> EventPage:
        return EventPage((_event(),), has_next=False)

    async def page(self, types: Any, is_wanted: Any, **how: Any) -> EventPage:
        return EventPage((_event(),), has_next=False)

    async def events(self, customer_id: str, types: Any, **how: Any) -> AsyncIterator[EventRecord | None]:
        yield _event()


def world() -> World:
    made = World()
    same = {"last4": "5555", "bin": "424242"}
    made.vaults[P.CASELLE].put("cs", card("uid", **same), card("uid2", **same))
    made.directory.add("cus_a", {P.LOANPRO: "37", P.ALOHA: "al", P.JPMORGAN: "PACJGQ", P.CASELLE: "cs"})
    there = Everything(
        WriteResult(
            operation=_operation(),
            problems=(WriteProblem(ProblemCode.DUPLICATE, "-", existing=ADDRESS),),
            customer_id="cus_a",
            method=ADDRESS,
            previous=ADDRESS,
            lookalikes=(ADDRESS,),
            link=made.directory.known["cus_a"].links[0],
            payment_id=PAYMENT,
            items=(ItemResult(state=OperationState.SUCCEEDED, outcome=WriteOutcome.APPLIED, method=ADDRESS),),
        )
    )
    made.services.writer = made.services.operations = there
    made.services.payment = there.payment
    made.services.events = made.services.feed = there
    made.search.expiring = [observed("cus_a", P.CASELLE, "cs", "uid", "2029-01", NOW)]
    return made


@dataclass
class Answered:
    """`values` are those of the fields, by type and name; `refused` the paths with FORBIDDEN."""

    values: list[tuple[tuple[str, str], tuple[Any, ...], Any]]
    refused: dict[tuple[Any, ...], list[str]]
    data: Any


def _values(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[str, str], tuple[Any, ...], Any]]:
    if isinstance(data, list):
        for number, one in enumerate(data):
            yield from _values(one, (*path, number))
    elif isinstance(data, dict):
        for alias, one in data.items():
            kind, found, name = alias.partition("_0_")
            if found:
                yield (kind, name), (*path, alias), one
            yield from _values(one, (*path, alias))


class _Ways:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_execution(self, path: str) -> None:
        self.seen.append(path)


_WAYS: Final = _Ways()
_PREPARED: Final[dict[tuple[str, bool], Document]] = {}


def prepared(text: str, *, compiled: bool) -> Document:
    key = (text, compiled)
    if key not in _PREPARED:
        plans = Plans(schema, observer=_WAYS) if compiled else None
        made = DocumentCache(schema._schema, max_bytes=10_000_000, max_tokens=100_000, suggest=False, plans=plans).get(
            text
        )
        assert not made.errors, made.errors
        if plans is not None:
            plans.prepare(made)
        _PREPARED[key] = made
    return _PREPARED[key]


async def answered(kind: str, text: str, variables: dict[str, Any], lacking: str | None, *, compiled: bool) -> Answered:
    acting = "cus_a" if "actingCustomer" in text else None
    caller = Caller(name="tests", scopes=ALL_SCOPES - {lacking}, acting_customer=acting)
    context = Context.create(world().services, caller, "req-1")
    document = prepared(text, compiled=compiled)
    if kind == "subscription":
        started = await run_subscription(schema, document, None, variables, context)
        result: Any = await anext(started) if isinstance(started, AsyncIterator) else started
    else:
        result = await run_operation(schema, document, None, variables, context)
    context.close()
    refused = {
        tuple(error.path): error.extensions["requiresAnyOf"]
        for error in result.errors or ()
        if (error.extensions or {}).get("code") == "FORBIDDEN"
    }
    return Answered(list(_values(result.data)), refused, result.data)


# ---- the schema --------------------------------------------------------------------------------------------


def test_every_root_has_a_request() -> None:
    asked = {name for _, name, _, _ in REQUESTS}
    assert asked == {name for _, name, _ in roots()}


def _claims() -> dict[str, frozenset[str]]:
    """Maps each type to the scope of one of the fields that lead to it; every path to it should need that scope."""
    found: dict[str, frozenset[str]] = {}
    for (owner, name), needs in NEEDS.items():
        if owner in ("Mutation", "Subscription"):
            continue
        owner_type = GRAPH.type_map[owner]
        assert isinstance(owner_type, GraphQLObjectType)
        for one in objects_of(owner_type.fields[name].type):
            found[one.name] = found.get(one.name, frozenset()) | needs
    return found


CHECKED_BY_CODE: Final = {
    ("Query", "node"): "each kind of id asks for its scope",
    ("Query", "nodes"): "each kind of id asks for its scope",
    ("Query", "_entities"): "the same look-ups as node",
    ("DeletePaymentMethodPayload", "remainingLookalikes"): "empty without payment_methods:read",
    ("DuplicateError", "existing"): "the error is a plain one without payment_methods:read",
    ("Subscription", "customerEvents"): "a customer's events as they happen are read with customers:read",
    ("Subscription", "events"): "those of all customers too, by callers that may see all",
}
OWN_WRITE: Final = "operation"  # of a payload: the caller's own write


def test_every_path_to_a_guarded_type_is_guarded() -> None:
    claims = _claims()
    assert claims["Customer"] == {"customers:read"}
    assert claims["Card"] == {"payment_methods:read"}
    for kind in GRAPH.type_map.values():
        if not isinstance(kind, GraphQLObjectType) or kind.name.startswith("__"):
            continue
        for name, definition in kind.fields.items():
            for one in objects_of(definition.type):
                wanted = claims.get(one.name, frozenset())
                is_inside = wanted <= claims.get(kind.name, frozenset())
                is_own = name == OWN_WRITE and kind.name.endswith("Payload")
                if wanted and not (is_inside or is_own or (kind.name, name) in CHECKED_BY_CODE):
                    assert NEEDS.get((kind.name, name)) == wanted, f"{kind.name}.{name} leads to {one.name}"


# ---- responses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True], ids=["interpreted", "compiled"])
async def test_with_every_scope_everything_is_shown(compiled: bool) -> None:
    """Otherwise the tests below would prove nothing."""
    shown: set[tuple[str, str]] = set()
    everything = ""
    _WAYS.seen.clear()
    for kind, name, text, variables in REQUESTS:
        found = await answered(kind, text, variables, None, compiled=compiled)
        assert found.refused == {}, name
        shown |= {where for where, _, value in found.values if value is not None and value != []}
        everything += str(found.data)
    assert set(_WAYS.seen) == ({"compiled"} if compiled else set())
    missing = {where for where in NEEDS if where not in shown and where[0] not in UNSEEN}
    assert missing == NOT_IN_THIS_WORLD
    for words in MARKS.values():
        assert all(word in everything for word in words), words


@pytest.mark.parametrize("compiled", [False, True], ids=["interpreted", "compiled"])
@pytest.mark.parametrize("scope", SCOPES)
async def test_without_its_scope_no_field_returns_data(scope: str, compiled: bool) -> None:
    proven: set[tuple[str, str]] = set()
    shown = set()
    for kind, name, text, variables in REQUESTS:
        found = await answered(kind, text, variables, scope, compiled=compiled)
        for where, path, value in found.values:
            shown.add(where[0])
            if NEEDS.get(where) == {scope}:
                assert value is None, where
                assert found.refused.get(path) == [scope], where
                proven.add(where)
        if kind == "subscription" and NEEDS[("Subscription", name)] == {scope}:
            assert found.data is None
            assert list(found.refused.values()) == [[scope]]
            proven.add(("Subscription", name))
        said = "" if name == "_service" else str(found.data)  # _service returns the schema
        assert not [word for word in MARKS.get(scope, ()) if word in said], name
    unproven = {where for where, needs in NEEDS.items() if needs == {scope}} - proven
    assert not [where for where in unproven if where[0] in shown], "of a type that was shown, and never asked"
