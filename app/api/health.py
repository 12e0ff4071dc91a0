"""`/healthz`: liveness. `/readyz`: readiness, with the names of failing probes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request

from app.api.response import HttpResponse, encode

Probe = Callable[[], Awaitable[object]]
"""Fails if it raises or returns False."""
_PROBE_WITHIN_S: Final = 2.0


async def healthz(_: Request) -> HttpResponse:
    return HttpResponse(200, encode({"status": "ok"}))


async def readyz(probes: Mapping[str, Probe]) -> HttpResponse:
    """200 if every probe succeeds, else 503. A probe that raises or times out fails."""
    results = await asyncio.gather(*(_holds(probe) for probe in probes.values()))
    failing = [name for name, holds in zip(probes, results, strict=True) if not holds]
    body = {"status": "not ready" if failing else "ready", "failing": failing}
    return HttpResponse(503 if failing else 200, encode(body), headers={"retry-after": "1"} if failing else {})


async def _holds(probe: Probe) -> bool:
    try:
        async with asyncio.timeout(_PROBE_WITHIN_S):
            return await probe() is not False
    except Exception:  # noqa: BLE001 - whatever a probe raises means the same: not ready
        return False
