"""The configured faults, and how they match calls. `fault_middleware.py` applies them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Any

from app.sandbox.rewrite import Rewrite


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


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault; `path` is a prefix or ``*``, `method` a verb or ``*``, `times` None means unlimited.

    `is_committed` is the wire's ``commit``: the emulator processes the request, then its reply is discarded.
    """

    provider: str
    kind: FaultKind
    method: str = "*"
    path: str = "*"
    status: int = 500
    delay_ms: int = 0
    retry_after_s: float = 1
    times: int | None = None
    is_committed: bool = False
    rewrite: Rewrite | None = None
    id: str = ""

    def matches(self, method: str, path: str, *, is_token_route: bool) -> bool:
        """`path` in lower case. A star excludes token routes, so that a fault for the API does not hit them."""
        if self.method not in ("*", method):
            return False
        if self.path == "*":
            return not is_token_route
        return path.startswith(self.path.lower())

    def shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": self.id,
            "provider": self.provider,
            "method": self.method,
            "path": self.path,
            "kind": self.kind.value,
            "status": self.status,
            "delay_ms": self.delay_ms,
            "retry_after_s": self.retry_after_s,
            "times": self.times,
            "commit": self.is_committed,
        }
        if self.rewrite is not None:
            shown |= {
                "status": self.rewrite.status,
                "headers": dict(self.rewrite.headers),
                "body": self.rewrite.body,
                "set": dict(self.rewrite.values),
                "remove": list(self.rewrite.removed),
            }
        return shown


class FaultRegistry:
    """Configured faults, in insertion order.

    A call gets every matching `delay`, and the first other match.
    """

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ids = count(1)
        self._released = asyncio.Event()
        self._is_stopping = False

    def add(self, fault: Fault) -> Fault:
        fault.id = f"fault_{next(self._ids)}"
        self._faults.append(fault)
        return fault

    def remove(self, wanted: Callable[[Fault], bool] = lambda _fault: True) -> int:
        """Remove matching faults (default: all); returns their number."""
        kept = [fault for fault in self._faults if not wanted(fault)]
        removed = len(self._faults) - len(kept)
        self._faults = kept
        return removed

    def shown(self) -> list[dict[str, Any]]:
        return [fault.shown() for fault in self._faults]

    def take(self, provider: str, method: str, path: str, *, is_token_route: bool) -> tuple[float, Fault | None]:
        """The delay in seconds and the fault for this call; decrements their `times`."""
        if not self._faults:
            return 0.0, None
        lowered = path.lower()
        wait_ms, met = 0, None
        for fault in self._faults:
            if fault.provider != provider or not fault.matches(method, lowered, is_token_route=is_token_route):
                continue
            if fault.kind is not FaultKind.DELAY and met is not None:
                continue
            wait_ms += fault.delay_ms
            if fault.kind is not FaultKind.DELAY:
                met = fault
            if fault.times is not None:
                fault.times -= 1
        self._faults = [fault for fault in self._faults if fault.times != 0]
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
