"""uvicorn's request-response cycle, with fewer calls for ordinary requests; others are left to uvicorn."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

_MOST_REPEATED: Final = 16_384
_NOT_REPEATED: Final = frozenset({b"transfer-encoding", b"upgrade", b"expect"})


def _ignore() -> None:
    return None


async def _raise(error: BaseException, *_: Any) -> None:
    raise error


async def _return(*_: Any) -> None:
    return None


UNAWAITED: Final[Any] = SimpleNamespace(set=_ignore, clear=_ignore)
"""Takes the place of a cycle's event until the application waits for a message that is not there."""


class ResponseCycle(RequestResponseCycle):
    """Receives a body that has arrived without waiting, and sends an ordinary response as one write.

    The head waits for the body, which follows at once if the length is known. Heads without a length, of the last
    response of a connection, or with an invalid header are left to uvicorn. The application gets the cycle itself as
    `send`, so that it can use `respond`.
    """

    head = b""
    is_read = False
    tasks: set[Any]
    task: Any = None

    async def run_asgi(self, app: Any) -> None:
        """As uvicorn's, which handles what went wrong. The task leaves the server's set without a callback."""
        try:
            await app(self.scope, self.receive, self)
        except BaseException as error:  # noqa: BLE001 - uvicorn takes it
            await super().run_asgi(partial(_raise, error))
        else:
            if not self.response_complete:
                await super().run_asgi(_return)
        finally:
            self.on_response = _ignore
            self.tasks.discard(self.task)

    async def receive(self) -> Any:
        if not (self.more_body or self.is_read or self.disconnected or self.response_complete) and (
            not self.waiting_for_100_continue
        ):
            self.is_read = True
            if self.flow.read_paused:
                self.flow.resume_reading()
            if self.message_event is not UNAWAITED:
                self.message_event.clear()
            body: Any = self.body
            self.body = b""  # type: ignore[assignment]
            return {"type": "http.request", "body": bytes(body), "more_body": False}
        if self.message_event is UNAWAITED:
            self.message_event = asyncio.Event()
        message: Any = await super().receive()
        self.is_read = not self.more_body
        return message

    def respond(self, status: int, lines: bytes, body: bytes) -> bool:
        """Send a whole response at once. `lines` are its valid headers, with the length of the body. False if it has
        to be sent by messages.
        """
        is_usual = self.keep_alive and not (self.response_started or self.disconnected or self.flow.write_paused)
        if not is_usual or self.scope["method"] == "HEAD":
            return False
        self.response_started = self.response_complete = True
        self.transport.write(b"".join((STATUS_LINE[status], self._own_lines(), lines, b"\r\n", body)))
        if self.message_event is not UNAWAITED:
            self.message_event.set()
        self.on_response()
        return True

    def _own_lines(self) -> bytes:
        if self.default_headers is not _DEFAULT.headers:  # uvicorn makes new ones each second
            _DEFAULT.headers = self.default_headers
            _DEFAULT.lines = b"".join(name + b": " + value + b"\r\n" for name, value in _DEFAULT.headers)
        return _DEFAULT.lines

    def __call__(self, message: Any) -> Coroutine[Any, Any, None]:
        return self.send(message)

    async def send(self, message: Any) -> None:
        if self.head:
            head, self.head = self.head, b""
            body = message.get("body", b"")
            is_stopped = self.disconnected or self.flow.write_paused or not self.keep_alive
            if len(body) == self.expected_content_length and message["type"] == "http.response.body" and not is_stopped:
                self.transport.write(head + body)
                self.response_complete = True
                if self.message_event is not UNAWAITED:
                    self.message_event.set()
                self.on_response()
                return
            self.transport.write(head)
        elif (
            message["type"] == "http.response.start"
            and self.keep_alive
            and not (self.response_started or self.disconnected or self.flow.write_paused)
            and self.scope["method"] != "HEAD"
        ):
            lines, length = _lines(message["headers"])
            if lines:
                self.response_started, self.chunked_encoding, self.waiting_for_100_continue = True, False, False
                self.expected_content_length = length
                self.head = b"".join((STATUS_LINE[message["status"]], self._own_lines(), lines, b"\r\n"))
                return
        await super().send(message)


class _Default:
    """The server's own headers, such as `date`, as they are sent."""

    headers: Any = None
    lines = b""


_DEFAULT: Final = _Default()


def _lines(headers: Any) -> tuple[bytes, int]:
    """The headers as they are sent, and the body's length; empty if they are left to uvicorn."""
    lines: list[bytes] = []
    names, values, length = b"", b"", b""
    for name, value in headers:
        lines += (name, b": ", value, b"\r\n")
        names += name
        values += value
        if name == b"content-length":
            length = value
    is_valid = names.islower() and not HEADER_RE.search(names) and not HEADER_VALUE_RE.search(values)
    if not length or not is_valid or b"connection" in names or b"transfer-encoding" in names:
        return b"", 0
    return b"".join(lines), int(length)


class RepeatedHead(Struct):
    """The head of a whole request, with a body of known length, that a client has sent before in the same bytes."""

    head: bytes
    head_bytes: int
    size: int
    scope: dict[str, Any]

    def begins(self, data: bytes) -> bool:
        """True if `data` is one whole request with this head."""
        return len(data) == self.size and data.startswith(self.head)

    @classmethod
    def of(cls, data: bytes, scope: Any, cycle: RequestResponseCycle) -> "RepeatedHead | None":
        """None if `data` is anything but one usual request, which began between two others and has been parsed."""
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        head_bytes = data.find(b"\r\n\r\n") + 4
        size = len(data)
        is_usual = (
            size <= _MOST_REPEATED
            and scope["method"] == "POST"
            and scope["http_version"] == "1.1"
            and cycle.keep_alive
            and not cycle.waiting_for_100_continue
            and len(cycle.body) == size - head_bytes > 0
            and lengths == [b"%d" % len(cycle.body)]
            and _NOT_REPEATED.isdisjoint(name for name, _ in scope["headers"])
        )
        return cls(data[:head_bytes], head_bytes, size, {**scope, "state": None}) if is_usual else None
