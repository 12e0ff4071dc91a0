"""The stub of `bench.compare` without nginx: the same bodies, in a thread, each reply in one write."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final
from urllib.parse import unquote_plus, urlsplit

from bench.compare import bodies

_LOANPRO: Final = re.compile(r"id eq (\d+)")
_JPMORGAN: Final = re.compile(r"consumer-profiles/(\w+)(/payment-methods/)?")
_TOKEN: Final = b'{"access_token":"stub","expires_in":86400,"token_type":"Bearer"}'
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Stub:
    """Answers any customer. `is_changing`: no two bodies are equal, though their content is."""

    def __init__(self) -> None:
        self.url = ""
        self.calls = 0
        self.is_changing = False
        self._nonces = count()

    def answer(self, target: str) -> bytes:
        path, query = urlsplit(target).path, unquote_plus(urlsplit(target).query)
        if path.endswith("/oauth2/token"):
            return _TOKEN
        self.calls += 1
        found = _JPMORGAN.search(path)
        if path.startswith("/loanpro/"):
            rows = [_text(bodies.loanpro_customer(), f"{number}") for number in _LOANPRO.findall(query)]
            text = f'{{"d":{{"results":[{",".join(rows)}],"summary":{{"total":{len(rows)}}}}}}}'
        elif path.startswith("/aloha/"):
            text = _text(bodies.aloha_payments())
        elif path.startswith("/caselle/"):
            text = _text(bodies.caselle_methods())
        elif found is not None and found[2]:
            text = _text(bodies.jpmorgan_status(), f'"{found[1]}"')
        elif found is not None:
            text = _text(bodies.jpmorgan_profile(), f'"{found[1]}"')
        else:
            raise ValueError(f"no vault has {path}")
        if self.is_changing:
            before, brace, after = text.rpartition("}")
            text = f'{before},"nonce":"{next(self._nonces):032}"{brace}{after}'
        return text.encode()


def _text(body: object, ref: str = '""') -> str:
    return json.dumps(body, separators=(",", ":")).replace('"@ID@"', ref)


class _Connection(asyncio.Protocol):
    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        answer = self._stub.answer(head.split(b" ", 2)[1].decode())
        lines = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver: stub\r\nconnection: keep-alive\r\n"
        self._transport.write(lines + b"content-length: %d\r\n\r\n" % len(answer) + answer)


@contextmanager
def running_stub() -> Iterator[Stub]:
    stub, is_up = Stub(), threading.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        server = await loop.create_server(lambda: _Connection(stub), "127.0.0.1", 0)
        stub.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        is_up.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, name="stub", daemon=True)
    thread.start()
    assert is_up.wait(10)
    try:
        yield stub
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
