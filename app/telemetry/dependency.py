"""Logs the state of what the gateway depends on, when it changes."""

import logging
import time
from collections.abc import Callable
from typing import Final

_log = logging.getLogger("vaultgraph.dependency")
_SETTLED_S: Final = 5.0


class Dependency:
    """Whether one dependency works. `effect` says what happens while it does not.

    A success counts only some seconds after the last failure, so that an unstable dependency does not flood the log.
    """

    def __init__(self, name: str, effect: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._effect = effect
        self._clock = clock
        self._failed_at = 0.0
        self.is_up = True

    def failed(self, cause: str) -> None:
        """`cause` contains no data of a request or a reply."""
        self._failed_at = self._clock()
        if self.is_up:
            self.is_up = False
            fields = {"dependency": self._name, "state": "down", "cause": cause}
            _log.warning("%s: %s; %s", self._name, cause, self._effect, extra=fields)

    def worked(self) -> None:
        if not self.is_up and self._clock() - self._failed_at >= _SETTLED_S:
            self.is_up = True
            _log.warning("%s works again", self._name, extra={"dependency": self._name, "state": "up"})
