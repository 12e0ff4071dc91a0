"""A real sandbox server for tests, in a thread with its own event loop, with its control API as methods."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.sandbox.run import serve_sandbox
from app.sandbox.server import MakeEmulators, the_four
from app.server.sockets import bind
from app.testing.server_thread import ServerThread


@dataclass(frozen=True)
class Reply:
    """A complete HTTP reply; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        return json.loads(self.body)


class ControlError(AssertionError):
    """The control API refused a request: the test itself is wrong."""


class RunningSandbox(ServerThread):
    """Methods are sync and work in async tests too, because the server has its own thread."""

    def __init__(self, data_dir: Path | None = None, make_emulators: MakeEmulators = the_four) -> None:
        super().__init__("sandbox")
        self._data_dir = data_dir
        self._make_emulators = make_emulators

    async def serve_until(self, stop: asyncio.Event) -> None:
        sock = bind("127.0.0.1", 0, "the port")
        await serve_sandbox(sock, self._data_dir, stop, ready=self._ready, make_emulators=self._make_emulators)

    def _ready(self, url: str) -> None:
        self.url = url
        self.started()

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, timeout: float = 20
    ) -> Reply:
        """Send any request on a new connection; `body` is sent as JSON unless it is bytes."""
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        return Reply(*self.exchange(method, path, body, sent, timeout))

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the control API; raises ControlError unless the status is 200."""
        reply = self.request(method, f"/__sandbox{path}", body)
        if reply.status != 200:
            raise ControlError(f"{method} {path}: {reply.status} {reply.body.decode()}")
        return reply.json()

    def reset(self) -> None:
        self.control("POST", "/reset")

    def calls(self, provider: str | None = None, token_routes: bool = False) -> list[dict[str, Any]]:
        """Calls in order of arrival, without those for OAuth tokens by default."""
        query = f"?provider={provider}" if provider else ""
        rows: list[dict[str, Any]] = self.control("GET", f"/calls{query}")
        return [row for row in rows if token_routes or not row.get("token_route")]

    def clear_calls(self) -> None:
        self.control("DELETE", "/calls")

    def fault(self, provider: str, kind: str, **fields: Any) -> dict[str, Any]:
        """Set a fault; the fields are those of ``POST /faults`` in docs/sandbox.md."""
        shown: dict[str, Any] = self.control("POST", "/faults", {"provider": provider, "kind": kind, **fields})
        return shown

    def clear_faults(self, provider: str | None = None) -> None:
        self.control("DELETE", f"/faults?provider={provider}" if provider else "/faults")

    def switch(self, provider: str, name: str, value: str) -> None:
        self.control("POST", "/switches", {"provider": provider, "name": name, "value": value})

    def token(self, provider: str, kind: str, **fields: Any) -> dict[str, Any]:
        """Mint the token of a browser capture: returns `{token, last4, bin, brand}`."""
        minted: dict[str, Any] = self.control("POST", "/tokens", {"provider": provider, "kind": kind, **fields})
        return minted

    def held(self, provider: str, customer_ref: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.control("GET", f"/customers/{provider}/{quote(customer_ref, safe='')}")
        return rows

    def credentials(self, provider: str | None = None) -> dict[str, Any]:
        shown: dict[str, Any] = self.control("GET", "/credentials")
        return shown[provider] if provider else shown

    def clock(self, *, now: str | None = None, advance_s: float | None = None) -> str:
        """Set or advance the clock; returns its time."""
        turned: str = self.control("POST", "/clock", {"now": now, "advance_s": advance_s})["now"]
        return turned

    def three_ds(self, payment_method_id: str, status: str) -> None:
        self.control("POST", "/three-ds", {"payment_method_id": payment_method_id, "status": status})
