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
    address that carry no authenticated request yet; `trusted_proxies` connect for many clients and are not bound by it.
    """

    head_timeout_s: float = 10.0
    body_timeout_s: float = 11.0
    send_timeout_s: float = 10.0
    keep_alive_s: float = 75.0
    connections: int = 8_000
    connections_per_address: int = 100
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
    """`held` are all connections, WebSockets too, the newcomer included."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._strangers: dict[str, dict[Held, None]] = {}  # by address, the oldest first
        self._order: dict[Held, str] = {}  # the same of all addresses

    def admit(self, newcomer: Held, address: str, held: Collection[Any]) -> int:
        """0, or the HTTP status to refuse with."""
        if len(held) > self._limits.connections:
            others = (one for one in held if one is not newcomer)
            if not self._make_room(self._order, others):
                return 503
        if address in self._limits.trusted_proxies:
            return 0
        bucket = bucket_of(address)
        known = self._strangers.get(bucket, {})
        if len(known) >= self._limits.connections_per_address and not self._make_room(known):
            return 429
        self._strangers.setdefault(bucket, {})[newcomer] = None
        self._order[newcomer] = bucket
        return 0

    def release(self, connection: Held) -> None:
        """It carried an authenticated request, or has ended: it no longer counts for its address."""
        bucket = self._order.pop(connection, None)
        if bucket is None:
            return
        strangers = self._strangers[bucket]
        del strangers[connection]
        if not strangers:
            del self._strangers[bucket]

    def _make_room(self, first: Iterable[Held], then: Iterable[Any] = ()) -> bool:
        """Close the one of `first` that came first and waits; else any that waits."""
        for group in (first, then):
            for one in group:
                if getattr(one, "is_waiting", _never)():
                    self.release(one)
                    one.evict()
                    return True
        return False


class ClientConnection:
    """What the application sees of the connection that a request came by: ``scope["state"]["connection"]``."""

    __slots__ = ("_on_authenticated", "_on_drop")

    def __init__(self, on_authenticated: Callable[[], None], on_drop: Callable[[], None]) -> None:
        self._on_authenticated: Callable[[], None] | None = on_authenticated
        self._on_drop: Callable[[], None] | None = on_drop

    def authenticated(self) -> None:
        """The request proved who sends it: the connection no longer counts for its address alone."""
        if self._on_authenticated is not None:
            self._on_authenticated()
            self._on_authenticated = None

    def drop(self) -> None:
        """Close without finishing the answer, so that the client sees it was cut short."""
        if self._on_drop is not None:
            self._on_drop()

    def forget(self) -> None:
        """The connection is gone; nothing here may keep it alive."""
        self._on_authenticated = self._on_drop = None


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
