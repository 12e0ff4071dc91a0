"""Partners can run what was published for them, in every form of request."""

import json
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from graphql import DocumentNode, print_ast

from app.execution import documents as execution
from app.store.records import EventType
from tests.support.gateway import GraphQLReply, RunningGateway
from tests.support.gateways import StartGateway, upstream
from tests.support.partners import PartnerApp, digest
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

NAME = "query Name($id: ID!) { customer(id: $id) { name } }"
VIEWER = "query Viewer { viewer { partner } }"
OTHER = "query Other { viewer { partner scopes } }"
DELETE = "mutation Delete($input: DeletePaymentMethodInput!) { deletePaymentMethod(input: $input) { deletedId } }"
H = digest(NAME)
PREFIXED = "sha256:" + digest(VIEWER)
ALEX = {"id": "cus_alex"}
FOUND = {"customer": {"name": "Alex Morales"}}
DOCUMENTS = {H: NAME, PREFIXED: VIEWER, "wallet-name": NAME, "x-acme:1": NAME, "delete": DELETE}


@pytest.fixture
def acme(start_gateway: StartGateway) -> PartnerApp:
    gateway = start_gateway()
    gateway.headers = {}
    return PartnerApp(
        gateway, "acme", scopes=["customers:read", "payment_methods:read", "payment_methods:write"], documents=DOCUMENTS
    )


def persisted(hashed: Any, **more: Any) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hashed, **more}}}


FORMS: dict[str, dict[str, Any]] = {
    "apollo": persisted(H),
    "documentId": {"documentId": H},
    "documentId with its prefix": {"documentId": f"sha256:{H}"},
    "doc_id": {"doc_id": H},
    "id": {"id": H},
    "opaque documentId": {"documentId": "wallet-name"},
    "opaque doc_id": {"doc_id": "wallet-name"},
    "opaque sha256Hash": persisted("wallet-name"),
    "custom prefix": {"documentId": "x-acme:1"},
    "both, of one document": {"documentId": f"sha256:{H}", **persisted(H)},
    "with what urql adds": persisted(H, miss=False),
    "with an empty text": {"documentId": H, "query": ""},
    "with its name": {"documentId": H, "operationName": "Name"},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_request_finds_the_document(acme_once: PartnerApp, form: dict[str, Any]) -> None:
    reply = acme_once.ask(ALEX, **form)
    assert (reply.status, reply.data, reply.errors) == (200, FOUND, [])


@pytest.mark.parametrize(
    "form",
    [persisted(digest(VIEWER)), persisted(PREFIXED), {"documentId": PREFIXED}, {"documentId": digest(VIEWER)}],
    ids=["hash", "key as sha256Hash", "documentId", "bare documentId"],
)
def test_an_id_that_was_published_with_its_prefix(acme_once: PartnerApp, form: dict[str, Any]) -> None:
    assert acme_once.ask(**form).data == {"viewer": {"partner": "acme"}}


def test_a_variable_that_the_document_does_not_declare_is_ignored(acme_once: PartnerApp) -> None:
    deep: Any = "x"
    for _ in range(40):
        deep = [deep]
    reply = acme_once.ask({**ALEX, "extra": {"a": 1}, "deep": deep, "long": list(range(5000))}, documentId=H)
    assert (reply.status, reply.data) == (200, FOUND)


def test_a_key_may_be_sent_in_its_own_header(acme_once: PartnerApp) -> None:
    reply = acme_once.gateway.query(None, ALEX, documentId=H, headers={"x-api-key": acme_once.key})
    assert reply.data == FOUND


BAD: dict[str, dict[str, Any]] = {
    "unknown prefix": {"documentId": "md5:0123"},
    "no prefix at all": {"documentId": ":0123"},
    "short hash": {"documentId": "sha256:0123"},
    "upper case": {"documentId": f"sha256:{H.upper()}"},
    "empty": {"documentId": ""},
    "path": {"doc_id": "../../etc/passwd"},
    "100 kB": {"id": "a" * 100_000},
    "number": {"documentId": 5},
    "object": {"documentId": {"a": 1}},
    "two names": {"documentId": H, "doc_id": "wallet-name"},
    "two documents": {"documentId": "wallet-name", **persisted(H)},
    "hash of 100 kB": persisted("a" * 100_000),
    "hash as object": persisted({"a": 1}),
    "hash as list": persisted([H]),
    "no hash": {"extensions": {"persistedQuery": {"version": 1}}},
    "unknown version": {"extensions": {"persistedQuery": {"version": 2, "sha256Hash": H}}},
    "true is no version": {"extensions": {"persistedQuery": {"version": True, "sha256Hash": H}}},
    "no object": {"extensions": {"persistedQuery": H}},
    "nothing": {},
}


@pytest.mark.parametrize("form", BAD.values(), ids=BAD)
def test_an_invalid_id_is_400(acme_once: PartnerApp, form: dict[str, Any]) -> None:
    reply = acme_once.ask(ALEX, **form)
    assert (reply.status, reply.codes) == (400, ["BAD_REQUEST"])


@pytest.fixture(scope="module")
def acme_once(
    sandbox_server: RunningSandbox, _demo_directory: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PartnerApp]:
    """One gateway for the tests that only read."""
    folder = tmp_path_factory.mktemp("documents") / "data"
    shutil.copytree(_demo_directory, folder)
    with RunningGateway(sandbox_server.url, folder) as gateway:
        gateway.headers = {}
        yield PartnerApp(gateway, "acme", documents=DOCUMENTS)


def notes(gateway: RunningGateway) -> list[tuple[str, str]]:
    gateway.on_loop(gateway.gateway.audit.flush())
    rows = gateway.on_loop(gateway.gateway.store.events.after(0))
    return [(row.actor, row.outcome) for row in rows if row.type is EventType.ACCESS_REFUSED]


def outcome(reply: GraphQLReply) -> tuple[int, list[str], str]:
    return reply.status, reply.codes, reply.headers["cache-control"]


def test_unpublished_documents_are_refused_alike_and_audited_once(acme: PartnerApp, sandbox: RunningSandbox) -> None:
    gateway = acme.gateway
    beta = PartnerApp(gateway, "beta", documents={"theirs": OTHER})
    acme.retire("wallet-name")
    before = len(notes(gateway))
    sandbox.clear_calls()
    replies = [acme.ask(ALEX, documentId=one) for one in ("nowhere", "theirs", "wallet-name", "a" * 64)]
    replies.append(acme.ask(ALEX, **persisted("a" * 64)))
    replies.append(acme.get("/graphql/theirs"))
    assert [outcome(reply) for reply in replies] == [(404, ["PERSISTED_QUERY_NOT_IN_LIST"], "no-store")] * 6
    assert len({json.dumps(reply.body["errors"]) for reply in replies}) == 1
    text = acme.ask(ALEX, NAME)
    assert outcome(text) == (400, ["PERSISTED_QUERY_ID_REQUIRED"], "no-store")
    for form in (persisted(H), {"documentId": H}, persisted("b" * 64)):
        assert outcome(acme.ask(ALEX, NAME, **form)) == (400, ["CANNOT_SEND_PQ_ID_AND_BODY"], "no-store")
    assert upstream(sandbox) == {}
    assert notes(gateway)[before:] == [
        *[("partner:acme", "PERSISTED_QUERY_NOT_IN_LIST")] * 6,
        ("partner:acme", "PERSISTED_QUERY_ID_REQUIRED"),
        *[("partner:acme", "CANNOT_SEND_PQ_ID_AND_BODY")] * 3,
    ]
    assert beta.ask(documentId="theirs").data["viewer"]["partner"] == "beta"


def test_a_partner_never_registers_a_text(acme_once: PartnerApp) -> None:
    text = "{ viewer { scopes } }"
    assert acme_once.ask(None, text, **persisted(digest(text))).codes == ["CANNOT_SEND_PQ_ID_AND_BODY"]
    assert acme_once.ask(**persisted(digest(text))).codes == ["PERSISTED_QUERY_NOT_IN_LIST"]
    token = {"authorization": f"Bearer {acme_once.gateway.token()}"}
    reply = acme_once.gateway.query(**persisted(digest(text)), headers=token)
    assert reply.codes == ["PERSISTED_QUERY_NOT_FOUND"]


def test_a_query_by_get_is_cached_by_a_browser_and_revalidated(acme: PartnerApp) -> None:
    path = f"/graphql/{H}?variables={quote(json.dumps(ALEX))}"
    first = acme.get(path)
    assert (first.status, first.data) == (200, FOUND)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    assert "authorization" in first.headers["vary"]
    again = acme.get(path, if_none_match=tag)
    assert (again.status, again.raw, again.headers["etag"]) == (304, b"", tag)
    assert "content-type" not in again.headers
    assert again.headers["cache-control"] == "private, no-cache"
    assert acme.get(path, if_none_match=f'"x", {tag.removeprefix("W/")}').status == 304
    assert acme.get(path, if_none_match='"x"').status == 200
    other = acme.get(f"/graphql/{H}?variables={quote(json.dumps({'id': 'cus_blake'}))}", if_none_match=tag)
    assert other.status == 200
    assert other.headers["etag"] != tag
    assert acme.get(f"/graphql/sha256%3A{H}?variables={quote(json.dumps(ALEX))}").data == FOUND
    assert acme.get("/graphql?" + f"documentId={H}&variables={quote(json.dumps(ALEX))}").data == FOUND


def test_a_refused_or_failed_get_is_not_cached(acme: PartnerApp, sandbox: RunningSandbox) -> None:
    for path, status in ((f"/graphql/{H}", 400), ("/graphql/nowhere", 404), ("/graphql/md5:1", 400)):
        reply = acme.get(path)
        assert (reply.status, reply.headers["cache-control"]) == (status, "no-store")
        assert "etag" not in reply.headers
    mutation = acme.get(f"/graphql/delete?variables={quote(json.dumps({'input': {}}))}")
    assert (mutation.status, mutation.headers["allow"], mutation.codes) == (405, "POST", ["METHOD_NOT_ALLOWED"])
    twice = acme.get(f"/graphql/{H}?documentId={H}")
    assert twice.codes == ["BAD_REQUEST"]


def test_a_document_in_the_path_takes_variables_by_post(acme_once: PartnerApp) -> None:
    body = json.dumps({"variables": ALEX}).encode()
    headers = {**acme_once.headers, "content-type": "application/json"}
    reply = acme_once.gateway.request("POST", f"/graphql/{H}", body, headers)
    assert (reply.status, reply.data, "etag" in reply.headers) == (200, FOUND, False)
    named = json.dumps({"variables": ALEX, "doc_id": H}).encode()
    assert acme_once.gateway.request("POST", f"/graphql/{H}", named, headers).codes == ["BAD_REQUEST"]


def test_retired_documents_are_refused_and_replaced_ones_change(acme: PartnerApp) -> None:
    assert acme.ask(ALEX, documentId="wallet-name").data == FOUND
    acme.publish({"wallet-name": VIEWER}, replace=True)
    assert acme.ask(documentId="wallet-name").data == {"viewer": {"partner": "acme"}}
    assert acme.ask(ALEX, documentId=H).codes == ["PERSISTED_QUERY_NOT_IN_LIST"]
    acme.publish({H: NAME})
    assert acme.ask(ALEX, documentId=H).data == FOUND
    acme.retire(H)
    assert acme.ask(ALEX, documentId=H).codes == ["PERSISTED_QUERY_NOT_IN_LIST"]


def test_a_document_that_no_longer_fits_the_schema_is_refused(acme: PartnerApp) -> None:
    acme.publish({"old": "{ nothingOfThisName }"})
    reply = acme.ask(documentId="old")
    assert reply.codes == ["GRAPHQL_VALIDATION_FAILED"]
    assert reply.data is None


def test_uses_are_counted_for_each_document(acme: PartnerApp) -> None:
    for _ in range(3):
        acme.ask(ALEX, documentId=f"sha256:{H}")
    acme.ask(documentId=PREFIXED)
    acme.ask(documentId="nowhere")
    store = acme.gateway.gateway.store.documents
    acme.gateway.on_loop(acme.gateway.gateway.documents.catalogue.flush())
    rows = {
        row.document_id: (row.uses, row.last_used_at is not None) for row in acme.gateway.on_loop(store.all("acme"))
    }
    assert rows == {
        H: (3, True),
        PREFIXED: (1, True),
        "wallet-name": (0, False),
        "x-acme:1": (0, False),
        "delete": (0, False),
    }


def test_the_hot_path_neither_parses_nor_validates(acme: PartnerApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even at the first request: it was done when the publication was announced."""
    done: list[str] = []
    for name in ("parse", "validate"):
        real = getattr(execution, name)

        def counted(*arguments: Any, _real: Any = real, _name: str = name, **options: Any) -> Any:
            if any("Fresh" in shown(argument) for argument in arguments):  # another document may be prepared just now
                done.append(_name)
            return _real(*arguments, **options)

        monkeypatch.setattr(execution, name, counted)
    text = "query Fresh($id: ID!) { customer(id: $id) { name id } }"
    acme.publish({"fresh": text})
    found = acme.gateway.gateway.documents.catalogue.find("acme", "fresh")
    assert found is not None
    eventually(lambda: found.is_ready)
    assert done == ["parse", "validate"]
    before = executions(acme.gateway)
    for _ in range(5):
        assert acme.ask(ALEX, documentId="fresh").data == {"customer": {"name": "Alex Morales", "id": "cus_alex"}}
    assert done == ["parse", "validate"]
    assert executions(acme.gateway) - before == 5, "planned, too"


def shown(argument: Any) -> str:
    """A document's text, of a tree or as it is; nothing of other arguments."""
    if isinstance(argument, DocumentNode):
        return print_ast(argument)
    return str(getattr(argument, "body", argument))


def executions(gateway: RunningGateway) -> float:
    """The number of operations run by a plan."""
    page = gateway.request("GET", "/metrics").raw.decode()
    (line,) = [
        line for line in page.splitlines() if line.startswith('vaultgraph_executions_total{path="compiled"}')
    ] or ["x 0"]
    return float(line.split()[-1])
