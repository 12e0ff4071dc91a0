"""A subscriber for tests: graphql-transport-ws or server-sent events, blocking, with a time limit on every wait."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.request import Request, urlopen

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.support.gateway import RunningGateway
from tests.support.waiting import eventually

EVENTS = """
subscription Events($customer: ID!, $types: [EventType!], $after: ID) {
  customerEvents(customerId: $customer, types: $types, after: $after) {
    id type origin provider paymentMethodId customer { id name }
  }
}
"""
FIELD = "customerEvents"


class Reachable(Protocol):
    """A gateway in a thread, or a process."""

    url: str

    def token(self) -> str: ...


class Listener:
    """One socket with one subscription, id ``1``."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def message(self, timeout: float = 60) -> Any:
        """The next message except pings."""
        while True:
            found = json.loads(self.socket.recv(timeout))
            if found["type"] != "ping":
                return found

    def next(self, timeout: float = 60) -> Any:
        """The next event's fields."""
        found = self.message(timeout)
        assert found["type"] == "next", found
        assert "errors" not in found["payload"], found
        return found["payload"]["data"][FIELD]

    def is_silent(self, for_s: float = 0.7) -> bool:
        try:
            self.message(for_s)
        except TimeoutError:
            return True
        return False


@contextmanager
def socket_of(gateway: Reachable, token: str | None = None) -> Iterator[ClientConnection]:
    """An initialised socket; the default `token` is the gateway's, and an API key also works."""
    url = gateway.url.replace("http", "ws") + "/graphql"
    with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], open_timeout=60) as socket:
        payload = {"authorization": f"Bearer {token or gateway.token()}"}
        socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        assert json.loads(socket.recv(60)) == {"type": "connection_ack"}
        yield socket


@contextmanager
def listening(
    gateway: Reachable, query: str = EVENTS, token: str | None = None, **variables: Any
) -> Iterator[Listener]:
    with socket_of(gateway, token) as socket:
        payload = {"query": query, "variables": variables}
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        yield Listener(socket)


def until_joined(gateway: RunningGateway, count: int = 1) -> None:
    """Wait until the feed has this many subscribers, so that later events reach them."""
    eventually(lambda: len(gateway.gateway.feed) >= count, "a subscriber")


@contextmanager
def streaming(
    gateway: RunningGateway, variables: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Iterator[Iterator[dict[str, str]]]:
    """The same over server-sent events: yields blocks as ``{"id": ..., "event": ..., "data": ...}``."""
    body = json.dumps({"query": EVENTS, "variables": dict(variables)}).encode()
    sent = {"content-type": "application/json", "accept": "text/event-stream", **gateway.headers, **(headers or {})}
    with urlopen(Request(f"{gateway.url}/graphql", body, sent), timeout=60) as reply:

        def blocks() -> Iterator[dict[str, str]]:
            block: dict[str, str] = {}
            for line in reply:
                name, _, value = line.decode().rstrip("\n").partition(":")
                if name:
                    block[name] = value.strip()
                elif block:
                    yield block
                    block = {}

        yield blocks()
