"""The idempotency key of each write to a vault: one for a step, however often the step is sent."""

from collections.abc import AsyncIterator

import pytest

from app.http.message import CallLike, Effect, VaultHttp, VaultReply, VaultRequest
from app.providers.base import VaultAdapter
from app.store import Store
from app.vault.enums import ProviderName
from app.vault.provider import Call
from tests.support.calls import soon
from tests.support.sandbox import RunningSandbox
from tests.support.writing import STAFF, Bench, bench_on, dead, open_store

JPMORGAN = ProviderName.JPMORGAN


class RecordingHttp:
    """Keeps the key of every write, and passes the call on."""

    def __init__(self, http: VaultHttp) -> None:
        self.keys: list[str | None] = []
        self._http = http

    async def send(self, request: VaultRequest, call: CallLike) -> VaultReply:
        assert isinstance(call, Call)
        if request.effect is Effect.WRITE:
            self.keys.append(call.idempotency_key)
        return await self._http.send(request, call)

    async def close(self) -> None:
        await self._http.close()


def record_keys(bench: Bench, name: ProviderName) -> RecordingHttp:
    vault = bench.providers[name]
    assert isinstance(vault, VaultAdapter)
    http = vault._http = RecordingHttp(vault._http)
    return http


@pytest.fixture
async def opened(sqlite_url: str) -> AsyncIterator[Store]:
    store = open_store(sqlite_url)
    yield store
    await store.close()


async def test_each_step_of_each_operation_has_its_own_key(sandbox: RunningSandbox, opened: Store) -> None:
    async with bench_on(sandbox, opened) as bench:
        http = record_keys(bench, JPMORGAN)
        for _ in range(2):
            result = await bench.add(JPMORGAN, make_default=True)
            assert result.problems == ()
            assert result.operation is not None
            assert all(key is not None and key.startswith(result.operation.id) for key in http.keys[-2:])
        assert len(set(http.keys)) == len(http.keys) == 4
        assert all(key is not None and len(key) <= 100 for key in http.keys)


async def test_a_step_that_is_sent_again_has_the_same_key(sandbox: RunningSandbox, opened: Store) -> None:
    """The first process dies when the answer is lost; the next one finds nothing at the vault and sends again."""
    async with bench_on(sandbox, opened) as bench:
        command = bench.adding(JPMORGAN)
        http, bench.die_at = record_keys(bench, JPMORGAN), "lost:add"
        sandbox.fault(JPMORGAN, "drop_before", method="POST", times=1)
        await dead(bench.writer.run(command, STAFF, soon()))
        bench.clock.advance(minutes=1)
        first = http.keys
    async with bench_on(sandbox, opened) as bench:
        http = record_keys(bench, JPMORGAN)
        result = await bench.writer.run(command, STAFF, soon())
        assert result.problems == ()
        assert (len(first), http.keys) == (1, first)
