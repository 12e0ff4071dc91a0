"""The configured faults, and how they match calls. `fault_middleware.py` applies them."""

import asyncio
from enum import StrEnum
from itertools import count
from typing import Annotated, Any

import orjson
from msgspec import Meta, Struct, to_builtins

from app.sandbox.rewrite import Headers, Pointer, rewritten

_Word = Annotated[str, Meta(min_length=1)]
_Status = Annotated[int, Meta(ge=200, le=599)]
_Header = Annotated[str, Meta(pattern=r"^[ -~]*\Z")]


class FaultKind(StrEnum):
    DELAY = "delay"
    HANG = "hang"
    STATUS = "status"
    THROTTLE = "throttle"
    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    TRUNCATE = "truncate"
    GARBAGE = "garbage"
    REWRITE = "rewrite"


class Fault(Struct, kw_only=True, forbid_unknown_fields=True):
    """One fault, as ``POST /faults`` takes and shows it: `path` is a prefix or ``*``, `method` a verb or ``*``, `times`
    None means unlimited. `commit`: the emulator processes the request, then its reply is discarded.
    """

    provider: _Word
    kind: FaultKind
    method: _Word = "*"
    path: _Word = "*"
    status: _Status = 500
    delay_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 0
    retry_after_s: Annotated[float, Meta(ge=0, le=86_400)] = 1
    times: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    commit: bool = False

    def __post_init__(self) -> None:
        if self.kind is FaultKind.DELAY and not self.delay_ms:
            raise ValueError("delay_ms: A delay needs it.")
        self.method = self.method.upper()
        if self.path != "*":
            self.path = f"/{self.path.removesuffix('*').removeprefix('/')}"

    def matches(self, method: str, path: str, *, is_token_route: bool) -> bool:
        """`path` in lower case. A star excludes token routes, so that a fault for the API does not hit them."""
        if self.method not in ("*", method):
            return False
        if self.path == "*":
            return not is_token_route
        return path.startswith(self.path.lower())


class RewriteFault(Fault, kw_only=True):
    """Changes the emulator's reply; None or empty keeps the emulator's value.

    `headers` maps a name to its new value, or to None to remove it. `body` replaces the whole body: text as it is,
    anything else as JSON. `set` and `remove` hold JSON Pointers into a JSON body, in which ``*`` stands for every
    element or member and a final ``-`` appends to an array; a pointer that matches nothing is ignored.
    """

    status: _Status | None = None  # type: ignore[assignment]
    headers: dict[str, _Header | None] = {}
    body: Any = None
    set: dict[Pointer, Any] = {}
    remove: list[Pointer] = []

    def apply(self, status: int, headers: Headers, body: bytes) -> tuple[int, Headers, bytes]:
        """The changed reply. `set` and `remove` ignore a body that is not JSON."""
        if self.body is not None:
            body = self.body.encode() if isinstance(self.body, str) else orjson.dumps(self.body)
        elif self.set or self.remove:
            body = rewritten(body, self.set, self.remove)
        changed = {name.lower().encode(): value for name, value in self.headers.items()}
        others = [(name, value) for name, value in headers if name.lower() not in changed]
        added = [(name, value.encode()) for name, value in changed.items() if value is not None]
        return (status if self.status is None else self.status), [*others, *added], body


class FaultRegistry:
    """Configured faults, in insertion order.

    A call gets every matching `delay`, and the first other match.
    """

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._ids = count(1)
        self._released = asyncio.Event()
        self._is_stopping = False

    def add(self, fault: Fault) -> dict[str, Any]:
        name = f"fault_{next(self._ids)}"
        self._faults[name] = fault
        return {"id": name, **to_builtins(fault)}

    def remove(self, provider: str | None = None, *, fault_id: str | None = None) -> int:
        """Remove the faults of a provider or one fault, by default all; returns their number."""
        gone = [
            name
            for name, fault in self._faults.items()
            if provider in (None, fault.provider) and fault_id in (None, name)
        ]
        for name in gone:
            del self._faults[name]
        return len(gone)

    def shown(self) -> list[dict[str, Any]]:
        return [{"id": name, **to_builtins(fault)} for name, fault in self._faults.items()]

    def take(self, provider: str, method: str, path: str, *, is_token_route: bool) -> tuple[float, Fault | None]:
        """The delay in seconds and the fault for this call; decrements their `times`."""
        if not self._faults:
            return 0.0, None
        lowered = path.lower()
        wait_ms, met = 0, None
        for fault in self._faults.values():
            if fault.provider != provider or not fault.matches(method, lowered, is_token_route=is_token_route):
                continue
            if fault.kind is not FaultKind.DELAY and met is not None:
                continue
            wait_ms += fault.delay_ms
            if fault.kind is not FaultKind.DELAY:
                met = fault
            if fault.times is not None:
                fault.times -= 1
        self._faults = {name: fault for name, fault in self._faults.items() if fault.times != 0}
        return wait_ms / 1000, met

    @property
    def released(self) -> asyncio.Event:
        """An event that is set when held requests must end."""
        return self._released

    def release_held(self) -> None:
        """End every request held by a hang or delay, so that a test's writes do not reach the next test."""
        self._released.set()
        if not self._is_stopping:
            self._released = asyncio.Event()

    def stop(self) -> None:
        """Hold no requests from now on: the server is shutting down."""
        self._is_stopping = True
        self._released.set()
