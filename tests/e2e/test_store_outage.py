"""PostgreSQL stops, or ends its sessions, under a running gateway: typed errors, one log line, no restart."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from app.store import Store, migrate
from tests.e2e.test_mutations_customers import ADDRESS, person
from tests.support.gateway import GraphQLReply, RunningGateway
from tests.support.gateways import patient
from tests.support.postgres import Postgres, running_postgres
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

NAME = "query($id: ID!) { customer(id: $id) { name paymentMethods { provider } } }"
BY_EXTERNAL_ID = "query($id: ID!) { findCustomer(by: {externalId: $id}) { name } }"
CREATE = """mutation($input: CreateCustomerInput!) { createCustomer(input: $input) {
  customer { id } operation { id } userErrors { code retryable path message } } }"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        asyncio.run(_migrated(server.url()))
        yield server


@pytest.fixture
def gateway(postgres: Postgres, sandbox: RunningSandbox, tmp_path: Path) -> Iterator[RunningGateway]:
    store = {"url": postgres.url()}
    with RunningGateway(sandbox.url, tmp_path, store=store, **patient(fresh_for_s=600)) as running:
        running.log_handler.setLevel(logging.WARNING)  # whatever level an earlier test has configured
        yield running


def test_an_outage_is_a_retryable_error_and_one_line(
    gateway: RunningGateway, postgres: Postgres, sandbox: RunningSandbox
) -> None:
    assert gateway.query(NAME, {"id": "cus_alex"}).data["customer"]["name"]
    postgres.stop()
    try:
        for _ in range(3):
            unknown = gateway.query(BY_EXTERNAL_ID, {"id": "nobody-knows"})
            assert unknown.status == 200
            (error,) = unknown.errors
            assert error["extensions"]["code"] == "STORE_UNAVAILABLE"
            assert error["extensions"]["retryable"] is True
        known = gateway.query(NAME, {"id": "cus_alex"})
        assert known.errors == []
        assert known.data["customer"]["paymentMethods"]
        sandbox.clear_calls()
        refused = _create(gateway, "outage-1")
        assert refused.errors == []
        (error,) = refused.data["createCustomer"]["userErrors"]
        assert (error["code"], error["retryable"], error["path"]) == ("STORE_UNAVAILABLE", True, None)
        assert sandbox.calls() == []
        ready = gateway.request("GET", "/readyz")
        assert ready.status == 503
        assert "store" in ready.body["failing"]
        assert _outcomes(gateway) == {"ok": 2, "failed": 4}
    finally:
        postgres.start()
    eventually(lambda: gateway.query(BY_EXTERNAL_ID, {"id": "nobody-knows"}).errors == [])
    created = _create(gateway, "outage-1")
    assert created.data["createCustomer"]["userErrors"] == []
    eventually(lambda: "is available again" in gateway.log)
    lines = gateway.log.splitlines()
    assert len(lines) == 2, lines
    assert lines[0].startswith("the store is unavailable (")
    assert lines[1] == "the store is available again"


def test_a_write_that_was_sent_when_the_store_stopped_is_unknown(
    gateway: RunningGateway, postgres: Postgres, sandbox: RunningSandbox
) -> None:
    for key, delay_ms in (("sent-1", 2_000), ("sent-2", 7_000)):
        sandbox.clear_calls()
        sandbox.fault("loanpro", "delay", delay_ms=delay_ms, method="POST", times=1)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(_create, gateway, key, ["LOANPRO"])
            eventually(lambda: sandbox.control("GET", "/faults") == [], "the vault has the request")
            postgres.stop()
            was_late = running.done()  # the machine stalled for longer than the vault's answer took
            try:
                created = running.result().data["createCustomer"]
            finally:
                postgres.start()
        if not was_late:
            break
    assert not was_late
    (error,) = created["userErrors"]
    assert (error["code"], error["retryable"]) == ("OUTCOME_UNKNOWN", True)
    eventually(lambda: _create(gateway, key, ["LOANPRO"]).data["createCustomer"]["userErrors"] == [])
    posts = [call for call in sandbox.calls("loanpro") if call["method"] == "POST"]
    assert len(posts) == 1


def test_ended_sessions_are_replaced(gateway: RunningGateway, postgres: Postgres) -> None:
    for number in range(3):
        _end_sessions(postgres)
        reply = gateway.query(BY_EXTERNAL_ID, {"id": f"nobody-{number}"})
        assert reply.errors == [] or reply.codes == ["STORE_UNAVAILABLE"]
        created = _create(gateway, f"ended-{number}").data["createCustomer"]
        assert [one["code"] for one in created["userErrors"]] in ([], ["STORE_UNAVAILABLE"])
    eventually(lambda: _create(gateway, "ended-last").data["createCustomer"]["userErrors"] == [])
    assert all(line.startswith("the store is ") for line in gateway.log.splitlines()), gateway.log


def test_recently_authenticated_partners_are_accepted(gateway: RunningGateway, postgres: Postgres) -> None:
    key = gateway.on_loop(_partner(gateway))
    headers = {"authorization": f"Bearer {key}"}
    before = gateway.query(NAME, {"id": "cus_alex"}, headers=headers)
    postgres.stop()
    try:
        assert gateway.query(NAME, {"id": "cus_alex"}, headers=headers).codes == before.codes
        stranger = gateway.query(NAME, {"id": "cus_alex"}, headers={"authorization": f"Bearer {key[:-4]}AAAA"})
        assert (stranger.status, stranger.codes) == (503, ["STORE_UNAVAILABLE"])
        assert stranger.headers["retry-after"] == "1"
    finally:
        postgres.start()


def test_a_gateway_shuts_down_gracefully_during_a_store_outage(gateway: RunningGateway, postgres: Postgres) -> None:
    postgres.stop()
    try:
        assert _create(gateway, "stop-1").data["createCustomer"]["userErrors"][0]["code"] == "STORE_UNAVAILABLE"
        gateway.stop()
    finally:
        postgres.start()


def _create(gateway: RunningGateway, key: str, at: Sequence[str] = ()) -> GraphQLReply:
    given = {
        **person(*at),
        "idempotencyKey": f"{key}-0123456789abcdef",
        "externalId": key,
        "email": f"{key}@example.com",
        "phone": "+1 385 555 0107",
        "address": {**ADDRESS, "line1": f"7 {key} Way"},
    }
    return gateway.query(CREATE, {"input": given})


def _outcomes(gateway: RunningGateway) -> dict[str, int]:
    text = gateway.request("GET", "/metrics").raw.decode()
    rows = [line for line in text.splitlines() if line.startswith("vaultgraph_requests_total{")]
    return {line.split('outcome="')[1].split('"')[0]: int(float(line.rsplit(" ", 1)[1])) for line in rows}


async def _partner(gateway: RunningGateway) -> str:
    from app.api.auth.api_keys import new_key

    key = new_key()
    hashed = gateway.gateway.callers.partners._hasher.hash(key)
    await gateway.gateway.store.clients.add("acme", key_hash=hashed, scopes=["customers:read"], sees_all_customers=True)
    return key


def _end_sessions(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


async def _migrated(url: str) -> None:
    store = Store.open(url)
    await migrate(store.engine)
    await store.close()
