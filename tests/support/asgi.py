"""Calls an ASGI app in process: one request, one complete reply. No sockets, no lifespan."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlencode

import orjson
from starlette.types import ASGIApp, Message

HOST = "sandbox.test"


@dataclass(frozen=True, slots=True)
class Reply:
    """Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def call(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    json: Any = None,
    form: Mapping[str, str] | None = None,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    root_path: str = "",
) -> Reply:
    """`path` may have a query. `root_path` is the mount path, as in Starlette's `Mount`."""
    sent = {"host": HOST, **{name.lower(): value for name, value in (headers or {}).items()}}
    if json is not None:
        body = orjson.dumps(json)
        sent.setdefault("content-type", "application/json")
    if form is not None:
        body = urlencode(form).encode()
        sent.setdefault("content-type", "application/x-www-form-urlencoded")
    raw_path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "server": (HOST, 80),
        "client": ("127.0.0.1", 1),
        "root_path": root_path,
        "path": root_path + unquote(raw_path),
        "raw_path": (root_path + raw_path).encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }
    inbox: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    outbox: list[Message] = []

    is_over = asyncio.Event()

    async def receive() -> Message:
        if inbox:
            return inbox.pop(0)
        await is_over.wait()  # the client stays connected until it has the reply
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        outbox.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            is_over.set()

    await app(scope, receive, send)
    start = next(message for message in outbox if message["type"] == "http.response.start")
    whole = b"".join(message.get("body", b"") for message in outbox if message["type"] == "http.response.body")
    replied = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Reply(start["status"], replied, whole)
