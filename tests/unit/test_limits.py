"""Limits and prices of documents: exact counts, and no document that is slow to refuse."""

from typing import Any

import pytest
from graphql import (
    get_introspection_query,
    get_named_type,
    get_nullable_type,
    is_interface_type,
    is_introspection_type,
    is_leaf_type,
    is_list_type,
    is_object_type,
)

from app.api.limits import Limiter, Limits
from app.api.problems import RequestRefused
from app.execution.documents import Document, DocumentCache
from app.wallet.caller import ALL_SCOPES, Caller
from resolvers.schema import schema
from tests.support.call_count import calls_made

STAFF = Caller(name="staff", scopes=ALL_SCOPES)
PLAIN = Caller(name="plain", scopes=ALL_SCOPES - {"explore"})


def prepared(text: str, **limits: int) -> tuple[Limiter, Document]:
    limiter = Limiter(schema._schema, Limits(**limits))
    documents = DocumentCache(
        schema._schema, max_bytes=10**7, max_tokens=limiter.limits.tokens, suggest=False, screen=limiter.screen
    )
    return limiter, documents.prepare(text)


def codes(text: str, **limits: int) -> list[Any]:
    _, document = prepared(text, **limits)
    return [(error.extensions or {}).get("code", "GRAPHQL_VALIDATION_FAILED") for error in document.errors]


def cost(text: str, variables: dict[str, Any] | None = None, **limits: int) -> int:
    limiter, document = prepared(text, **limits)
    assert not document.errors, document.errors
    operation = document.operation(None)
    assert operation is not None
    return limiter.admit(document, operation, variables or {}, STAFF)


def chain(length: int) -> str:
    """Fragments that each spread the next one twice: exponential without memoization."""
    links = "".join(f"fragment f{n} on Query{{...f{n + 1} ...f{n + 1}}}" for n in range(length))
    return f"{{...f0}}{links}fragment f{length} on Query{{viewer{{partner}}}}"


@pytest.mark.parametrize(
    ("limit", "fits", "exceeds", "code"),
    [
        ("depth", "{viewer{partner}}", "{viewer{actingCustomer{id}}}", "DEPTH_LIMIT"),
        ("aliases", "{a:viewer{partner} b:viewer{partner}}", "{a:viewer{x:partner} b:viewer{partner}}", "ALIAS_LIMIT"),
        ("fields", "{viewer{partner}}", "{viewer{partner scopes}}", "FIELD_LIMIT"),
        ("root_fields", "{viewer{partner} __typename}", "{a:__typename b:__typename __typename}", "ROOT_FIELD_LIMIT"),
        (
            "directives",
            "{viewer @include(if:true){partner @skip(if:false)}}",
            "query @a{viewer @include(if:true){partner @skip(if:false)}}",
            "DIRECTIVE_LIMIT",
        ),
        ("list_items", '{nodes(ids:["a","b"]){id}}', '{nodes(ids:["a","b","c"]){id}}', "LIST_LIMIT"),
    ],
)  # fmt: skip
def test_a_limit_holds_exactly(limit: str, fits: str, exceeds: str, code: str) -> None:
    assert codes(fits, **{limit: 2}) == []
    assert codes(exceeds, **{limit: 2}) == [code]


@pytest.mark.parametrize(("limit", "code"), [("fields", "FIELD_LIMIT"), ("aliases", "ALIAS_LIMIT")])
def test_a_fragment_counts_wherever_it_is_spread(limit: str, code: str) -> None:
    text = "{a:viewer{...f} b:viewer{...f}} fragment f on Viewer{x:partner y:scopes}"
    assert codes(text, **{limit: 6}) == []
    assert codes(text, **{limit: 5}) == [code]


def test_the_refusal_says_the_numbers() -> None:
    _, document = prepared("{viewer{partner scopes}}", fields=2)
    assert document.errors[0].extensions == {"code": "FIELD_LIMIT", "limit": 2, "found": 3}


def test_mutations_have_few_root_fields() -> None:
    assert codes("mutation{" + " ".join(f"m{n}:nothing" for n in range(6)) + "}") == ["ROOT_FIELD_LIMIT"]
    assert "ROOT_FIELD_LIMIT" not in codes("mutation{" + " ".join(f"m{n}:nothing" for n in range(5)) + "}")


def test_every_operation_is_looked_at_even_those_of_one_name() -> None:
    deep = "{customer(id:1){" + "paymentMethods{customer{" * 10 + "id" + "}}" * 10 + "}}"
    assert codes(f"query a {deep} query a {{viewer{{partner}}}}") == ["DEPTH_LIMIT"]
    assert codes(f"query b {{viewer{{partner}}}} query a {deep}") == ["DEPTH_LIMIT"]


def test_the_usual_introspection_fits() -> None:
    assert codes(get_introspection_query(descriptions=True, specified_by_url=True, directive_is_repeatable=True)) == []


@pytest.mark.parametrize(
    "text",
    [
        "{__schema{types{name}}}",
        '{__type(name:"Card"){name}}',
        "{...on Query{__schema{types{name}}}}",
        "{...f} fragment f on Query{...g} fragment g on Query{__schema{types{name}}}",
        '{viewer{partner} x:__type(name:"Card"){name}}',
        "{_service{sdl}}",
    ],
)
def test_introspection_needs_its_scope(text: str) -> None:
    limiter, document = prepared(text)
    assert not document.errors
    operation = document.operation(None)
    assert operation is not None
    assert limiter.admit(document, operation, {}, STAFF) >= 1  # a call's worth at least, though no vault is asked
    with pytest.raises(RequestRefused) as refused:
        limiter.admit(document, operation, {}, PLAIN)
    assert refused.value.code == "INTROSPECTION_DISABLED"


def test_typename_is_no_introspection() -> None:
    limiter, document = prepared("{__typename viewer{__typename}}")
    operation = document.operation(None)
    assert operation is not None
    assert limiter.admit(document, operation, {}, PLAIN) == 0


@pytest.mark.parametrize(
    ("text", "variables", "calls"),
    [
        ("{viewer{partner} providers{provider}}", {}, 0),
        ('{customer(id:"a"){paymentMethods{id} sources{state}}}', {}, 4),
        ('{customer(id:"a"){paymentMethods{id} sources{state} authStatus}}', {}, 5),
        ('{a:customer(id:"a"){name} b:customer(id:"a"){email}}', {}, 4),  # the loader asks once
        ('{a:customer(id:"a"){name} b:customer(id:"b"){email}}', {}, 8),
        ("query($i:ID!){a:customer(id:$i){name} b:customer(id:$i){email}}", {"i": "a"}, 4),
        ('{paymentMethod(id:"a"){label}}', {}, 1),
        ('{paymentMethod(id:"a"){customer{paymentMethods{id}}}}', {}, 4),  # the way around
        ('{node(id:"a"){id}}', {}, 4),
        ('{nodes(ids:["a","b","c"]){id}}', {}, 12),
        ("query($ids:[ID!]!){nodes(ids:$ids){id}}", {"ids": ["a", "b"]}, 8),
        ("query($ids:[ID!]!){nodes(ids:$ids){id}}", {"ids": "a"}, 4),
        ("query($ids:[ID!]!){nodes(ids:$ids){id}}", {"ids": []}, 4),
        ('query($ids:[ID!]!=["a","b","c"]){nodes(ids:$ids){id}}', {}, 12),
        ("query($i:ID!){nodes(ids:[$i,$i]){id}}", {"i": "a"}, 8),
        ("query($r:[_Any!]!){_entities(representations:$r){__typename}}", {"r": [{}, {}]}, 8),
        ('{...f ...f} fragment f on Query{customer(id:"a"){...g}} fragment g on Customer{name}', {}, 4),
    ],
)
def test_prices_are_calls_to_vaults(text: str, variables: dict[str, Any], calls: int) -> None:
    assert cost(text, variables) == calls


def test_a_price_over_the_budget_is_refused_with_the_numbers() -> None:
    many = " ".join(f'a{n}:nodes(ids:["{n}","x{n}"]){{id}}' for n in range(13))
    with pytest.raises(RequestRefused) as refused:
        cost("{" + many + "}", cost=100)
    assert refused.value.code == "COST_ESTIMATED_TOO_EXPENSIVE"
    assert refused.value.as_errors()[0]["extensions"]["cost"] == {"requested": 104, "maximum": 100}
    assert cost("{" + many + "}", cost=104) == 104


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"a": [0] * 11}, "LIST_LIMIT"),
        ({"a": {"b": [[0] * 11]}}, "LIST_LIMIT"),
        ({"a": {"b": {"c": {"d": {"e": {}}}}}}, "VARIABLES_LIMIT"),
        ({"a": [[0] * 10] * 10}, "VARIABLES_LIMIT"),
        ({f"v{n}": n for n in range(101)}, "VARIABLES_LIMIT"),
    ],
)
def test_variables_are_bounded(variables: dict[str, Any], code: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        cost("{viewer{partner}}", variables, list_items=10, variable_depth=5, variable_values=100)
    assert refused.value.code == code


def test_ordinary_variables_pass() -> None:
    assert cost("{viewer{partner}}", {"a": [0] * 10, "b": {"c": {"d": {"e": 1}}}}, list_items=10, variable_depth=5) == 0


BOMBS = {
    "19 chained fragments": chain(19),
    "31 chained fragments": chain(31),
    "300 chained fragments": chain(300),
    "a long chain in reverse order": "".join(f"fragment f{n} on Query{{...f{n - 1}}}" for n in range(400, 0, -1))
    + "fragment f0 on Query{viewer{partner}}{...f400}",
    "a cycle": "{...a} fragment a on Query{...b ...b} fragment b on Query{...a ...a viewer{partner}}",
    "many operations on one fragment": " ".join(f"query q{n}{{...f}}" for n in range(300))
    + " fragment f on Query{" + "viewer{partner} " * 45 + "}",
    "many fields": "{viewer{" + "partner " * 2000 + "}}",
    "many directives": "{viewer " + "@a " * 1500 + "{partner}}",
    "overlapping fields": "{" + " ".join(f"...f{n}" for n in range(60)) + "}"
    + " ".join(
        f"fragment f{n} on Query{{customer(id:1){{...g{n}}}}} fragment g{n} on Customer{{id name}}" for n in range(60)
    ),
    "a long list": "{nodes(ids:[" + "1 " * 3500 + "]){id}}",
}  # fmt: skip


@pytest.mark.parametrize("name", list(BOMBS))
def test_no_bomb_takes_long(name: str) -> None:
    """Each is refused, or found harmless, with work in proportion to its length."""
    codes("{viewer{partner}}")  # what is made once is there
    assert calls_made(lambda: codes(BOMBS[name])) < 10_000 + 40 * len(BOMBS[name])


def test_the_known_bomb_is_refused_after_little_work() -> None:
    """Validators that follow each spread need 2**19 visits for it."""
    text = chain(19)
    assert len(text) < 950
    limiter, _ = prepared(text)
    documents = DocumentCache(schema._schema, max_bytes=10**7, max_tokens=4_000, suggest=False, screen=limiter.screen)
    document = documents.prepare(text)
    assert [error.extensions["code"] for error in document.errors if error.extensions] == ["FIELD_LIMIT"]
    assert calls_made(lambda: documents.prepare(text)) < 10_000


def test_admission_is_remembered_with_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter, document = prepared("query($ids:[ID!]!){nodes(ids:$ids){id}}")
    operation = document.operation(None)
    assert operation is not None
    assert limiter.admit(document, operation, {"ids": ["a"]}, STAFF) == 4

    def fail(*_: object) -> None:
        raise AssertionError("surveyed again")

    monkeypatch.setattr("app.api.limits.limiter.DocumentAnalyzer", fail)
    assert limiter.admit(document, operation, {"ids": ["a", "b"]}, STAFF) == 8


# ---- what validation visits ----------------------------------------------------------------------------

HEAVY = {
    "a fragment that nothing spreads": "query{viewer{partner}} fragment F on Viewer{"
    + "actingCustomer{id} " * 950
    + "}",
    "two fragments of one name": "{viewer{...F}} fragment F on Viewer{"
    + "actingCustomer{id} " * 300
    + "} fragment F on Viewer{partner}",
    "one field repeated": "{viewer{" + "partner " * 390 + "}}",
    "one alias repeated": "{viewer{" + "a:partner " * 55 + "}}",
    "fields repeated within fields repeated": "{" + ("viewer{" + "actingCustomer{id name}" * 13 + "}") * 13 + "}",
    "long arguments repeated": "{" + ("nodes(ids:[" + '"abcdefgh" ' * 60 + "]){id} ") * 40 + "}",
    "fragments that repeat each other": "{viewer{"
    + " ".join(f"...F{n}" for n in range(60))
    + "}}"
    + "".join(f" fragment F{n} on Viewer{{partner scopes testMode actingCustomer{{id}}}}" for n in range(60)),
    "repeated in inline fragments": "{viewer{" + "...{partner} ...on Viewer{partner} " * 150 + "}}",
    "inline fragments within each other": "{" + "...{" * 300 + "__typename" + "}" * 300 + "}",
    "many small fragments": "{viewer{partner}}" + "".join(f" fragment F{n} on Viewer{{partner}}" for n in range(400)),
    "many operations": "".join(f"query Q{n}{{viewer{{partner}}}}" for n in range(400)),
    "many variables": "query(" + " ".join(f"$v{n}:Int" for n in range(900)) + "){viewer{partner}}",
    "a circle that doubles": "{viewer{...F0}}"
    + "".join(f" fragment F{n} on Viewer{{...F{(n + 1) % 20} ...F{(n + 1) % 20}}}" for n in range(20)),
    "a circle through fields that doubles": "{viewer{...F}} fragment F on Viewer{a:actingCustomer{...G} "
    "b:actingCustomer{...G}} fragment G on Customer{a:paymentMethods{...H} b:paymentMethods{...H}} "
    "fragment H on PaymentMethod{a:customer{...G} b:customer{...G}}",
    "directives of a fragment that nothing spreads": "{viewer{partner}} fragment F on Viewer{"
    + "partner @include(if:true) " * 60
    + "}",
}


@pytest.mark.parametrize("name", HEAVY)
def test_what_is_heavy_to_validate_is_refused_or_cheap(name: str) -> None:
    """Counted in calls of Python functions: what a plain document of the same length takes, twenty times over."""
    limiter = Limiter(schema._schema, Limits())
    documents = DocumentCache(
        schema._schema, max_bytes=0, max_tokens=limiter.limits.tokens, suggest=False, screen=limiter.screen
    )
    assert calls_made(lambda: documents.prepare(HEAVY[name])) < 150_000


def test_the_largest_plain_document_is_the_measure() -> None:
    """`HEAVY` is held to what this takes, and so may be: nothing in it is repeated."""
    limiter = Limiter(schema._schema, Limits())
    documents = DocumentCache(
        schema._schema, max_bytes=0, max_tokens=limiter.limits.tokens, suggest=False, screen=limiter.screen
    )
    plain = "{viewer{" + " ".join(f"a{n}:partner" for n in range(60)) + " scopes testMode}}"
    assert not documents.prepare(plain).errors
    assert calls_made(lambda: documents.prepare(plain)) > 5_000


@pytest.mark.parametrize(
    ("limit", "fits", "exceeds", "code"),
    [
        ("definitions", "{viewer{...F}} fragment F on Viewer{partner}",
         "{viewer{...F}} fragment F on Viewer{...G} fragment G on Viewer{partner}", "DEFINITION_LIMIT"),
        ("variables", "query($a:ID! $b:ID!){nodes(ids:[$a,$b]){id}}",
         "query($a:ID! $b:ID! $c:ID!){nodes(ids:[$a,$b,$c]){id}}", "VARIABLES_LIMIT"),
        ("fields", "{viewer{partner}} fragment F on Viewer{partner scopes}",
         "{viewer{partner}} fragment F on Viewer{partner scopes testMode}", "FIELD_LIMIT"),
    ],
)  # fmt: skip
def test_what_is_counted_before_validation_holds_exactly(limit: str, fits: str, exceeds: str, code: str) -> None:
    assert code not in codes(fits, **{limit: 2})
    assert codes(exceeds, **{limit: 2}) == [code]


def test_fragments_as_clients_make_them_fit() -> None:
    """Each component brings its own, and each asks for the id."""
    parts = "".join(f" fragment F{n} on PaymentMethod{{__typename id label ...G{n}}}" for n in range(12))
    parts += "".join(f" fragment G{n} on Card{{__typename id brand expiry}}" for n in range(12))
    spread = " ".join(f"...F{n}" for n in range(12))
    assert codes('{customer(id:"a"){id paymentMethods{id ' + spread + "}}}" + parts) == []


# ---- the answer, before it is made --------------------------------------------------------------------


def estimate(text: str, variables: dict[str, Any] | None = None) -> Any:
    limiter, document = prepared(text)
    assert not document.errors, document.errors
    operation = document.operation(None)
    assert operation is not None
    return limiter.estimate(document, operation, variables or {})


@pytest.mark.parametrize(
    ("text", "variables", "fields"),
    [
        ("{viewer{partner}}", {}, 2),
        ('{customer(id:"a"){paymentMethods{id label}}}', {}, 22),
        ('{customer(id:"a"){paymentMethods(first:3){id label}}}', {}, 8),
        ('query($n:Int!){customer(id:"a"){paymentMethods(first:$n){id label}}}', {}, 22),
        ('query($n:Int!){customer(id:"a"){paymentMethods(first:$n){id label}}}', {"n": 1}, 4),
        ('query($n:Int=2){customer(id:"a"){paymentMethods(first:$n){id label}}}', {}, 6),
        ('{customer(id:"a"){paymentMethodsConnection{nodes{id label}}}}', {}, 103),
        ('query($n:Int!){customer(id:"a"){paymentMethodsConnection(first:$n){nodes{id label}}}}', {"n": 1000}, 2003),
        ('{customer(id:"a"){paymentMethods{id ...on Card{brand bin} ...on BankAccount{rail}}}}', {}, 32),
        ('{customer(id:"a"){events{edges{cursor node{id}}}}}', {}, 63),  # 20 by default, three fields each
        ('{customer(id:"a"){events(first:100){edges{cursor node{id}} pageInfo{hasNextPage}}}}', {}, 305),
        ('{nodes(ids:["a","b"]){id}}', {}, 4),
        ("query($i:[ID!]!){nodes(ids:$i){id ...on Customer{paymentMethods{id}}}}", {"i": ["a"] * 100}, 1300),
        ('{a:customer(id:"a"){name} b:customer(id:"a"){name}}', {}, 4),  # read once, answered twice
        ("{...F ...F} fragment F on Query{viewer{partner}}", {}, 4),
    ],
)
def test_fields_are_estimated_from_list_sizes(text: str, variables: dict[str, Any], fields: int) -> None:
    assert estimate(text, variables).fields == fields


@pytest.mark.parametrize(
    "loop",
    [
        "paymentMethods{customer{",
        "paymentMethods{possibleDuplicates{customer{",
        "events(first:100){edges{node{customer{",
        "defaultMethodInfo{providerDefaults{customer{",
        "authSummary{challengePending{customer{",
    ],
)
def test_lists_within_lists_are_refused_before_they_run(loop: str) -> None:
    times = 7 if "possible" in loop or "events" in loop or "default" in loop or "auth" in loop else 6
    times = min(times, (15 - 1) // loop.count("{"))
    text = '{customer(id:"a"){' + loop * times + "id" + "}" * loop.count("{") * times + "}}"
    found = estimate(text)
    assert found.fields > 2**times
    if found.fields > 100_000:
        with pytest.raises(RequestRefused) as refused:
            cost(text)
        assert refused.value.code == "COST_ESTIMATED_TOO_EXPENSIVE"
        assert refused.value.extensions["cost"] == {"requestedFields": found.fields, "maximumFields": 100_000}


def test_the_loop_that_stalled_everybody_is_refused() -> None:
    with pytest.raises(RequestRefused):
        cost('{customer(id:"a"){' + "paymentMethods{customer{" * 4 + "paymentMethods{id}" + "}}" * 4 + "}}")


def test_many_fields_weigh_as_much_as_calls() -> None:
    labels = " ".join(f"a{n}:label" for n in range(50))
    assert cost('{customer(id:"a"){paymentMethods{' + labels + "}}}") == 4
    assert cost('{customer(id:"a"){' + "paymentMethods{customer{" * 3 + "paymentMethods{id}" + "}}" * 3 + "}}") == 24


def test_every_list_of_objects_says_how_long_it_is() -> None:
    unsaid = []
    for kind in schema._schema.type_map.values():
        if not (is_object_type(kind) or is_interface_type(kind)) or is_introspection_type(kind):
            continue
        for name, one in kind.fields.items():
            named = get_named_type(one.type)
            if is_list_type(get_nullable_type(one.type)) and not is_leaf_type(named):
                said = getattr(one.extensions.get("strawberry-definition"), "directives", ())
                if not any(type(directive).__name__ == "ListSize" for directive in said):
                    unsaid.append(f"{kind.name}.{name}")
    sized_by_argument_or_connection = {
        "Query.nodes",
        "Query._entities",
        "EventConnection.edges",
        "CustomerConnection.edges",
        "CustomerConnection.nodes",
        "ExpiringPaymentMethodConnection.edges",
        "ExpiringPaymentMethodConnection.nodes",
        "PaymentMethodConnection.edges",
        "PaymentMethodConnection.nodes",
    }
    assert set(unsaid) - sized_by_argument_or_connection == {"OperationResultConnection.edges"}


@pytest.mark.parametrize(
    ("text", "calls", "statuses"),
    [
        ("mutation{setDefaultPaymentMethod(input:$i){operation{id}}}", 8, 0),
        ("mutation{setDefaultPaymentMethod(input:$i){customer{paymentMethods{id}}}}", 12, 0),
        ("mutation{setDefaultPaymentMethod(input:$i){customer{id} previousDefault{id}}}", 13, 0),
        ("mutation{" + "".join(f"{a}:setDefaultPaymentMethod(input:$i){{customer{{id}}}}" for a in "ab") + "}", 24, 0),
        ('{operation(id:"a"){results{edges{node{paymentMethod{id}}}}}}', 50, 0),
        ('{operation(id:"a"){results(first:2){edges{node{paymentMethod{customer{paymentMethods{id}}}}}}}}', 8, 0),
        ('{customer(id:"a"){paymentMethods{authStatus ...on Card{threeDSecure{status}}} authStatus}}', 4, 10),
        ('{customer(id:"a"){paymentMethods(first:2){authStatus} defaultMethod{authStatus}}}', 4, 3),
        ('{paymentMethod(id:"a"){authStatus}}', 1, 1),
        ("{customers{nodes{id name links{provider}}}}", 1, 0),
        ("{customers{nodes{isComplete}}}", 80, 0),
        ("{customers(first:3){nodes{id} edges{node{paymentMethods{authStatus}}}}}", 12, 30),
        ("query($n:[ID!]!,$f:Int=7){nodes(ids:$n){id} customers(first:$f){edges{node{authStatus}}}}", 36, 7),
        ('{expiringPaymentMethods(before:"2030-01",first:5){nodes{expiry}}}', 0, 0),
        ('{expiringPaymentMethods(before:"2030-01",first:5){nodes{paymentMethod{id} customer{isComplete}}}}', 25, 0),
        ("query($n:[ID!]!){nodes(ids:$n){...on Customer{authSummary{challengePending{id}}}}}", 8, 20),
    ],
)  # fmt: skip
def test_a_price_holds_what_is_beneath_a_root_field(text: str, calls: int, statuses: int) -> None:
    text = text.replace("mutation{", "mutation($i:SetDefaultPaymentMethodInput!){")
    found = estimate(text, {"n": ["a", "b"]})
    assert (found.calls, found.statuses) == (calls, statuses)
