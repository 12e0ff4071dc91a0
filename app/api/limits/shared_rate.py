"""Token buckets shared by replicas, in Redis or Valkey. While it is unavailable, each process counts by itself."""

import hashlib
import time
from collections.abc import Callable
from typing import Any, Final

from app.api.limits.rate import LocalBuckets, RateBudget, TokenGrant, wait_for
from app.caching.shared_redis import SharedRedis

# Atomic on the server, so that two replicas cannot both take the last token. Uses the server's clock.
_TAKE: Final = """
local b = redis.call('HMGET', KEYS[1], 'r', 'c', 't')
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local rate_r, max_r, rate_c, max_c = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local want_r, want_c = tonumber(ARGV[5]), tonumber(ARGV[6])
local r, c = max_r, max_c
if b[3] then
  local passed = math.max(0, now - tonumber(b[3]))
  r = math.min(max_r, tonumber(b[1]) + passed * rate_r)
  c = math.min(max_c, tonumber(b[2]) + passed * rate_c)
end
local taken = 0
if r >= want_r and c >= want_c then
  r, c, taken = r - want_r, c - want_c, 1
end
local left_r, left_c = string.format('%.6f', r), string.format('%.6f', c)
redis.call('HSET', KEYS[1], 'r', left_r, 'c', left_c, 't', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], math.ceil(math.max(max_r / rate_r, max_c / rate_c)) + 1)
return {taken, left_r, left_c}
"""


class RedisBuckets:
    def __init__(
        self,
        url: str,
        *,
        prefix: str = "vaultgraph:rate:",
        local: LocalBuckets | None = None,
        clock: Callable[[], float] = time.monotonic,
        within_s: float = 0.1,
    ) -> None:
        """`within_s` is the timeout of each call to Redis."""
        without = "rate limits are counted per process for now"
        self._redis = SharedRedis(url, without=without, within_s=within_s, clock=clock)
        self._take = self._redis.client.register_script(_TAKE)
        self._prefix = prefix
        self._local = local or LocalBuckets()

    @property
    def is_up(self) -> bool:
        """False while the server is unavailable."""
        return self._redis.is_up

    async def take(self, client: str, budget: RateBudget, requests: float, cost: float) -> TokenGrant:
        taken = await self._redis.attempt(lambda: self._take_shared(client, budget, requests, cost))
        return taken or self._local.take_now(client, budget, requests, cost)

    async def close(self) -> None:
        await self._redis.close()

    async def _take_shared(self, client: str, budget: RateBudget, requests: float, cost: float) -> TokenGrant:
        name = self._prefix + hashlib.sha256(client.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        arguments: list[Any] = [
            budget.requests_per_s, budget.requests_burst, budget.cost_per_s, budget.cost_burst, requests, cost
        ]  # fmt: skip
        is_taken, has_requests, has_cost = await self._take(keys=[name], args=arguments)
        left_requests, left_cost = float(has_requests), float(has_cost)
        if is_taken:
            return TokenGrant(left_requests, left_cost)
        wait_s = wait_for(budget, left_requests - requests, left_cost - cost)
        return TokenGrant(left_requests, left_cost, max(wait_s, 0.001))
