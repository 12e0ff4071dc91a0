"""Client deadlines: X-Deadline-Ms is respected, and a disconnect cancels the client's reads."""

import asyncio
import json
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.gateway import RunningGateway
from tests.support.gateways import PROVIDERS, StartGateway, each_vault, sources, upstream
from tests.support.raw_server import ReceivedRequest, raw_server
from tests.support.sandbox import RunningSandbox

WALLET = '{ customer(id: "cus_alex") { paymentMethods { id } sources { provider state } } }'


@pytest.mark.parametrize("asked_ms", ["200", "1000"])
def test_a_client_may_shorten_its_deadline(asked_ms: str, start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    settings = each_vault(deadline_s=60, fresh_for_s=60)  # the others answer from the cache, however busy the machine
    settings["caselle"]["fresh_for_s"] = settings["caselle"]["stale_if_error_for_s"] = 0
    gateway = start_gateway(**settings, request_deadline_s=60)
    gateway.data(WALLET)
    sandbox.fault("caselle", "hang")
    began = time.monotonic()
    reply = gateway.query(WALLET, headers={"x-deadline-ms": asked_ms})
    took = time.monotonic() - began
    assert sources(reply.data["customer"]) == {**dict.fromkeys(PROVIDERS, "OK"), "CASELLE": "TIMEOUT"}
    assert int(asked_ms) / 1000 <= took < 30, "well below the gateway's own 60 seconds"


def test_a_client_cannot_extend_its_deadline(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**each_vault(deadline_s=60), request_deadline_s=0.5)
    sandbox.fault("caselle", "hang")
    began = time.monotonic()
    reply = gateway.query(WALLET, headers={"x-deadline-ms": "60000"})
    assert sources(reply.data["customer"])["CASELLE"] == "TIMEOUT"
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("value", ["0", "-5", "1.5", "soon", "", "1e3", "١٠٠", "9999999999"])
def test_an_invalid_deadline_is_refused(value: str, start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway()
    headers = {"x-deadline-ms": value.encode().decode("latin-1")}
    reply = gateway.query(WALLET, headers=headers)
    assert (reply.status, reply.codes) == (400, ["BAD_REQUEST"])
    assert upstream(sandbox) == {}


def test_a_hurried_client_does_not_open_the_circuit(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    """Its timeouts say nothing about the vault, so the next client is served as usual."""
    gateway = start_gateway(**each_vault(fresh_for_s=0, breaker={"minimum_calls": 2, "open_for_s": 60}))
    sandbox.fault("loanpro", "hang")
    for _ in range(6):
        reply = gateway.query(WALLET, headers={"x-deadline-ms": "100"})
        assert sources(reply.data["customer"])["LOANPRO"] == "TIMEOUT"
    sandbox.clear_faults()
    assert sources(gateway.query(WALLET).data["customer"])["LOANPRO"] == "OK"


async def _ask(gateway: RunningGateway, query: str = WALLET) -> asyncio.StreamWriter:
    """Send a query on its own connection without waiting for the response."""
    address = urlsplit(gateway.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    body = json.dumps({"query": query}).encode()
    headers = {
        "host": address.netloc,
        "content-type": "application/json",
        "content-length": str(len(body)),
        **gateway.headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"POST /graphql HTTP/1.1\r\n{head}\r\n".encode() + body)
    await writer.drain()
    return writer


async def _until(condition: Any, within_s: float = 5.0) -> None:
    give_up_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up_at, "it did not come true in time"
        await asyncio.sleep(0.01)


async def _silent(asked: ReceivedRequest) -> bytes:
    return b""


def _at(url: str) -> dict[str, Any]:
    """Settings with Aloha at this URL, and deadlines so long that only a disconnect can end a call."""
    settings = each_vault(deadline_s=60, fresh_for_s=0)
    return {**settings, "aloha": {**settings["aloha"], "base_url": url}, "request_deadline_s": 60}


async def test_a_disconnect_cancels_calls_that_no_other_request_shares(start_gateway: StartGateway) -> None:
    async with raw_server(_silent) as vault:
        gateway = await asyncio.to_thread(start_gateway, **_at(vault.url))
        client = await _ask(gateway)
        await _until(lambda: vault.asked and vault.tasks)
        client.close()
        await _until(lambda: not vault.tasks)
        http_client = gateway.gateway.providers["aloha"].http_client  # type: ignore[index,attr-defined]
        await _until(lambda: http_client.in_flight == 0)
        assert len(vault.asked) == 1


async def test_a_shared_call_continues_for_remaining_clients(start_gateway: StartGateway) -> None:
    """Two clients share one call; the one that started it disconnects; the other gets the response from the
    same call.
    """
    may_answer = asyncio.Event()

    async def later(asked: ReceivedRequest) -> bytes:
        await may_answer.wait()
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]"

    async with raw_server(later) as vault:
        gateway = await asyncio.to_thread(start_gateway, **_at(vault.url))
        first = await _ask(gateway)
        await _until(lambda: vault.asked)
        second = asyncio.create_task(asyncio.to_thread(gateway.query, WALLET))
        counts = gateway.gateway.snapshots
        await _until(lambda: any(len(flight.waiting) == 2 for flight in list(counts._in_flight.values())))
        first.close()
        await _until(lambda: all(len(flight.waiting) == 1 for flight in list(counts._in_flight.values())))
        assert vault.tasks, "the call is still there"
        may_answer.set()
        reply = await second
        assert sources(reply.data["customer"])["ALOHA"] == "OK"
        assert len(vault.asked) == 1


async def test_the_last_disconnect_cancels_a_shared_call(start_gateway: StartGateway) -> None:
    async with raw_server(_silent) as vault:
        gateway = await asyncio.to_thread(start_gateway, **_at(vault.url))
        snapshots = gateway.gateway.snapshots
        clients = [await _ask(gateway) for _ in range(5)]
        await _until(lambda: any(len(flight.waiting) == 5 for flight in list(snapshots._in_flight.values())))
        for client in clients[:4]:
            client.close()
        await _until(lambda: any(len(flight.waiting) == 1 for flight in list(snapshots._in_flight.values())))
        assert vault.tasks
        clients[4].close()
        await _until(lambda: not vault.tasks)
        assert not snapshots._in_flight
