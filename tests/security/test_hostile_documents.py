"""Hostile documents and variables against a real gateway: each is refused with its code, without a vault call."""

import json
from typing import Any

import pytest
from graphql import get_introspection_query

from tests.security.hostile import refused
from tests.support.gateway import RunningGateway


def chain(length: int) -> str:
    links = "".join(f"fragment f{n} on Query{{...f{n + 1} ...f{n + 1}}}" for n in range(length))
    return f"{{...f0}}{links}fragment f{length} on Query{{customer(id:1){{name}}}}"


WALLET = 'customer(id:"cus_alex"){paymentMethods{id}}'

BIG = " ".join(f'"b{n}"' for n in range(50))

DOCUMENTS: dict[str, dict[str, str]] = {
    "ROOT_FIELD_LIMIT": {
        "one mutation a hundred times": "mutation{" + " ".join(f"m{n}:nothing" for n in range(100)) + "}",
        "six mutations": "mutation{" + " ".join(f"m{n}:nothing" for n in range(6)) + "}",
        "six mutations in fragments": "mutation{...a ...b} fragment a on Mutation{x:n y:n z:n}"
        "fragment b on Mutation{p:n q:n r:n}",
    },
    "ALIAS_LIMIT": {
        "101 aliases": "{" + " ".join(f"a{n}:{WALLET}" for n in range(101)) + "}",
        "aliases in a fragment": "{...f} fragment f on Query{" + " ".join(f"a{n}:{WALLET}" for n in range(101)) + "}",
    },
    "FIELD_LIMIT": {
        **{f"one field {times} times": "{" + "__typename " * times + "}" for times in (500, 700, 1000)},
        "1000 unknown fields": "{" + " ".join(f"unknown{n}" for n in range(1000)) + "}",
        "19 chained fragments": chain(19),
    },
    "TOKEN_LIMIT": {
        "one field 5000 times": "{" + "__typename " * 5000 + "}",
        "a comment of 200 kB": "#" + "x" * 200_000 + "\n{viewer{partner}}",
        "10000 comments": "#\n" * 10_000 + "{viewer{partner}}",
        "70000 commas": "," * 70_000 + "{viewer{partner}}",
    },
    "DIRECTIVE_LIMIT": {
        "600 directives": '{customer(id:"cus_alex") ' + "@a" * 600 + "{name}}",
        "directives on the operation": "query " + "@include(if:true) " * 60 + "{viewer{partner}}",
    },
    "DEPTH_LIMIT": {
        "depth 50": "{customer(id:1){" + "paymentMethods{customer{" * 25 + "id" + "}}" * 25 + "}}",
        "depth through fragments": "{customer(id:1){...a0}}"
        + "".join(f"fragment a{n} on Customer{{defaultMethod{{customer{{...a{n + 1}}}}}}}" for n in range(12))
        + "fragment a12 on Customer{name}",
        "depth 200": "{a" * 200 + "}" * 200,
        "depth 2000": "{a" * 2000 + "}" * 2000,
        "lists 3000 deep": "{nodes(ids:" + "[" * 3000 + "]" * 3000 + "){id}}",
        "objects 1000 deep": "{findCustomer(by:" + "{a:" * 1000 + "1" + "}" * 1000 + "){id}}",
        "types 3000 deep": "query($a:" + "[" * 3000 + "ID" + "]" * 3000 + "){viewer{partner}}",
        "300 chained fragments": chain(300),
        "circular introspection": "{__schema{types{" + "fields{type{" * 20 + "name" + "}}" * 20 + "}}}",
    },
    "LIST_LIMIT": {"a list of 2000 ids": "{nodes(ids:[" + "1 " * 1900 + "]){id}}"},
    "COST_ESTIMATED_TOO_EXPENSIVE": {
        "wide lists": "{" + " ".join(f'a{n}:nodes(ids:["{n}",{BIG}]){{id}}' for n in range(4)) + "}",
        "many customers by alias": "{"
        + " ".join(f'a{n}:customer(id:"{n}"){{name}}' for n in range(49))
        + f" nodes(ids:[{BIG}, 1 2 3]){{id}}}}",
    },
    "OPERATION_RESOLUTION_FAILURE": {"two operations": "query a{viewer{partner}} query b{viewer{partner}}"},
    "GRAPHQL_VALIDATION_FAILED": {
        "ten undefined directives": "{viewer " + "@aa " * 10 + "{partner}}",
        "introspection in circles": "{__schema{types{fields{type{fields{type{fields{name}}}}}}}}",
        "a fragment of itself": "{...f} fragment f on Query{...f}",
        "a circle of fragments": "{...a} fragment a on Query{...b} fragment b on Query{...a}",
        "300 unknown arguments": "{viewer(" + " ".join(f"a{n}:1" for n in range(300)) + "){partner}}",
        "a million customers": "{customers(first:1000000){id}}",
        "first past 32 bits": "{customer(id:1){paymentMethods(first:99999999999){id}}}",
        "two anonymous operations": "{viewer{partner}} {viewer{partner}}",
        "a type system definition": "type Query{hello:String}",
        "an extension": 'extend schema @link(url:"http://127.0.0.1") {query:Query} query{viewer{partner}}',
        "a misspelt root field": "{custmer(id:1){id}}",
        "an endless name": "{" + "x" * 50_000 + "}",
        "an endless alias": "{" + "x" * 50_000 + ":nothing}",
    },
    "GRAPHQL_PARSE_FAILED": {
        "nothing": "",
        "only white space": " \n\t ,,, ",
        "a NUL": "{viewer{\u0000partner}}",
        "look-alike letters": "{view\u0435r{partner}}",
        "zero-width joiners": "{view\u200der{partner}}",
        "right-to-left override": "{viewer{\u202epartner}}",
        "a word joiner": "{viewer{part\u2060ner}}",
    },
}
ROWS = [pytest.param(text, code, id=name) for code, rows in DOCUMENTS.items() for name, text in rows.items()]


@pytest.mark.parametrize(("text", "code"), ROWS)
def test_hostile_documents_are_refused(text: str, code: str, hostile: RunningGateway) -> None:
    errors = refused(hostile.query(text), 400, code)
    assert len(errors) <= 5
    assert len(json.dumps(errors)) < 3_000


def test_a_very_long_number_is_an_unknown_id(hostile: RunningGateway) -> None:
    reply = hostile.query("{nodes(ids:[" + "9" * 50_000 + "]){id}}")
    assert reply.status == 200
    assert reply.data == {"nodes": [None]}


def test_ten_undefined_directives_are_one_error(hostile: RunningGateway) -> None:
    reply = hostile.query('{customer(id:"cus_alex") @aa @aa @aa @aa @aa @aa @aa @aa @aa @aa {name}}')
    assert [error["message"] for error in reply.errors] == ["Unknown directive '@aa'."]


def test_a_thousand_unknown_fields_are_not_echoed(hostile: RunningGateway) -> None:
    reply = hostile.query("{" + " ".join(f"unknown{n}" for n in range(1000)) + "}")
    assert len(reply.errors) == 1
    assert b"unknown" not in reply.raw


CUSTOMER = "query($i:ID!){customer(id:$i){paymentMethods{id}}}"
BY = "query($b:CustomerBy!){findCustomer(by:$b){paymentMethods{id}}}"
KINDS = "query($k:PaymentMethodKind!){customer(id:1){paymentMethods(filter:{kinds:[$k]}){id}}}"
FLAG = "query($f:Boolean!){customer(id:1) @include(if:$f){paymentMethods{id}}}"
FIRST = 'query($n:Int!){customer(id:"cus_alex"){paymentMethods(first:$n){id}}}'
NODES = "query($i:[ID!]!){nodes(ids:$i){id}}"
ENTITIES = "query($r:[_Any!]!){_entities(representations:$r){__typename}}"
ALEX = {"__typename": "Customer", "id": "cus_alex"}
BOTH = {"externalId": "s3cret", "providerRef": {"provider": "LOANPRO", "customerRef": "1"}}

VARIABLES = [
    pytest.param(CUSTOMER, {"i": {"a": "s3cret"}}, "BAD_USER_INPUT", id="an object as an id"),
    pytest.param(CUSTOMER, {"i": ["s3cret"]}, "BAD_USER_INPUT", id="a list as an id"),
    pytest.param(CUSTOMER, {"i": None}, "BAD_USER_INPUT", id="null as an id"),
    pytest.param(CUSTOMER, {}, "BAD_USER_INPUT", id="no id"),
    pytest.param(KINDS, {"k": "s3cret"}, "BAD_USER_INPUT", id="a foreign enum value"),
    pytest.param(BY, {"b": {"s3cret": 1}}, "BAD_USER_INPUT", id="an unknown field"),
    pytest.param(BY, {"b": BOTH}, "BAD_USER_INPUT", id="both of one"),
    pytest.param(BY, {"b": {}}, "BAD_USER_INPUT", id="none of one"),
    pytest.param(FLAG, {"f": 1}, "BAD_USER_INPUT", id="a number as a flag"),
    pytest.param(FIRST, {"n": 99_999_999_999}, "BAD_USER_INPUT", id="first past 32 bits"),
    pytest.param(FIRST, {"n": 1.5}, "BAD_USER_INPUT", id="first as a fraction"),
    pytest.param(NODES, {"i": [["s3cret"]] * 90}, "BAD_USER_INPUT", id="ninety faults"),
    pytest.param(NODES, {"i": ["a"] * 1001}, "LIST_LIMIT", id="a list of 1001"),
    pytest.param(NODES, {"i": [f"a{n}" for n in range(101)]}, "COST_ESTIMATED_TOO_EXPENSIVE", id="101 ids"),
    pytest.param(ENTITIES, {"r": [ALEX] * 5000}, "LIST_LIMIT", id="5000 representations"),
    pytest.param(ENTITIES, {"r": [json.loads("[" * 20 + "]" * 20)]}, "VARIABLES_LIMIT", id="20 deep"),
    pytest.param(NODES, {"i": ["a"], "r": [[0] * 900] * 30}, "VARIABLES_LIMIT", id="27000 values"),
]


@pytest.mark.parametrize(("text", "variables", "code"), VARIABLES)
def test_hostile_variables_are_refused(text: str, variables: Any, code: str, hostile: RunningGateway) -> None:
    reply = hostile.query(text, variables)
    assert len(refused(reply, 400, code)) <= 5
    assert b"s3cret" not in reply.raw


@pytest.mark.parametrize("first", [-1, 0, 1_001, 1_000_000])
def test_page_size_is_limited(first: int, hostile: RunningGateway) -> None:
    reply = hostile.query(FIRST, {"n": first})
    assert (reply.status, reply.codes) == (200, ["BAD_USER_INPUT"])
    assert reply.data == {"customer": {"paymentMethods": None}}


IDS = [
    "1/../admin", "%2f..%2fadmin", "cus_alex/../cus_kim", "cus_alex%00", "cus_alex\u0000", "cus_alex\r\nX-Injected: 1",
    "cus_alex\n", " cus_alex", "cus_alex ", "CUS_ALEX", "cus_аlex", "cus_alex' OR '1'='1", "cus_alex\" OR 1=1 --",
    "pm_" + "A" * 64, "pm_", "op_01ARZ3NDEKTSV4RRFFQ69G5FAV", "../../etc/passwd", "http://169.254.169.254/latest", "",
    "x" * 10_000, "\ufeffcus_alex", "cus_alex\u200b", "${jndi:ldap://127.0.0.1/a}", "{{7*7}}", "null", "undefined",
]  # fmt: skip


@pytest.mark.parametrize("name", IDS, ids=lambda name: repr(name[:20]))
def test_malformed_ids_are_null_without_a_vault_call(name: str, hostile: RunningGateway) -> None:
    reply = hostile.query(
        "query($i:ID!){customer(id:$i){paymentMethods{id}} paymentMethod(id:$i){id} node(id:$i){id} "
        'nodes(ids:[$i]){id} _entities(representations:[{__typename:"Customer",id:$i}]){__typename}}',
        {"i": name},
    )
    assert reply.status == 200
    assert reply.data == {"customer": None, "paymentMethod": None, "node": None, "nodes": [None], "_entities": [None]}
    assert not reply.errors


@pytest.mark.parametrize("ref", [name for name in IDS if name], ids=lambda name: repr(name[:20]))
def test_malformed_customer_refs_cause_no_vault_call(ref: str, hostile: RunningGateway) -> None:
    reply = hostile.query(
        "query($b:CustomerBy!){findCustomer(by:$b){id}}",
        {"b": {"providerRef": {"provider": "ALOHA", "customerRef": ref}}},
    )
    assert reply.status == 200
    assert reply.data == {"findCustomer": None}


@pytest.mark.parametrize(
    "text",
    [
        get_introspection_query(),
        '{__type(name:"Card"){fields{name type{name}}}}',
        "{...f} fragment f on Query{__schema{types{name}}}",
        "{__schema{types{fields{type{name ofType{name}}}}}}",
        "{_service{sdl}}",
    ],
)
def test_introspection_without_its_scope_is_refused(text: str, hostile: RunningGateway) -> None:
    headers = {"authorization": f"Bearer {hostile.token(['customers:read', 'payment_methods:read'])}"}
    refused(hostile.query(text, headers=headers), 400, "INTROSPECTION_DISABLED")


def test_log_injection_stays_on_its_line(hostile: RunningGateway) -> None:
    forged = "a\n2026-01-01 CRITICAL forged"
    hostile.query("query a{viewer{partner}}", operationName=forged)
    hostile.query("{viewer{partner}}", headers={"apollographql-client-name": "x y", "x-request-id": "forged CRITICAL"})
    assert "CRITICAL forged" not in hostile.log
    assert "forged CRITICAL" not in hostile.log
