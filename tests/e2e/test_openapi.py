"""OpenAPI of published documents: valid, what the gateway really answers, and usable by a generated client."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.cli.main import main
from tests.support.gateway import GraphQLReply
from tests.support.gateways import StartGateway
from tests.support.partners import PartnerApp

WALLET = """
"The wallet of one customer."
query Wallet($customer: ID!, $first: Int = 20, $withLinks: Boolean = false, $filter: PaymentMethodFilter) {
  customer(id: $customer) {
    name
    methods: paymentMethods(first: $first, filter: $filter) {
      ...Line ... on Card { brand expiry authStatus } ... on BankAccount { rail }
    }
    links @include(if: $withLinks) { provider }
    defaultMethodInfo { state reason }
    sources { provider state methodCount }
  }
}
fragment Line on PaymentMethod { __typename id label provider isDefault asOf last4 }
"""
FIND = "query Find($by: CustomerBy!) { findCustomer(by: $by) { id name } }"
SET_DEFAULT = """
mutation SetDefault($customer: ID!, $method: ID!, $key: IdempotencyKey!) {
  setDefaultPaymentMethod(input: {customerId: $customer, paymentMethodId: $method, idempotencyKey: $key}) {
    operation { id state replayed createdAt }
    userErrors { __typename code message path }
    customer { defaultMethod { id } }
  }
}
"""
ADD = "mutation Add($input: AddPaymentMethodInput!) { addPaymentMethod(input: $input) { deletedAt: operation { id } } }"
CHANGES = "subscription Changes($id: ID!) { customerEvents(customerId: $id) { id } }"
DOCUMENTS = {"Wallet": WALLET, "x-acme:find": FIND, "set-default": SET_DEFAULT, "add": ADD, "changes": CHANGES}
SCOPES = ["customers:read", "payment_methods:read", "payment_methods:write", "links:read"]
ALEX = {"customer": "cus_alex"}


@pytest.fixture
def acme(start_gateway: StartGateway) -> PartnerApp:
    gateway = start_gateway()
    gateway.headers = {}
    return PartnerApp(gateway, "acme", scopes=SCOPES, documents=DOCUMENTS)


def described(acme: PartnerApp) -> dict[str, Any]:
    reply = acme.get("/openapi.json")
    assert (reply.status, reply.headers["cache-control"]) == (200, "private, no-cache")
    return reply.body


def expect(found: dict[str, Any], reply: GraphQLReply, method: str, path: str) -> dict[str, Any]:
    """The response's body, which fits its status in the description."""
    answer = found["paths"][path][method]["responses"][str(reply.status)]
    if "$ref" in answer:
        answer = found["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    media = reply.headers["content-type"].partition(";")[0]
    whole = {"components": found["components"], **answer["content"][media]["schema"]}
    Draft202012Validator(whole).validate(reply.body)
    return reply.body


def test_the_command_and_the_endpoint_give_the_same_valid_description(acme: PartnerApp) -> None:
    found = described(acme)
    OpenAPIV31SpecValidator(found).validate()
    assert [*found["paths"]] == [
        f"/graphql/{name}" for name in ("add", "changes", "x-acme:find", "set-default", "Wallet")
    ]
    words = ["documents", "openapi", "acme", "--server", acme.gateway.url, "--data-dir", str(acme.gateway.data_dir)]
    done = CliRunner().invoke(
        main, words, env={"VAULTGRAPH_DIGEST_KEY": acme.gateway.settings.digest_key.first.reveal()}
    )
    printed = json.loads(done.stdout)
    assert printed["servers"] == [{"url": acme.gateway.url}]
    assert {**printed, "info": 0, "servers": 0} == {**found, "info": 0, "servers": 0}
    wallet = found["paths"]["/graphql/Wallet"]
    assert (wallet["post"]["operationId"], wallet["post"]["description"]) == ("Wallet", "The wallet of one customer.")
    assert wallet["post"]["x-requires-scopes"] == [["customers:read"], ["payment_methods:read"], ["links:read"]]
    assert "get" not in found["paths"]["/graphql/set-default"]
    schemas = found["components"]["schemas"]
    assert schemas["SetDefault.Variables"]["required"] == ["customer", "method", "key"]
    assert schemas["SetDefault.Variables"]["properties"]["key"]["pattern"] == "^[\\x21-\\x7e]{16,255}$"
    assert schemas["AddPaymentMethodInput"]["properties"]["idempotencyKey"]["type"] == "string"
    assert "jpmRawCard" not in schemas["AddMethodInput"]["properties"]  # needs a scope that acme lacks


def test_it_shows_what_the_caller_may_run(acme: PartnerApp) -> None:
    small = PartnerApp(acme.gateway, "small", scopes=["customers:read"], documents={"wallet": WALLET, "f": FIND})
    assert [*described(small)["paths"]] == ["/graphql/f"]
    small.publish({"again": FIND})
    found = described(small)  # one operation name twice: the latest has it alone
    named = {path: item["post"]["operationId"] for path, item in found["paths"].items()}
    assert named["/graphql/again"] == "Find"
    assert named["/graphql/f"].startswith("Find_")
    assert described(PartnerApp(acme.gateway, "empty"))["paths"] == {}
    refused = acme.gateway.request("GET", "/openapi.json")
    assert (refused.status, refused.codes) == (401, ["UNAUTHENTICATED"])
    posted = acme.gateway.request("POST", "/openapi.json", headers=acme.headers)
    assert (posted.status, posted.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    staff = acme.gateway.request("GET", "/openapi.json", headers={"authorization": f"Bearer {acme.gateway.token()}"})
    assert staff.body["paths"] == {}  # no documents.own_client


CALLS: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "all": ("post", "/graphql/Wallet", {"variables": {**ALEX, "withLinks": True}}, 200),
    "without a conditional field": ("post", "/graphql/Wallet", {"variables": ALEX}, 200),
    "no customer": ("post", "/graphql/Wallet", {"variables": {"customer": "cus_nobody"}}, 200),
    "filtered": ("post", "/graphql/Wallet", {"variables": {**ALEX, "filter": {"providers": ["CASELLE"]}}}, 200),
    "a variable is missing": ("post", "/graphql/Wallet", {}, 400),
    "a variable is wrong": ("post", "/graphql/Wallet", {"variables": {"customer": [1]}}, 400),
    "not found by another key": ("post", "/graphql/x-acme:find", {"variables": {"by": {"externalId": "none"}}}, 200),
    "two of oneOf": ("post", "/graphql/x-acme:find", {"variables": {"by": {"id": "a", "externalId": "b"}}}, 400),
    "a refused write": (
        "post", "/graphql/set-default",
        {"variables": {"customer": "cus_alex", "method": "pm_none", "key": "0123456789abcdef"}}, 200,
    ),
    "a key that is none": (
        "post", "/graphql/set-default", {"variables": {"customer": "cus_alex", "method": "a", "key": "short"}}, 400,
    ),
}  # fmt: skip


@pytest.mark.parametrize("accept", ["*/*", "application/graphql-response+json"])
def test_every_answer_fits_its_description(acme: PartnerApp, accept: str) -> None:
    found = described(acme)
    for name, (method, path, body, status) in CALLS.items():
        headers = {"content-type": "application/json", "accept": accept, **acme.headers}
        reply = acme.gateway.request("POST", path, json.dumps(body).encode(), headers)
        assert reply.status == status, name
        answer = expect(found, reply, method, path)
        assert bool(answer.get("errors")) is (status == 400), name
    for status, headers, sent in [
        (401, {"content-type": "application/json"}, b"{}"),
        (406, {"content-type": "application/json", "accept": "image/png", **acme.headers}, b"{}"),
        (413, {"content-type": "application/json", **acme.headers}, b" " * 300_000),
        (415, {"content-type": "text/plain", **acme.headers}, b"{}"),
        (400, {"content-type": "application/json", **acme.headers}, b"{"),
    ]:
        reply = acme.gateway.request("POST", "/graphql/Wallet", sent, headers)
        assert reply.status == status
        expect(found, reply, "post", "/graphql/Wallet")
    acme.retire("Wallet")
    gone = acme.gateway.request("POST", "/graphql/Wallet", b"{}", {"content-type": "application/json", **acme.headers})
    assert gone.status == 404
    expect(found, gone, "post", "/graphql/Wallet")


@pytest.fixture
def generated(acme: PartnerApp, tmp_path: Path) -> Iterator[Any]:
    """A Python client that `openapi-python-client` made from `/openapi.json`."""
    (tmp_path / "openapi.json").write_text(json.dumps(described(acme)), "utf-8")
    (tmp_path / "config.yml").write_text("post_hooks: []\n", "utf-8")
    words = ["generate", "--path", "openapi.json", "--meta", "none", "--config", "config.yml", "--fail-on-warning"]
    done = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", *words, "--output-path", "acme_client"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(tmp_path))
    try:
        yield importlib.import_module("acme_client")
    finally:
        sys.path.remove(str(tmp_path))
        for name in [name for name in sys.modules if name.split(".")[0] == "acme_client"]:
            del sys.modules[name]


def test_a_generated_client_reads_writes_and_gets_errors(acme: PartnerApp, generated: Any) -> None:
    models = importlib.import_module("acme_client.models")
    queries, writes = (importlib.import_module(f"acme_client.api.{name}") for name in ("query", "mutation"))
    wallet, wallet_get, set_default = (
        importlib.import_module(f"{package.__name__}.{name}")
        for package, name in ((queries, "wallet"), (queries, "wallet_get"), (writes, "set_default"))
    )
    client = generated.AuthenticatedClient(base_url=acme.gateway.url, token=acme.key)
    variables = models.WalletVariables(customer="cus_alex")
    answer = wallet.sync(client=client, body=models.WalletBody(variables=variables))
    assert isinstance(answer, models.WalletResponse)
    assert answer.data.customer.name == "Alex Morales"
    assert len(answer.data.customer.methods) == 9
    expected = acme.ask(ALEX, documentId="Wallet").data
    assert answer.data.to_dict()["customer"]["defaultMethodInfo"] == expected["customer"]["defaultMethodInfo"]
    method = answer.data.customer.methods[1].id

    read = wallet_get.sync_detailed(client=client, variables=json.dumps(ALEX))
    assert read.parsed.data.customer.name == "Alex Morales"
    again = wallet_get.sync_detailed(client=client, variables=json.dumps(ALEX), if_none_match=read.headers["etag"])
    assert again.status_code in (200, 304)  # 200 if a vault was read again in between: `asOf` is in the response

    def write(customer: str, **more: Any) -> Any:
        given = models.SetDefaultVariables(customer=customer, method=method, key="key-of-the-generated-client", **more)
        return set_default.sync(client=client, body=models.SetDefaultBody(variables=given))

    done = write("cus_alex").data.set_default_payment_method
    assert (done.operation.state.value, done.operation.replayed, done.user_errors) == ("SUCCEEDED", False, [])
    assert done.customer.default_method.id == method
    assert write("cus_alex").data.set_default_payment_method.operation.replayed is True
    reused = write("cus_sam").data.set_default_payment_method
    assert [one.code.value for one in reused.user_errors] == ["IDEMPOTENCY_KEY_REUSED"]

    refused = generated.AuthenticatedClient(base_url=acme.gateway.url, token="vg_none")
    problem = wallet.sync(client=refused, body=models.WalletBody(variables=variables))
    assert isinstance(problem, models.Refusal)
    assert problem.errors[0].extensions.code.value == "UNAUTHENTICATED"
