"""Network addresses: clients, trusted proxies and forwarding headers."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

_MOST_HOPS: Final = 50
_IPV6_CUSTOMER_BITS: Final = 64  # one subscriber's prefix: counting single addresses would limit nothing


class TrustedProxies:
    """The addresses whose `X-Forwarded-For` and `Forwarded` headers are trusted."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(ip_network(network) for network in networks)

    def __contains__(self, address: object) -> bool:
        if not self._networks or not isinstance(address, str):
            return False
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def client_of(self, peer: str, headers: Mapping[str, str]) -> str:
        """The address of the client that `peer` connects for; `peer` itself unless it is a trusted proxy.

        A proxy appends the address that connected to it, so hops are read from the right, and the first that is not a
        trusted proxy is the client; everything left of it is unverified. A hop that is no address ends the search at
        the proxy that reported it. A proxy passes on a header that it does not write, so two headers that disagree are
        both ignored. `headers` have lower-case names, repeated ones joined by commas.
        """
        if peer not in self:
            return peer
        chains = []
        if "x-forwarded-for" in headers:
            chains.append(headers["x-forwarded-for"].split(","))
        if "forwarded" in headers:
            chains.append([_forwarded_for(element) for element in headers["forwarded"].split(",")])
        found = {self._walk(peer, chain) for chain in chains}
        return found.pop() if len(found) == 1 else peer

    def _walk(self, peer: str, hops: list[str]) -> str:
        client = peer
        for hop in reversed(hops[-_MOST_HOPS:]):
            address = _parsed(_without_port(hop))
            if address is None:
                return client
            client = str(address)
            if client not in self:
                return client
        return client


def bucket_of(address: str) -> str:
    """The key under which connections of this address are counted: the address, or for IPv6 its /64."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed), _IPV6_CUSTOMER_BITS), strict=False))
    return address if parsed is None else str(parsed)


def is_ip_address(text: str) -> bool:
    """True if the text, with or without brackets, is an IP address."""
    return _parsed(text.strip("[]")) is not None


def is_loopback(text: str) -> bool:
    """True if the text, with or without brackets, is a loopback address."""
    address = _parsed(text.strip("[]"))
    return address is not None and address.is_loopback


def is_loopback_host(name: str) -> bool:
    """True for a loopback address, and for a name that always means this machine."""
    name = name.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost") or is_loopback(name)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """IPv4 within IPv6 (``::ffff:192.0.2.1``) becomes IPv4; a zone (``fe80::1%eth0``) is dropped."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _without_port(hop: str) -> str:
    """``192.0.2.1:4711`` and ``[2001:db8::1]:4711`` without brackets and port."""
    hop = hop.strip().strip('"')
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _forwarded_for(element: str) -> str:
    """The `for` parameter of one element (RFC 7239), or ""."""
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return value.strip()
    return ""
