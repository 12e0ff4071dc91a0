"""Card numbers in any part of a request are refused by name before they are stored, sent, logged or echoed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.cli.main import main
from tests.support import leaks
from tests.support.gateway import RunningGateway
from tests.support.gateways import upstream
from tests.support.partners import digest
from tests.support.sandbox import RunningSandbox

BARE = "4929114578806332"  # valid check digit; not used elsewhere in the tests
SPELT = [BARE, f"+{BARE}", f"{BARE[:4]}.{BARE[4:8]}.{BARE[8:12]}.{BARE[12:]}", f"x{BARE[:8]}_{BARE[8:]}"]


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    leaks.note(*SPELT)
    with RunningGateway(sandbox_server.url, tmp_path_factory.mktemp("numbers")) as gateway:
        yield gateway  # on exit it searches responses, logs and database files


@pytest.fixture
def gateway(shared: RunningGateway, sandbox: RunningSandbox) -> RunningGateway:
    return shared


@pytest.mark.parametrize("spelt", SPELT)
@pytest.mark.parametrize(
    ("text", "make"),
    [
        ("query ($v: ID!) { customer(id: $v) { id } }", str),
        ("query ($v: [ID!]!) { nodes(ids: $v) { id } }", lambda spelt: ["cus_alex", spelt]),
        ("query ($v: CustomerBy!) { findCustomer(by: $v) { id } }", lambda spelt: {"externalId": spelt}),
        (
            "query ($v: CustomerBy!) { findCustomer(by: $v) { id } }",
            lambda spelt: {"providerRef": {"provider": "LOANPRO", "customerRef": spelt}},
        ),
        ("query ($v: ID!) { operation(id: $v) { id } }", str),
        ("subscription ($v: ID!) { customerEvents(customerId: $v) { id } }", str),
    ],
)
def test_in_a_variable(gateway: RunningGateway, sandbox: RunningSandbox, text: str, make: Any, spelt: str) -> None:
    sandbox.clear_calls()
    stream = {"accept": "text/event-stream"} if text.startswith("subscription") else {}
    reply = gateway.query(text, {"v": make(spelt)}, headers=stream)
    assert (reply.status, reply.codes) == (400, ["PAN_NOT_ALLOWED"])
    assert "$v" in reply.errors[0]["message"]
    assert leaks.found_in(reply.raw, secrets=[BARE, spelt]) == []
    assert upstream(sandbox) == {}


def test_in_a_variable_that_is_a_number(gateway: RunningGateway) -> None:
    reply = gateway.query("query ($v: ID!) { customer(id: $v) { id } }", {"v": int(BARE)})
    assert reply.codes == ["PAN_NOT_ALLOWED"]
    assert BARE not in reply.raw.decode()


@pytest.mark.parametrize(
    "text",
    [
        f'{{ customer(id: "{BARE}") {{ id }} }}',
        f"{{ customer(id: {BARE}) {{ id }} }}",
        f'{{ customer(id: "\\u0034{BARE[1:]}") {{ id }} }}',
        f"{{ c{BARE}: viewer {{ partner }} }}",
        f"{{ _{BARE} }}",
        f"query Q{BARE} {{ viewer {{ partner }} }}",
        f"query ($v{BARE}: ID!) {{ customer(id: $v{BARE}) {{ id }} }}",
        f"{{ viewer {{ ...F{BARE} }} }} fragment F{BARE} on Viewer {{ partner }}",
        f'query ($v: ID = "{BARE}") {{ customer(id: $v) {{ id }} }}',
    ],
)
def test_in_a_document(gateway: RunningGateway, text: str) -> None:
    reply = gateway.query(text)
    assert (reply.status, reply.codes) == (400, ["PAN_NOT_ALLOWED"])
    assert BARE not in reply.raw.decode()


def test_in_a_literal_of_a_mutations_input_it_is_a_user_error(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    text = (
        'mutation { createCustomer(input: {externalId: "NUMBER", idempotencyKey: "0123456789abcdef", '
        'name: {first: "A", last: "B"}}) { operation { id } userErrors { code path } } }'
    )
    payload = gateway.data(text.replace("NUMBER", BARE))["createCustomer"]
    assert payload == {
        "operation": None,
        "userErrors": [{"code": "PAN_NOT_ALLOWED", "path": ["input", "externalId"]}],
    }


def test_in_text_to_be_stored_by_its_hash(gateway: RunningGateway) -> None:
    text = f"{{ viewer {{ partner }} }} # {BARE}"
    asked = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest(text)}}}
    assert gateway.query(text, **asked).codes == ["PAN_NOT_ALLOWED"]
    assert gateway.query(None, **asked).codes == ["PERSISTED_QUERY_NOT_FOUND"]


def test_in_an_operations_name_or_a_documents_id(gateway: RunningGateway) -> None:
    reply = gateway.query("query A { viewer { partner } }", operationName=f"A{BARE}")
    assert (reply.status, reply.codes) == (400, ["PAN_NOT_ALLOWED"])
    assert gateway.query(None, documentId=f"x-a:{BARE}").codes == ["BAD_REQUEST"]


def test_in_a_request_id(gateway: RunningGateway) -> None:
    dashed = "-".join((BARE[:4], BARE[4:8], BARE[8:12], BARE[12:]))
    for given in (BARE, dashed, f"req_{BARE}"):
        leaks.note(given)
        trace = f"00-4bf92f3577b34da6a3ce929d0e0e4736-{BARE}-01"
        headers = {"x-request-id": given, "traceparent": trace, "apollographql-client-name": given}
        reply = gateway.query('{ customer(id: "cus_alex") { paymentMethods { id } } }', headers=headers)
        assert reply.status == 200
        assert BARE[:4] not in reply.headers["x-request-id"]
        assert reply.headers["x-request-id"] == reply.body["extensions"]["requestId"]
    kept = gateway.query("{ viewer { partner } }", headers={"x-request-id": "41111111-1111-1111-1111-111111111111"})
    assert kept.headers["x-request-id"] == "41111111-1111-1111-1111-111111111111"


@pytest.mark.parametrize(
    "words",
    [
        ["link", SPELT[2], "loanpro", "1001"],
        ["link", "shop-1", "loanpro", BARE],
        ["partner", "add", f"p{BARE}", "--scope", "customers:read"],
        ["partner", "grant", "shop", SPELT[1]],
        ["documents", "retire", "shop", BARE],
        ["payments", "settle", BARE, "completed"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_in_an_argument_of_the_command(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "PAN_NOT_ALLOWED: argument" in done.output
    assert leaks.found_in(done.output.encode(), secrets=[BARE, *SPELT]) == []
    assert list(tmp_path.iterdir()) == []
