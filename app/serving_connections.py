"""The connections of one server: how many there may be, and which one makes room for a newcomer.

Most connections that come to nothing come from few addresses and wait for their client: a head or a body that does not
arrive, a keep-alive connection nobody uses. So at a bound, the connection that came first and waits is closed for the
new one; only where none waits is the new one refused. The bounds of addresses and callers leave one alone that has
waited for less than 3 s: in a burst of connections, requests have arrived that were not read yet.
"""

import contextlib
import logging
from collections.abc import Callable, Sized
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf
from typing import Any, Final, Protocol

from app.addresses import TrustedProxies, bucket_of

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

_log = logging.getLogger("vaultgraph.serving")
_FILES_FOR_OTHERS: Final = 512  # the vaults' pools, the store, logs
_LEFT_ALONE_S: Final = 3.0
_LOOKED_AT: Final = 16
SPARE: Final = 64  # connections beyond the bound that are told so; those beyond them are just closed

_Group = tuple[str, str]  # address or caller, and which
_OF_PROXIES: Final[_Group] = ("proxies", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Seconds that a client may take for each part of its work, all absolute, and how many connections there may be.

    `send_timeout_s` is for taking an answer. `connections` bounds the process, `connections_per_address` those of one
    address that carried no authenticated request yet, `connections_per_caller` those whose last request was of one
    caller. `trusted_proxies` connect for many clients, and are not bound as an address.
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
        """The same, with no more connections than the process may open files. Raises its soft limit first."""
        most = _raise_open_files(self.connections + SPARE + _FILES_FOR_OTHERS)
        allowed = max(most - SPARE - _FILES_FOR_OTHERS, most // 2)
        if allowed >= self.connections:
            return self
        _log.warning("at most %d connections at once: this process may open %d files (ulimit -n)", allowed, most)
        return replace(self, connections=allowed)


class Held(Protocol):
    """One connection, as the bounds see it."""

    def waits_since(self) -> float:
        """Since when, in the loop's time, it is the client's turn to send something; inf while it is not."""
        ...

    def has_unread(self) -> bool:
        """Whether the client did send something, which the server has not come to read."""
        ...

    def evict(self) -> None: ...


class Connections:
    """Which connections count for which address or caller, in the order in which they came to."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._groups: dict[_Group, dict[Held, None]] = {}
        self._group_of: dict[Held, _Group] = {}

    def admit(self, newcomer: Held, address: str, held: Sized, now: float) -> int:
        """0, or the HTTP status to refuse with. `held` are all connections, WebSockets too, the newcomer included."""
        if len(held) > self._limits.connections and not self._make_room(self._group_of, now, 0.0):
            return 503
        if address in self._limits.trusted_proxies:
            return 0 if self._join(newcomer, _OF_PROXIES, now) else 429
        return 0 if self._join(newcomer, ("address", bucket_of(address)), now) else 429

    def claim(self, connection: Held, caller: str, now: float) -> bool:
        """The connection carries a request of this caller, and counts for it from now on; False where that one has too
        many, none of which waits."""
        self.release(connection)
        return self._join(connection, ("caller", caller), now)

    def release(self, connection: Held) -> None:
        group = self._group_of.pop(connection, None)
        if group is None:
            return
        members = self._groups[group]
        del members[connection]
        if not members:
            del self._groups[group]

    def trim(self, now: float) -> None:
        """Bring groups that a burst took beyond their bound back to it."""
        for group in [group for group, members in self._groups.items() if len(members) > self._most(group)]:
            while len(self._groups[group]) > self._most(group) and self._make_room(self._groups[group], now):
                pass

    def _join(self, connection: Held, group: _Group, now: float) -> bool:
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

    def _make_room(self, candidates: dict[Held, Any], now: float, left_alone_s: float = _LEFT_ALONE_S) -> bool:
        """Close the first that waits, and has for that long. Few are looked at; those that cannot go come last then."""
        for one in list(islice(candidates, _LOOKED_AT)):
            if now - one.waits_since() >= left_alone_s and not one.has_unread():
                self.release(one)
                one.evict()
                return True
            candidates[one] = candidates.pop(one)
        return False


class ClientConnection:
    """What the application sees of the connection that a request came by: ``scope["state"]["connection"]``."""

    __slots__ = ("_caller", "_claim", "_drop")

    def __init__(self, claim: Callable[[str], bool], drop: Callable[[], None]) -> None:
        self._claim: Callable[[str], bool] | None = claim
        self._drop: Callable[[], None] | None = drop
        self._caller = ""

    def authenticated(self, caller: str) -> bool:
        """The request proved that this caller sends it. False where the caller has too many connections."""
        if caller == self._caller or self._claim is None:
            return True
        is_welcome = self._claim(caller)
        self._caller = caller if is_welcome else ""
        return is_welcome

    def drop(self) -> None:
        """Close without finishing the answer, so that the client sees it was cut short."""
        if self._drop is not None:
            self._drop()

    def forget(self) -> None:
        """The connection is gone; nothing here may keep it alive."""
        self._claim = self._drop = None


def _raise_open_files(wanted: int) -> int:
    """How many files the process may open, after the soft limit was raised towards `wanted`, within the hard one."""
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if soft == resource.RLIM_INFINITY else soft
