"""Limits the connections of one server, evicting idle ones.

Most useless connections come from few addresses and wait for their client: for a head or a body that does not arrive,
or as idle keep-alive connections. At a limit, the oldest waiting connection is closed for the new one; if none waits,
the new one is refused. The limits per address and caller spare connections that have waited for less than 3 s: in a
burst, their requests may have arrived without having been read.
"""

import contextlib
import logging
from collections.abc import Callable, Sized
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf
from typing import Any, Final, Protocol

from app.server.addresses import TrustedProxies, bucket_of

try:
    import resource
except ImportError:  # not available on Windows
    resource = None  # type: ignore[assignment]

_log = logging.getLogger("vaultgraph.serving")
_FILES_FOR_OTHERS: Final = 512  # for the vaults' connection pools, the store and logs
_LEFT_ALONE_S: Final = 3.0
_LOOKED_AT: Final = 16
SPARE: Final = 64  # connections beyond the limit that get a response; further ones are closed without

_Group = tuple[str, str]  # kind ("address" or "caller") and key
_OF_PROXIES: Final[_Group] = ("proxies", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Timeouts of a client in seconds, each absolute, and limits on the number of connections.

    `send_timeout_s` limits how long a client may take to read a response. `connections` limits the process,
    `connections_per_address` those of one address without an authenticated request yet, `connections_per_caller` those
    whose last request came from one caller. `trusted_proxies` connect for many clients and have no limit per address.
    """

    head_timeout_s: float = 10.0
    body_timeout_s: float = 11.0
    send_timeout_s: float = 10.0
    keep_alive_s: float = 75.0
    connections: int = 8_000
    connections_per_address: int = 100
    connections_per_caller: int = 2_000
    trusted_proxies: TrustedProxies = field(default_factory=TrustedProxies)

    def within_open_files(self) -> "ConnectionLimits":
        """These limits, reduced to the number of files that the process may open. Raises its soft limit first."""
        most = _raise_open_files(self.connections + SPARE + _FILES_FOR_OTHERS)
        allowed = max(most - SPARE - _FILES_FOR_OTHERS, most // 2)
        if allowed >= self.connections:
            return self
        _log.warning("at most %d connections at once: this process may open %d files (ulimit -n)", allowed, most)
        return replace(self, connections=allowed)


class LimitedConnection(Protocol):
    """One connection, for the limits."""

    def waits_since(self) -> float:
        """Since when, in the loop's time, the server has been waiting for the client; inf if it is not."""

    def has_unread(self) -> bool:
        """True if the client sent data that the server has not read yet."""

    def evict(self) -> None: ...


class Connections:
    """The connections of each address and caller, in order of arrival."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._groups: dict[_Group, dict[LimitedConnection, None]] = {}
        self._group_of: dict[LimitedConnection, _Group] = {}

    def admit(self, newcomer: LimitedConnection, address: str, all_connections: Sized, now: float) -> int:
        """0, or the HTTP status to refuse with. `all_connections` includes WebSockets and the new one."""
        if len(all_connections) > self._limits.connections and not self._make_room(self._group_of, now, 0.0):
            return 503
        if address in self._limits.trusted_proxies:
            return 0 if self._join(newcomer, _OF_PROXIES, now) else 429
        return 0 if self._join(newcomer, ("address", bucket_of(address)), now) else 429

    def claim(self, connection: LimitedConnection, caller: str, now: float) -> bool:
        """Count the connection for this caller from now on. False if it has too many and none can be evicted."""
        self.release(connection)
        return self._join(connection, ("caller", caller), now)

    def release(self, connection: LimitedConnection) -> None:
        group = self._group_of.pop(connection, None)
        if group is None:
            return
        members = self._groups[group]
        del members[connection]
        if not members:
            del self._groups[group]

    def trim(self, now: float) -> None:
        """Evict connections of groups that exceeded their limit during a burst."""
        for group in [group for group, members in self._groups.items() if len(members) > self._most(group)]:
            while len(self._groups[group]) > self._most(group) and self._make_room(self._groups[group], now):
                pass

    def _join(self, connection: LimitedConnection, group: _Group, now: float) -> bool:
        members = self._groups.get(group, {})
        is_full = len(members) >= self._most(group) and not self._make_room(members, now)
        if is_full and all(one.waits_since() == inf for one in members):
            return False
        self._groups.setdefault(group, {})[connection] = None
        self._group_of[connection] = group
        return True

    def _most(self, group: _Group) -> float:
        if group is _OF_PROXIES:
            return inf
        limits = self._limits
        return limits.connections_per_address if group[0] == "address" else limits.connections_per_caller

    def _make_room(
        self, candidates: dict[LimitedConnection, Any], now: float, left_alone_s: float = _LEFT_ALONE_S
    ) -> bool:
        """Evict the first connection that has waited long enough. Looks at a few; others move to the end."""
        for one in list(islice(candidates, _LOOKED_AT)):
            if now - one.waits_since() >= left_alone_s and not one.has_unread():
                self.release(one)
                one.evict()
                return True
            candidates[one] = candidates.pop(one)
        return False


class ClientConnection:
    """A request's connection as applications see it: ``scope["state"]["connection"]``.

    `caller` is the authenticated caller that it counts for. `head` belongs to the application: what it read from the
    head of the last request. A head of the same bytes as before has the same list of headers.
    """

    __slots__ = ("_claim", "_drop", "caller", "head")

    def __init__(self, claim: Callable[[str], bool], drop: Callable[[], None]) -> None:
        self._claim: Callable[[str], bool] | None = claim
        self._drop: Callable[[], None] | None = drop
        self.caller = ""
        self.head: Any = None

    def authenticated(self, caller: str) -> bool:
        """Count the connection for this authenticated caller. False if the caller has too many connections."""
        if caller == self.caller or self._claim is None:
            return True
        is_welcome = self._claim(caller)
        self.caller = caller if is_welcome else ""
        return is_welcome

    def drop(self) -> None:
        """Close without completing the response, so that the client sees that it is truncated."""
        if self._drop is not None:
            self._drop()

    def forget(self) -> None:
        """The connection is closed; drop references that would keep it alive."""
        self._claim = self._drop = self.head = None


def _raise_open_files(wanted: int) -> int:
    """The number of files that the process may open, after raising its soft limit towards `wanted`, within the hard
    limit.
    """
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if soft == resource.RLIM_INFINITY else soft
