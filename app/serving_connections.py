"""The connections of one server: how many there may be, and which one makes room for a newcomer.

Most connections that come to nothing come from few addresses and wait for their client: a head or a body that does not
arrive, a keep-alive connection nobody uses. So at a bound, the connection that waits longest is closed for the new one;
only where none waits is the new one refused.
"""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from app.addresses import TrustedProxies, bucket_of

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

_log = logging.getLogger("vaultgraph.serving")
_FILES_FOR_OTHERS: Final = 512  # the vaults' pools, the store, logs
SPARE: Final = 64  # connections beyond the bound that are told so; those beyond them are just closed


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

    def is_waiting(self) -> bool:
        """Whether it is the client's turn to send something."""
        ...

    def evict(self) -> None: ...


class Connections:
    """Which connections count for which address or caller, in the order in which they came to."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._groups: dict[str, dict[Held, None]] = {}  # by address, or by caller
        self._group_of: dict[Held, str] = {}

    def admit(self, newcomer: Held, address: str, held: Collection[Any]) -> int:
        """0, or the HTTP status to refuse with. `held` are all connections, WebSockets too, the newcomer included."""
        if len(held) > self._limits.connections:
            others = (one for one in held if one is not newcomer)
            if not self._make_room(self._group_of, others):
                return 503
        if address in self._limits.trusted_proxies:
            return 0
        group = f"address {bucket_of(address)}"
        return 0 if self._join(newcomer, group, self._limits.connections_per_address) else 429

    def claim(self, connection: Held, caller: str) -> bool:
        """The connection carries a request of this caller, and counts for it from now on; False where that one has too
        many, none of which waits."""
        self.release(connection)
        return self._join(connection, f"caller {caller}", self._limits.connections_per_caller)

    def release(self, connection: Held) -> None:
        group = self._group_of.pop(connection, None)
        if group is None:
            return
        members = self._groups[group]
        del members[connection]
        if not members:
            del self._groups[group]

    def _join(self, connection: Held, group: str, most: int) -> bool:
        members = self._groups.get(group, {})
        if len(members) >= most and not self._make_room(members):
            return False
        self._groups.setdefault(group, {})[connection] = None
        self._group_of[connection] = group
        return True

    def _make_room(self, first: Iterable[Held], then: Iterable[Any] = ()) -> bool:
        """Close the one of `first` that came first and waits; else any of `then` that waits."""
        for group in (first, then):
            for one in group:
                if getattr(one, "is_waiting", _never)():
                    self.release(one)
                    one.evict()
                    return True
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


def _never() -> bool:
    return False


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
