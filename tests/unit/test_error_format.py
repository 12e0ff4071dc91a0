"""What clients see of errors: names and places, never values."""

from typing import Any

import pytest
from graphql import GraphQLError, is_scalar_type

from app.api import error_format
from app.api.operations import runnable
from app.api.problems import RequestRefused
from app.execution.documents import DocumentCache
from app.execution.run import run_operation
from resolvers.schema import schema

VALUE = "4111111111111111"

BROKEN = [
    f'{{ customer(id: {VALUE} "{VALUE}" }}',
    f'"{VALUE}"',
    f'{{ customer(id: "{VALUE}',
    f'{{ customer(id: "\\{VALUE}") {{id}} }}',
    f"{{ customer(id: {VALUE}a) {{id}} }}",
    f"{{ customer(id: $ {VALUE}) {{id}} }}",
    f"{{ node(id: {VALUE}.5) {{id}} }}",
    f'{{ customer(id: "a") {{ paymentMethods(first: "{VALUE}") {{id}} }} }}',
    f'{{ customer(id: "a") {{ paymentMethods(first: {VALUE}) {{id}} }} }}',
    f'{{ customer(id: "a") {{ paymentMethods(filter: {{kinds: [X{VALUE}]}}) {{id}} }} }}',
    f'{{ customer(id: "a") {{ paymentMethods(filter: {{providers: "{VALUE}"}}) {{id}} }} }}',
    f'{{ customer(id: "a") {{ paymentMethods(filter: "{VALUE}") {{id}} }} }}',
    f'{{ findCustomer(by: {{providerRef: {{provider: LOANPRO, customerReff: "{VALUE}"}}}}) {{id}} }}',
    f'{{ findCustomer(by: {{providerRef: {{customerRef: "{VALUE}"}}}}) {{id}} }}',
    f'{{ viewer @include(if: "{VALUE}") {{partner}} }}',
    f'query($v: Int = "{VALUE}") {{ viewer {{partner}} }}',
    f'{{ a: customer(id: "{VALUE}") {{id}} a: customer(id: "b") {{id}} }}',
    f'{{ nodes(ids: {{a: "{VALUE}"}}) {{id}} }}',
    f'{{ customer(id: """{VALUE}""", id: "{VALUE}") {{id}} }}',
]

VARIABLES: list[tuple[str, Any]] = [
    ("Int", VALUE),
    ("Int", int(VALUE)),
    ("[Int!]", [1, VALUE]),
    ("Provider", VALUE),
    ("Provider", "LOANPR0"),
    ("ID", {"a": VALUE}),
    ("ID!", None),
    ("CustomerBy", {"externalId": VALUE, "unknown": VALUE}),
    ("CustomerBy", {}),
    ("CustomerBy", VALUE),
    ("CustomerBy", {"providerRef": {"provider": VALUE, "customerRef": VALUE}}),
    ("PaymentMethodFilter", {"expiringWithinDays": VALUE}),
]


def faults_of(text: str) -> list[dict[str, Any]]:
    documents = DocumentCache(schema._schema, max_bytes=10**7, max_tokens=1_000, suggest=True)
    with pytest.raises(RequestRefused) as refused:
        runnable(documents.prepare(text), None)
    return refused.value.as_errors()


@pytest.mark.parametrize("text", BROKEN)
def test_faults_of_a_document_quote_no_value(text: str) -> None:
    errors = faults_of(text)
    assert errors
    for error in errors:
        assert VALUE[:8] not in error["message"], error
        assert "\n" not in error["message"]
        assert error["extensions"]["code"] in ("GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED")


@pytest.mark.parametrize(("kind", "value"), VARIABLES)
async def test_faults_of_variables_quote_no_value(kind: str, value: Any) -> None:
    documents = DocumentCache(schema._schema, max_bytes=10**7, max_tokens=1_000, suggest=True)
    document = documents.prepare(
        f"query($v: {kind}) {{ viewer {{ partner }} ...f }} fragment f on Query {{ __typename }}"
    )
    result = await run_operation(schema, document, None, {"v": value}, None, suggest=True)
    assert result.errors
    for error in error_format.format_variable_errors(result.errors):
        assert error["message"].startswith("Variable '$v' ") or "exactly one of its fields" in error["message"], error
        assert VALUE[:8] not in str(error), error
        assert "LOANPR" not in str(error)
        assert error["extensions"] == {"code": "BAD_USER_INPUT"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Syntax Error: Expected Name."),
        ("{viewer{partnr}}", "Cannot query field 'partnr' on type 'Viewer'. Did you mean 'partner'?"),
        ("{viewer}", "Field 'viewer' of type 'Viewer!' must have a selection of subfields."),
        ("{customer{id}}", "Argument 'Query.customer(id:)' of type 'ID!' is required, but it was not provided."),
        ("{viewer @nope {partner}}", "Unknown directive '@nope'."),
        ("{...f}", "Unknown fragment 'f'."),
        ("{viewer{partner(a:1)}}", "Unknown argument 'a' on field 'Viewer.partner'."),
        ("{viewer{...f}} fragment f on Viewer{...f}", "Cannot spread fragment 'f' within itself."),
        ("query($v:ID){customer(id:$v){id}}", "Variable '$v' of type 'ID' used in position expecting type 'ID!'."),
        ("query a{viewer{partner}} query a{viewer{partner}}", "There can be only one operation named 'a'."),
        ("query($v:Xyzzy){viewer{partner}}", "Unknown type 'Xyzzy'."),
        ('{node(id:"a"){... on ProviderInfo{provider}}}', None),
        ("mutation{nothing}", None),
    ],
)  # fmt: skip
def test_faults_that_only_name_things_say_so(text: str, message: str | None) -> None:
    messages = [error["message"] for error in faults_of(text)]
    if message is None:
        assert not any("A value is invalid" in one for one in messages), messages
    else:
        assert message in messages


def test_few_faults_are_reported_and_each_once() -> None:
    many = faults_of("{viewer{" + " ".join(f"nothing{n}" for n in range(100)) + "}}")
    assert len(many) <= 5
    assert len(faults_of("{viewer " + "@aa " * 10 + "{partner}}")) == 1


def test_a_name_without_end_is_cut() -> None:
    (error,) = faults_of("{viewer{" + "x" * 5_000 + "}}")
    assert len(error["message"]) <= 300


def test_only_codes_of_our_table_make_a_message_ours() -> None:
    foreign = GraphQLError(f"secret {VALUE}", extensions={"code": "SOMETHING_ELSE"}, path=["a"])
    (error,) = error_format.format_execution_errors([foreign], "request")
    assert error["message"] == "Unexpected error."
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"


def test_errors_past_two_hundred_say_nothing_new() -> None:
    errors = [GraphQLError("No.", extensions={"code": "FORBIDDEN"}, path=[n]) for n in range(500)]
    assert len(error_format.format_execution_errors(errors, "request")) == 200


SET_DEFAULT = 'mutation{setDefaultPaymentMethod(input:{customerId:"a",paymentMethodId:"b",VALUE}){operation{id}}}'
METHODS = '{customer(id:"a"){paymentMethods(VALUE){id}}}'
LITERALS = [
    (SET_DEFAULT, 'idempotencyKey:"4111111111"', "input", ".idempotencyKey", "IdempotencyKey", "16 to 255 visible"),
    (SET_DEFAULT, "idempotencyKey:4111111111111111", "input", ".idempotencyKey", "IdempotencyKey", "16 to 255 visible"),
    (SET_DEFAULT, 'allowExpired:"4111111111111111"', "input", ".allowExpired", "Boolean", "true or false"),
    (METHODS, "filter:{providers:[LOANPRO,X4111111111111111]}", "filter", ".providers[1]", "Provider", "one of its"),
    (METHODS, "filter:{expiringWithinDays:4111111111111111}", "filter", ".expiringWithinDays", "Int", "32 bits"),
    (METHODS, 'first:"4111111111111111"', "first", "", "Int", "32 bits"),
    (METHODS, 'orderBy:"X4111111111111111"', "orderBy", "", "PaymentMethodOrder", "one of its"),
    ("{nodes(ids:[VALUE]){id}}", '"a",["4111111111111111"]', "ids", "[1]", "ID", "whole number"),
    ("{viewer{partner @skip(if:VALUE)}}", '"4111111111111111"', "if", "", "Boolean", "true or false"),
]


@pytest.mark.parametrize(("text", "value", "argument", "place", "kind", "rule"), LITERALS)
def test_an_error_in_a_literal_names_place_type_and_rule(
    text: str, value: str, argument: str, place: str, kind: str, rule: str
) -> None:
    documents = DocumentCache(schema._schema, max_bytes=0, max_tokens=1_000, suggest=False)
    document = documents.prepare(text.replace("VALUE", value))
    (reported,) = error_format.format_document_errors(document.errors, "GRAPHQL_VALIDATION_FAILED")
    where = f" at {place}" if place else ""
    assert reported["message"].startswith(f"Argument '{argument}' has an invalid value{where}: ")
    assert f"the type {kind}, which is " in reported["message"]
    assert rule in reported["message"]
    assert "4111111111" not in reported["message"]
    assert reported["locations"]


async def test_an_error_in_a_variable_names_place_type_and_rule() -> None:
    documents = DocumentCache(schema._schema, max_bytes=0, max_tokens=1_000, suggest=False)
    document = documents.prepare(
        "mutation($i:SetDefaultPaymentMethodInput!){setDefaultPaymentMethod(input:$i){operation{id}}}"
    )
    given = {"customerId": "a", "paymentMethodId": "b", "idempotencyKey": "4111111111"}
    result = await run_operation(schema, document, None, {"i": given}, None)
    assert [reported["message"] for reported in error_format.format_variable_errors(result.errors or ())] == [
        "Variable '$i' has an invalid value at .idempotencyKey: it does not fit the type IdempotencyKey, which is "
        "16 to 255 visible ASCII characters."
    ]


def test_every_scalar_says_what_it_is() -> None:
    kinds = [one for one in schema._schema.type_map.values() if is_scalar_type(one)]
    own = {one.name for one in kinds} - {
        "Int",
        "Float",
        "String",
        "Boolean",
        "ID",
        "JSON",
        "_Any",
        "_FieldSet",
        "link__Import",
    }
    for name in own:
        with pytest.raises(GraphQLError) as refused:
            schema._schema.type_map[name].coerce_input_value([])  # type: ignore[attr-defined]
        assert error_format._OWN_RULE.search(refused.value.message), name
