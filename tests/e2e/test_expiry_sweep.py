"""The scheduled expiry job on two replicas over one PostgreSQL: EXPIRING and EXPIRED once for each card."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

from app.wallet.changes.daily_jobs import DailyJobs, Retention
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway
from tests.support.sandbox import RunningSandbox
from tests.support.streams import listening, until_joined
from tests.support.waiting import eventually

CARDS = """{ customer(id: "cus_alex") {
  paymentMethods(filter: { providers: [CASELLE], kinds: [CARD] }) { id ... on Card { expiry } }
} }"""


class Clock:
    """The time of both replicas' jobs."""

    def __init__(self) -> None:
        self.now = datetime(2034, 1, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@contextmanager
def sweeping(gateway: RunningGateway, clock: Clock) -> Iterator[DailyJobs]:
    """The gateway's daily job with another clock and pace."""
    keep = Retention(events=timedelta(days=10_000))  # events have the real time, years before the jobs'
    sweep = DailyJobs(gateway.gateway.store, every_s=0.05, soon_days=30, keep=keep, now=clock)

    async def begin() -> "asyncio.Task[None]":
        return asyncio.create_task(sweep.run())

    task = gateway.on_loop(begin())

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    try:
        yield sweep
    finally:
        gateway.on_loop(end())


def test_each_card_causes_one_event_however_often_and_wherever_the_job_runs(
    postgres_url: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    method = str(sandbox.held("caselle", "cus_88420")[0]["ref"])
    asked = {"provider": "caselle", "saved_payment_method_ids": [method], "exp_month": 3, "exp_year": 2034}
    sandbox.control("POST", "/noc", asked)
    first, second = (start_gateway(store={"url": postgres_url}) for _ in range(2))
    (card,) = first.data(CARDS)["customer"]["paymentMethods"]
    assert card["expiry"] == "2034-03"
    seen = first.gateway.store.observed_methods
    eventually(lambda: first.on_loop(seen.expiring("2034-03", "2034-03")), "the card noted")
    clock = Clock()
    with ExitStack() as stack:
        alex = stack.enter_context(listening(second, customer="cus_alex", types=["METHOD_EXPIRING", "METHOD_EXPIRED"]))
        until_joined(second)
        sweeps = [stack.enter_context(sweeping(gateway, clock)) for gateway in (first, second)]
        assert alex.is_silent(0.7)
        for instant, kind in (
            (datetime(2034, 3, 5, tzinfo=UTC), "METHOD_EXPIRING"),
            (datetime(2034, 4, 2, tzinfo=UTC), "METHOD_EXPIRED"),
        ):
            clock.now = instant
            heard = alex.next()
            assert (heard["type"], heard["paymentMethodId"]) == (kind, card["id"])
        for gateway, sweep in zip((first, second), sweeps, strict=True):
            assert gateway.on_loop(sweep.sweep()) == 0
        assert alex.is_silent(0.7)
        clock.now = datetime(2034, 12, 1, tzinfo=UTC)
        assert alex.is_silent(0.7)
