"""A receiver of webhooks: records each request, and answers as the test says."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import orjson

Answer = tuple[int, Mapping[str, str]]
OK: Answer = (204, {})


@dataclass(frozen=True)
class Webhook:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.body)["data"]
        return found

    @property
    def customer(self) -> str:
        return str(self.data["customerId"])


@dataclass
class Receiver:
    """Plain HTTP on loopback. `answer` runs in a thread of the server; `seen` are the requests in order of arrival."""

    answer: Callable[[Webhook], Answer] = lambda webhook: OK
    seen: list[Webhook] = field(default_factory=list)

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                webhook = Webhook(self.path, headers, body)
                receiver.seen.append(webhook)
                status, more = receiver.answer(webhook)
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_POST  # after a redirect

            def log_message(self, format: str, *args: object) -> None:
                return None

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.seen]
