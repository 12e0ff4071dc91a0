"""Reads a response in parts (`@defer`) while it arrives: multipart/mixed or server-sent events."""

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from tests.support.streams import Reachable

PATHS = "multipart/mixed;deferSpec=20220824"
IDS = "multipart/mixed;incrementalSpec=v0.2"


class PartsReply:
    """`next` returns the next part as soon as it has arrived whole, and raises StopIteration after the last."""

    def __init__(
        self, gateway: Reachable, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=30)
        sent = {"authorization": f"Bearer {gateway.token()}", **headers}
        if body is None:
            self._connection.request("GET", path, headers=sent)
        else:
            encoded = json.dumps(body)
            self._connection.request("POST", path, encoded, {"content-type": "application/json", **sent})
        self._reply = self._connection.getresponse()
        self.status, self.type = self._reply.status, self._reply.headers["content-type"]
        self._bodies = self._events() if "event-stream" in self.type else self._parts()

    def __enter__(self) -> "PartsReply":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._reply.close()
        self._connection.close()

    def next(self) -> Any:
        return next(self._bodies)

    def rest(self) -> list[Any]:
        return list(self._bodies)

    def _parts(self) -> Iterator[Any]:
        assert self.type.startswith('multipart/mixed; boundary="graphql"'), (self.type, self._reply.read())
        assert self._line() == b"--graphql"
        while True:
            assert (self._line(), self._line()) == (b"content-type: application/json", b"")
            body, delimiter = self._line(), self._reply.read(len(b"--graphql"))
            assert delimiter == b"--graphql"
            found = json.loads(body)
            if found != {"hasNext": True}:
                yield found
            if self._line() == b"--":
                assert self._reply.read() == b""
                return

    def _events(self) -> Iterator[Any]:
        while line := self._line():
            assert line in (b":", b"event: next", b"event: complete"), line
            if line == b":":
                assert self._line() == b""
                continue
            data = self._line().removeprefix(b"data:").strip()
            assert self._line() == b""
            if line == b"event: complete":
                assert self._reply.read() == b""
                return
            yield json.loads(data)

    def _line(self) -> bytes:
        return self._reply.readline().rstrip(b"\r\n")


def ask_in_parts(
    gateway: Reachable, query: str, variables: Mapping[str, Any] | None = None, accept: str = IDS, **members: Any
) -> PartsReply:
    body = {"query": query, "variables": variables or {}, **members}
    return PartsReply(gateway, "/graphql", body, {"accept": accept})
