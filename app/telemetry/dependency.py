"""Logs the state of what the gateway depends on, when it changes."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_log = logging.getLogger("vaultgraph.dependency")
_SETTLED_S: Final = 5.0


class Dependency:
    """Whether one dependency works. `effect` says what happens while it does not.

    A success counts only some seconds after the last failure, so that an unstable dependency does not flood the log. It
    counts then even if it is the only one: an access token is fetched once an hour, a circuit closes once.
    """

    def __init__(self, name: str, effect: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._effect = effect
        self._clock = clock
        self._failed_at = 0.0
        self._settling: asyncio.TimerHandle | None = None
        self.is_up = True

    def failed(self, cause: str) -> None:
        """`cause` contains no data of a request or a reply."""
        self._failed_at = self._clock()
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        if self.is_up:
            self.is_up = False
            fields = {"dependency": self._name, "state": "down", "cause": cause}
            _log.warning("%s: %s; %s", self._name, cause, self._effect, extra=fields)

    def worked(self) -> None:
        if self.is_up:
            return
        left_s = self._failed_at + _SETTLED_S - self._clock()
        if left_s <= 0:
            self._recovered()
        elif self._settling is None:
            with suppress(RuntimeError):  # a thread without an event loop: its next success comes soon
                self._settling = asyncio.get_running_loop().call_later(left_s, self._recovered)

    def _recovered(self) -> None:
        self._settling = None
        if not self.is_up:
            self.is_up = True
            _log.warning("%s works again", self._name, extra={"dependency": self._name, "state": "up"})
