"""A log of every call to a vault, in order of arrival."""

import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

KEPT: Final = 100_000
"""Maximum number of calls kept; older ones are dropped and counted."""


@dataclass(slots=True)
class CallRecord:
    """One call. `path` is decoded, without provider prefix and query; `status` is None if no status was sent."""

    provider: str
    method: str
    path: str
    is_token_route: bool
    arrived: float = field(default_factory=time.time)
    status: int | None = None

    def shown(self) -> dict[str, Any]:
        """JSON form for `GET /__sandbox/calls`. `at` is machine time, not the sandbox clock."""
        at = datetime.fromtimestamp(self.arrived, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        row: dict[str, Any] = {
            "provider": self.provider,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "at": at,
        }
        if self.is_token_route:
            row["token_route"] = True
        return row


class CallLog:
    """Bounded, so that load tests do not exhaust memory."""

    def __init__(self, kept: int = KEPT) -> None:
        self._records: deque[CallRecord] = deque(maxlen=kept)
        self.forgotten = 0

    def arrived(self, provider: str, method: str, path: str, *, is_token_route: bool) -> CallRecord:
        if len(self._records) == self._records.maxlen:
            self.forgotten += 1
        record = CallRecord(provider, method, path, is_token_route)
        self._records.append(record)
        return record

    def shown(self, provider: str | None = None) -> list[dict[str, Any]]:
        return [record.shown() for record in self._records if provider in (None, record.provider)]

    def clear(self) -> None:
        self._records.clear()
        self.forgotten = 0
