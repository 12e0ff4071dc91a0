"""Rate limits: two token buckets per client, one for requests and one for cost in vault calls.

A refused request takes no tokens. Clients share nothing, so one over its budget does not slow another.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from msgspec import Struct

from app.api.problems import RequestRefused
from app.settings.model import RateSettings
from app.wallet.caller import Caller, CallerKind

_MOST_CLIENTS: Final = 50_000


@dataclass(frozen=True, slots=True)
class RateBudget:
    """The limits of one client: `*_per_s` is the refill rate of its buckets, `*_burst` their capacity."""

    requests_per_s: float
    requests_burst: float
    cost_per_s: float
    cost_burst: float


class TokenGrant(Struct):
    """The tokens left in both buckets. `wait_s` above 0 means that there were too few and none was taken."""

    requests: float
    cost: float
    wait_s: float = 0.0


class Buckets(Protocol):
    async def take(self, client: str, budget: RateBudget, requests: float, cost: float) -> TokenGrant: ...


class LocalBuckets:
    """Buckets of this process. If there are too many, those unused longest are dropped: they have refilled.

    Not an `LruCache`: that would cost four more Python calls a request.
    """

    def __init__(self, *, most: int = _MOST_CLIENTS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float, float]] = OrderedDict()

    async def take(self, client: str, budget: RateBudget, requests: float, cost: float) -> TokenGrant:
        return self.take_now(client, budget, requests, cost)

    def take_now(self, client: str, budget: RateBudget, requests: float, cost: float) -> TokenGrant:
        now = self._clock()
        try:
            level = self._levels[client]
        except KeyError:
            has_requests, has_cost = budget.requests_burst, budget.cost_burst
            if len(self._levels) >= self._most:
                self._levels.popitem(last=False)
        else:
            # Runs twice per request: comparisons cost a third of `min` and `max`.
            passed = now - level[2] if now > level[2] else 0.0
            has_requests, has_cost = level[0] + passed * budget.requests_per_s, level[1] + passed * budget.cost_per_s
            if has_requests > budget.requests_burst:
                has_requests = budget.requests_burst
            if has_cost > budget.cost_burst:
                has_cost = budget.cost_burst
            self._levels.move_to_end(client)
        wait_s = 0.0
        if has_requests >= requests and has_cost >= cost:
            has_requests, has_cost = has_requests - requests, has_cost - cost
        else:
            wait_s = wait_for(budget, has_requests - requests, has_cost - cost)
        self._levels[client] = (has_requests, has_cost, now)
        return TokenGrant(has_requests, has_cost, wait_s)


def wait_for(budget: RateBudget, requests_left: float, cost_left: float) -> float:
    """Seconds until both are at least 0."""
    if requests_left >= 0 and cost_left >= 0:
        return 0.0
    return max(-requests_left / budget.requests_per_s, -cost_left / budget.cost_per_s)


class RateLimiter:
    """The rate limiter. Counts requests locally, before parsing; cost, once known, in `shared` buckets if replicas have
    them.
    """

    def __init__(
        self, budgets: Mapping[CallerKind, RateBudget], shared: Buckets | None = None, local: LocalBuckets | None = None
    ) -> None:
        self._budgets = budgets
        self._local = local or LocalBuckets()
        self._shared = shared
        self.is_local = shared is None

    def request(self, caller: Caller) -> None:
        """Count one request; raises RequestRefused(THROTTLED)."""
        budget = self._budgets[caller.kind]
        taken = self._local.take_now(caller.key, budget, 1.0, 0.0)
        if taken.wait_s:
            raise _throttled(taken.wait_s, "requests")

    async def cost(self, caller: Caller, cost: int) -> dict[str, Any]:
        """Charge the request's cost; raises RequestRefused(THROTTLED). Returns `extensions.cost.throttle`."""
        if self._shared is None:
            return self.cost_now(caller, cost)
        return self.cost_now(caller, cost, await self._shared.take(caller.key, self._budgets[caller.kind], 1.0, cost))

    def cost_now(self, caller: Caller, cost: int, taken: TokenGrant | None = None) -> dict[str, Any]:
        """As `cost`, for buckets of this process, or for what was `taken` from shared ones."""
        budget = self._budgets[caller.kind]
        if taken is None:
            taken = self._local.take_now(caller.key, budget, 0.0, cost)
        throttle = {
            "maximumAvailable": int(budget.cost_burst),
            "currentlyAvailable": int(taken.cost) if taken.cost > 0 else 0,
            "restoreRate": budget.cost_per_s,
        }
        if taken.wait_s:
            if cost > budget.cost_burst:
                raise RequestRefused(
                    "COST_ESTIMATED_TOO_EXPENSIVE",
                    f"The request may cost {cost} calls to vaults; this client's limit is {budget.cost_burst:g}.",
                    cost={"requested": cost, "maximum": math.floor(budget.cost_burst)},
                )
            raise _throttled(taken.wait_s, "cost", throttle, cost)
        return throttle


def budgets_of(settings: RateSettings) -> dict[CallerKind, RateBudget]:
    sections = {
        CallerKind.STAFF: settings.staff,
        CallerKind.PARTNER: settings.partner,
        CallerKind.END_USER: settings.end_user,
    }
    return {
        kind: RateBudget(one.requests_per_s, one.requests_burst, one.cost_per_s, one.cost_burst)
        for kind, one in sections.items()
    }


def _throttled(
    wait_s: float, what: str, throttle: Mapping[str, Any] | None = None, cost: int | None = None
) -> RequestRefused:
    seconds = max(1, math.ceil(wait_s))
    extensions: dict[str, Any] = {"retryAfterSeconds": seconds}
    if throttle is not None:
        extensions["cost"] = {"requested": cost, "throttle": throttle}
    return RequestRefused(
        "THROTTLED",
        f"This client's budget of {what} is used up: try again in {seconds} s.",
        headers={"retry-after": str(seconds)},
        **extensions,
    )
