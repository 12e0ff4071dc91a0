"""Which addresses a webhook may be sent to: public ones only, so that no endpoint reaches the gateway's own network.

A host name is resolved for each delivery; the connection is made to an address that was checked, never to the name.
"""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from app.errors import VaultgraphError

_LONGEST_URL: Final = 2_000
_LOOK_UP_S: Final = 5.0
_NEVER: Final = tuple(
    ip_network(one)
    for one in (
        "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32",  # NAT64, 6to4, Teredo: stand for an IPv4 address
        "fec0::/10",  # the former site-local addresses
        "192.0.0.0/24",  # protocol assignments, of which Python 3.11 knows only a part
    )
)  # fmt: skip

Addresses = Callable[[str, int], Awaitable[list[str]]]
"""The IP addresses of a host name. Raises OSError."""


class EndpointRefused(VaultgraphError):
    """The URL cannot be an endpoint; the message names the rule."""


class AddressRefused(OSError):
    """An address that no webhook may be sent to."""


def is_allowed(address: str, *, allow_loopback: bool) -> bool:
    """False for private, loopback, link-local, shared (CGNAT), multicast, reserved and unspecified addresses."""
    found = _parsed(address)
    if found is None:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if any(found in network for network in _NEVER):
        return False
    if found.is_loopback:
        return allow_loopback
    return found.is_global and not found.is_multicast and not found.is_reserved


async def check_url(url: str, resolver: "PublicResolver") -> None:
    """Raises EndpointRefused for a URL that is not https, or whose host has an address that is not public."""
    host, port = host_of(url, allow_loopback=resolver.allow_loopback)
    try:
        await resolver.addresses(host, port)
    except AddressRefused:
        raise EndpointRefused("the host's address is not public (private, loopback, link-local, ...)") from None
    except OSError:
        raise EndpointRefused("the host name cannot be resolved") from None


def host_of(url: str, *, allow_loopback: bool) -> tuple[str, int]:
    """Host and port. Raises EndpointRefused for a URL that is not https."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise EndpointRefused("it is not a URL") from None
    if not host or len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise EndpointRefused(f"it is not an ASCII URL with a host, of at most {_LONGEST_URL} characters")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise EndpointRefused("it must not contain a user name, a password or a fragment")
    address = _parsed(host)
    if address is None and host.rstrip(".").rpartition(".")[2][:1].isdigit():
        raise EndpointRefused("its host looks like an IP address, but is none")  # 127.1: the system understands it
    if parts.scheme == "https":
        return host, port or 443
    if parts.scheme == "http" and allow_loopback and (host == "localhost" or (address and address.is_loopback)):
        return host, port or 80
    raise EndpointRefused("it must begin with https://")


def _parsed(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


class PublicResolver(AbstractResolver):
    """Resolves names for aiohttp. One address that is not public refuses the name.

    With `allow_loopback`, for development, loopback addresses are allowed too. A caller waits for `look_up_s` seconds.
    """

    def __init__(
        self, *, allow_loopback: bool = False, look_up: Addresses | None = None, look_up_s: float = _LOOK_UP_S
    ) -> None:
        self.allow_loopback: Final = allow_loopback
        self._look_up_s = look_up_s
        self._look_up = look_up or _ask_system
        self._running: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """Raises OSError, and AddressRefused."""
        try:
            async with asyncio.timeout(self._look_up_s):
                found = await asyncio.shield(self._looking_up(host, port))
        except TimeoutError:
            raise OSError("the name server did not answer in time") from None
        for address in found:
            self.check(address)
        if not found:
            raise OSError("the name has no address")
        return found

    def _looking_up(self, host: str, port: int) -> asyncio.Future[list[str]]:
        """One look-up at a time for each name, also after its callers have gone: a name whose server does not answer
        takes one thread, however many deliveries wait for it."""
        running = self._running.get((host, port))
        if running is None:
            running = self._running[host, port] = asyncio.ensure_future(self._look_up(host, port))

            def ended(done: asyncio.Future[list[str]]) -> None:
                del self._running[host, port]
                if not done.cancelled():
                    done.exception()  # its callers may have gone

            running.add_done_callback(ended)
        return running

    def check(self, address: str) -> None:
        """Raises AddressRefused."""
        if not is_allowed(address, allow_loopback=self.allow_loopback):
            raise AddressRefused("not a public address")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self.addresses(host, port)
        ]

    def open_socket(self, address: Any) -> socket.socket:
        """For a connector: the last check, of the address that is connected to. Raises AddressRefused."""
        family, kind, protocol, _, target = address
        self.check(str(target[0]))
        return socket.socket(family=family, type=kind, proto=protocol)

    async def close(self) -> None:
        for running in self._running.values():
            running.cancel()


async def _ask_system(host: str, port: int) -> list[str]:
    """In a thread of its own: the system's look-up cannot be cancelled, and may take much longer than its caller waits.

    Names with silent name servers would fill a pool of threads, and the process could not end before they are done.
    """
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[list[str]] = loop.create_future()

    def settle(found: list[str] | OSError) -> None:
        if answered.done():
            return
        if isinstance(found, OSError):
            answered.set_exception(found)
        else:
            answered.set_result(found)

    def ask() -> None:
        found: list[str] | OSError
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(row[4][0]) for row in rows))
        except OSError as error:
            found = error
        except UnicodeError:  # a label that is too long
            found = OSError("not a host name")
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=ask, name="vaultgraph-endpoint-dns", daemon=True).start()
    return await answered
