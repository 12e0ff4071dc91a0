"""A proxy between the gateway and one sandbox vault that changes replies in ways no emulator does."""

import http.client
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

Edit = Callable[[Any], Any]
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})


class VaultProxy:
    """Use ``url`` as that vault's `base_url`.

    `edit` gets the decoded JSON of every 200 and returns the reply: JSON, or raw bytes.
    """

    def __init__(self, base_url: str, edit: Edit) -> None:
        target = urlsplit(base_url)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(target.netloc, edit))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}{target.path}"

    def __enter__(self) -> "VaultProxy":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(netloc: str, edit: Edit) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            connection = http.client.HTTPConnection(netloc, timeout=20)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            headers["accept-encoding"] = "identity"
            connection.request("GET", self.path, headers=headers)
            reply = connection.getresponse()
            body = reply.read()
            connection.close()
            if reply.status == 200:
                edited = edit(json.loads(body))
                body = edited if isinstance(edited, bytes) else json.dumps(edited).encode()
            self.send_response(reply.status)
            for name, value in reply.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return None

    return Handler
