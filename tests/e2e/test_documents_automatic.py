"""Automatic persisted queries: only for callers with a token, as far as the settings allow."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from app.errors import SettingsError
from app.settings.model import load_settings
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway
from tests.support.partners import PartnerApp, digest
from tests.support.redis_server import RedisServer

TEXT = "query Name($id: ID!) { customer(id: $id) { name } }"
ALEX = {"id": "cus_alex"}
FOUND = {"customer": {"name": "Alex Morales"}}


def by_hash(text: str, **more: Any) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest(text), **more}}}


def test_a_text_is_sent_once(demo_gateway: RunningGateway) -> None:
    miss = demo_gateway.query(None, ALEX, **by_hash(TEXT))
    assert (miss.status, miss.codes, miss.headers["cache-control"]) == (200, ["PERSISTED_QUERY_NOT_FOUND"], "no-store")
    assert miss.errors[0]["message"] == "PersistedQueryNotFound"
    assert demo_gateway.query(TEXT, ALEX, **by_hash(TEXT, miss=True)).data == FOUND
    for form in (by_hash(TEXT), {"documentId": f"sha256:{digest(TEXT)}"}, {"documentId": digest(TEXT)}):
        assert demo_gateway.query(None, ALEX, **form).data == FOUND
    path = f"/graphql?variables={quote(json.dumps(ALEX))}&extensions={quote(json.dumps(by_hash(TEXT)['extensions']))}"
    assert demo_gateway.request("GET", path).data == FOUND
    other = {"authorization": f"Bearer {demo_gateway.token(customer='cus_alex')}"}
    assert demo_gateway.query(None, ALEX, headers=other, **by_hash(TEXT)).data == FOUND, "an end user's frontend"


def test_a_text_with_another_hash_is_not_run_or_stored(demo_gateway: RunningGateway) -> None:
    for form in (by_hash("{ other }"), {"documentId": f"sha256:{digest('{ other }')}"}):
        reply = demo_gateway.query(TEXT, ALEX, **form)
        assert (reply.status, reply.codes, reply.data) == (400, ["PERSISTED_QUERY_HASH_MISMATCH"], None)
        assert reply.errors[0]["message"] == "provided sha does not match query"
    for form in (by_hash("{ other }"), by_hash(TEXT)):
        assert demo_gateway.query(None, ALEX, **form).codes == ["PERSISTED_QUERY_NOT_FOUND"]
    assert demo_gateway.query(TEXT, ALEX, documentId="opaque").codes == ["CANNOT_SEND_PQ_ID_AND_BODY"]


@pytest.mark.parametrize("text", ["{ nothingHere }", "{ viewer {", "{" * 500])
def test_an_invalid_text_is_not_stored(demo_gateway: RunningGateway, text: str) -> None:
    reply = demo_gateway.query(text, **by_hash(text))
    assert reply.status == 400
    assert demo_gateway.query(**by_hash(text)).codes == ["PERSISTED_QUERY_NOT_FOUND"]


def test_callers_without_a_token_store_nothing(demo_gateway: RunningGateway) -> None:
    demo_gateway.headers, kept = {}, demo_gateway.headers
    assert demo_gateway.query(TEXT, ALEX, **by_hash(TEXT)).codes == ["UNAUTHENTICATED"]
    demo_gateway.headers = kept
    assert demo_gateway.query(None, ALEX, **by_hash(TEXT)).codes == ["PERSISTED_QUERY_NOT_FOUND"]


def test_when_disabled_the_client_gets_not_supported(start_gateway: StartGateway) -> None:
    gateway = start_gateway(documents={"automatic": False})
    reply = gateway.query(None, ALEX, **by_hash(TEXT))
    assert (reply.status, reply.codes) == (200, ["PERSISTED_QUERY_NOT_SUPPORTED"])
    assert reply.errors[0]["message"] == "PersistedQueryNotSupported"
    assert gateway.query(TEXT, ALEX, **by_hash(TEXT)).data == FOUND, "a text that comes along is run"
    assert gateway.query(None, ALEX, **by_hash(TEXT)).codes == ["PERSISTED_QUERY_NOT_SUPPORTED"]


def test_own_frontends_may_run_published_documents_and_texts(start_gateway: StartGateway) -> None:
    gateway = start_gateway(documents={"own_client": "web"})
    PartnerApp(gateway, "web", documents={"name": TEXT})
    assert gateway.query(None, ALEX, documentId="name").data == FOUND
    assert gateway.query("{ viewer { testMode } }").data == {"viewer": {"testMode": True}}


def test_own_frontends_may_be_limited_to_published_documents(start_gateway: StartGateway) -> None:
    gateway = start_gateway(documents={"own_client": "web", "ids_only": True, "automatic": False})
    PartnerApp(gateway, "web", documents={"name": TEXT})
    assert gateway.query(None, ALEX, documentId="name").data == FOUND
    assert gateway.query(TEXT, ALEX).codes == ["PERSISTED_QUERY_ID_REQUIRED"]
    assert gateway.query(TEXT, ALEX, **by_hash(TEXT)).codes == ["CANNOT_SEND_PQ_ID_AND_BODY"]
    assert gateway.query(None, ALEX, **by_hash(TEXT)).codes == ["PERSISTED_QUERY_NOT_IN_LIST"]


@pytest.mark.parametrize(
    ("section", "result"),
    [
        ({"ids_only": True, "own_client": "web"}, "automatic = false"),
        ({"ids_only": True, "own_client": "web", "automatic": True}, "automatic = false"),
        ({"ids_only": True, "automatic": False}, "own_client"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_at_start(section: dict[str, Any], result: str) -> None:
    with pytest.raises(SettingsError, match=result):
        load_settings(None, {}, {"documents": section})


def test_replicas_share_texts_and_work_without_redis(start_gateway: StartGateway) -> None:
    with RedisServer() as server:
        one, other = (start_gateway(store={"redis_url": server.url}) for _ in range(2))
        assert one.query(TEXT, ALEX, **by_hash(TEXT)).data == FOUND
        assert other.query(None, ALEX, **by_hash(TEXT)).data == FOUND
        server.stop()
        unknown = "query Other { viewer { testMode } }"
        assert other.query(None, **by_hash(unknown)).codes == ["PERSISTED_QUERY_NOT_FOUND"]
        assert other.query(unknown, **by_hash(unknown)).data == {"viewer": {"testMode": True}}
        assert other.query(None, **by_hash(unknown)).data == {"viewer": {"testMode": True}}
