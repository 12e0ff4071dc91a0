"""Redis or Valkey for values that replicas share and can do without."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from app.telemetry.dependency import Dependency

T = TypeVar("T")

_REST_S: Final = 1.0


class SharedRedis:
    """Never raises for an unavailable server: after a failure it is not called for a second.

    `without` says in the log what happens meanwhile. `within_s` is the timeout of each call.
    """

    def __init__(
        self, url: str, *, without: str, within_s: float = 0.1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        from redis.asyncio import Redis  # imported late: slow, and rarely needed
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError

        self._failures = (RedisError, OSError, TimeoutError)
        self.client: Any = Redis.from_url(
            url, socket_timeout=within_s, socket_connect_timeout=within_s, retry=Retry(NoBackoff(), 0)
        )
        self._state = Dependency("redis", without, clock=clock)
        self._clock = clock
        self._rest_until = float("-inf")

    @property
    def is_up(self) -> bool:
        return self._state.is_up

    async def attempt(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """The result of `call`; None if the server is unavailable."""
        if self._clock() < self._rest_until:
            return None
        try:
            found = await call()
        except self._failures as error:
            self._rest_until = self._clock() + _REST_S
            self._state.failed(type(error).__name__)
            return None
        if not self._state.is_up:
            self._state.worked()
        return found

    async def close(self) -> None:
        await self.client.aclose()
