"""Logs each change of the store's availability once."""

import logging
import time
from collections.abc import Callable
from typing import Final

_log = logging.getLogger("vaultgraph.store")

_SETTLED_S: Final = 1.0


class Availability:
    """Availability of one store. Reads and writes are tracked separately (a full disk can still be read).

    A success counts only one second after the last failure, so an unstable store does not flood the log. Nothing is
    logged before the store was available once; opening it reports the error.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failing: set[str] = set()
        self.is_settled = False  # available once, and no current failure
        self._failed_at = 0.0
        self.reads = Access(self, "reads")
        self.writes = Access(self, "writes")

    @property
    def is_up(self) -> bool:
        return not self._failing

    def failed(self, kind: str, cause: str) -> None:
        self._failed_at = self._clock()
        was_settled, self.is_settled = self.is_settled, False
        if was_settled:
            fields = {"dependency": "store", "state": "down", "cause": cause}
            _log.error(
                "the store is unavailable (%s); requests that need it fail until it recovers", cause, extra=fields
            )
        self._failing.add(kind)

    def worked(self, kind: str) -> None:
        if self._failing and (kind not in self._failing or self._clock() - self._failed_at < _SETTLED_S):
            return
        was_failing = bool(self._failing)
        self._failing.discard(kind)
        self.is_settled = not self._failing
        if was_failing and self.is_settled:
            _log.warning("the store is available again", extra={"dependency": "store", "state": "up"})


class Access:
    """Reports successes and failures of reads or of writes."""

    __slots__ = ("_availability", "_kind")

    def __init__(self, availability: Availability, kind: str) -> None:
        self._availability = availability
        self._kind = kind

    def failed(self, cause: str) -> None:
        self._availability.failed(self._kind, cause)

    def worked(self) -> None:
        self._availability.worked(self._kind)
