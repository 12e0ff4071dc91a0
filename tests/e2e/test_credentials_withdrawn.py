"""Once HTTP refuses credentials, connections opened with them run nothing and are closed soon."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from app.api.auth.api_keys import KeyHasher, new_key
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway
from tests.support.partners import PartnerApp
from tests.support.streams import socket_of, until_joined

EVENTS = 'subscription Events { customerEvents(customerId: "cus_alex") { id } }'
DOCUMENTS = {"events": EVENTS, "me": "query Me { viewer { partner } }"}


def withdrawn(partner: PartnerApp, how: str) -> None:
    """Returns once HTTP refuses the key."""
    gateway, clients = partner.gateway, partner.gateway.gateway.store.clients
    if how == "disabled":
        gateway.on_loop(clients.enable(partner.name, is_enabled=False))
    else:
        hasher = KeyHasher(gateway.settings.digest_key.first.reveal())
        for _ in range(2):  # the previous key stays valid next to a new one
            gateway.on_loop(clients.rotate(partner.name, hasher.hash(new_key())))
    give_up_at = time.monotonic() + 60
    while partner.ask(documentId="me").status == 200:
        assert time.monotonic() < give_up_at


def closed_with(socket: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - whatever comes before
        while True:
            socket.recv(20)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


@pytest.mark.parametrize("how", ["disabled", "rotated"])
def test_an_idle_socket_is_closed_by_the_recheck(how: str, start_gateway: StartGateway) -> None:
    gateway = start_gateway(gate={"recheck_s": 0.3})
    partner = PartnerApp(gateway, "acme", documents=DOCUMENTS)
    with socket_of(gateway, partner.key) as socket:
        withdrawn(partner, how)
        assert closed_with(socket) == 4403


@pytest.mark.parametrize("how", ["disabled", "rotated"])
def test_no_operation_runs_once_http_refuses_the_key(how: str, start_gateway: StartGateway) -> None:
    gateway = start_gateway(gate={"recheck_s": 600})
    partner = PartnerApp(gateway, "acme", documents=DOCUMENTS)
    with socket_of(gateway, partner.key) as socket:
        withdrawn(partner, how)
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"documentId": "me"}}))
        assert closed_with(socket) == 4403


def test_an_expired_token_closes_its_socket(start_gateway: StartGateway) -> None:
    gateway = start_gateway(gate={"recheck_s": 0.3})
    with socket_of(gateway, gateway.token(valid_for_s=2)) as socket:
        assert closed_with(socket) == 4403


@pytest.mark.parametrize("how", ["disabled", "rotated"])
def test_a_stream_is_cut_off_by_the_recheck(how: str, start_gateway: StartGateway) -> None:
    gateway = start_gateway(gate={"recheck_s": 0.3})
    partner = PartnerApp(gateway, "acme", documents=DOCUMENTS)
    with streaming(gateway, partner.key) as lines:
        until_joined(gateway)
        withdrawn(partner, how)
        assert b"event: complete" not in b"".join(lines), "its client would not ask for new credentials"
    with pytest.raises(HTTPError, match="401"), streaming(gateway, partner.key):
        pass


@contextmanager
def streaming(gateway: RunningGateway, key: str) -> Iterator[Iterator[bytes]]:
    """The lines of server-sent events, until the connection ends in any way."""
    sent = {"content-type": "application/json", "accept": "text/event-stream", "authorization": f"Bearer {key}"}
    body = json.dumps({"documentId": "events"}).encode()
    with urlopen(Request(f"{gateway.url}/graphql", body, sent), timeout=20) as reply:

        def lines() -> Iterator[bytes]:
            try:
                yield from reply
            except ConnectionError:
                return

        yield lines()
