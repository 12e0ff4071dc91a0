"""Sends raw bytes to a server: for requests that no HTTP client sends."""

import json
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class WireReply:
    """All bytes received before the server closed or was silent."""

    raw: bytes

    @property
    def status(self) -> int:
        """0 if the connection was closed without a reply."""
        return int(self.raw.split(b" ", 2)[1]) if self.raw.startswith(b"HTTP/1.1 ") else 0

    @property
    def head(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[0].lower()

    @property
    def body(self) -> Any:
        return json.loads(self.raw.partition(b"\r\n\r\n")[2])

    @property
    def codes(self) -> list[str]:
        return [error["extensions"]["code"] for error in self.body["errors"]]

    @property
    def replies(self) -> int:
        return self.raw.count(b"HTTP/1.1 ")


def exchange(url: str, pieces: bytes | Iterable[bytes], *, pause_s: float = 0, timeout_s: float = 10) -> WireReply:
    """Send the pieces with pauses between them, and read until the server closes or is silent for a moment."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=timeout_s) as connection:
        try:
            for piece in [pieces] if isinstance(pieces, bytes) else pieces:
                connection.sendall(piece)
                if pause_s:
                    time.sleep(pause_s)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server stopped reading; its earlier reply is still read
        return WireReply(_read_all(connection, timeout_s))


def _read_all(connection: socket.socket, timeout_s: float) -> bytes:
    received = b""
    try:
        while chunk := connection.recv(65_536):
            received += chunk
            connection.settimeout(0.3 if b"\r\n\r\n" in received else timeout_s)
    except (TimeoutError, ConnectionResetError):
        pass
    return received
