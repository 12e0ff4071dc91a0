"""Listening sockets and their addresses."""

import socket

from app.errors import VaultgraphError


class PortTaken(VaultgraphError):
    """The port is in use; the message is one line."""


def bind(host: str, port: int, setting: str) -> socket.socket:
    """Listen on host and port (0 picks a free one). `setting` is the option named when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise PortTaken(f"cannot listen on {host}:{port} ({error.strerror}); choose another with {setting}") from None
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
