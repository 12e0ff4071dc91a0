"""Many clients at once: load on a vault, fairness, and refusals."""

import asyncio
import json
from collections import Counter
from typing import Any

import aiohttp
import pytest

from app.api.auth.development import DevTokens
from app.store import Transaction
from app.store.directory import create_customer, link_customer
from app.vault.enums import CustomerRef, LinkProof, ProviderName
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, each_vault, sources
from tests.support.raw_server import ReceivedRequest, raw_server, reply
from tests.support.sandbox import RunningSandbox

ALOHA_ONLY = """query ($id: ID!) { customer(id: $id) {
  paymentMethods(filter: {providers: [ALOHA]}) { id } sources { provider state retryAfterSeconds } } }"""
UNLIMITED = {"staff": {"requests_per_s": 1e6, "requests_burst": 1e6, "cost_per_s": 1e6, "cost_burst": 1e6}}


class Vault:
    """Aloha's list with a delay, counting concurrent calls."""

    def __init__(self, moment_s: float) -> None:
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.now = self.most = 0
        self.order: list[str] = []
        self._moment_s = moment_s

    async def __call__(self, asked: ReceivedRequest) -> bytes:
        self.now += 1
        self.most = max(self.most, self.now)
        self.order.append(asked.target.split("/")[-2])
        try:
            await self.may_answer.wait()
            await asyncio.sleep(self._moment_s)
        finally:
            self.now -= 1
        return reply(200, b"[]")


def guid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


async def _linked(gateway: RunningGateway, count: int) -> list[str]:
    """Create customers that are linked at Aloha."""
    store = gateway.gateway.store

    def create(tx: Transaction, ids: list[str]) -> None:
        for number, customer in enumerate(ids):
            email = f"{number}@example.com"
            create_customer(tx, customer_id=customer, external_id=customer, first_name="A", last_name="B", email=email)
            link_customer(
                tx,
                customer,
                ProviderName.ALOHA,
                CustomerRef(guid(number)),
                proof=LinkProof.TRUSTED_BACKEND,
                linked_by="test",
            )

    async def make() -> list[str]:
        ids = [f"cus_crowd-{number:05d}" for number in range(count)]
        await store.transaction(create, ids)
        return ids

    return await asyncio.to_thread(gateway.on_loop, make())


async def _asked_together(gateway: RunningGateway, customers: list[str], names: list[str]) -> list[Counter[str]]:
    """Concurrent requests, each on its own connection; Aloha's states per client name."""
    tokens = DevTokens.open(gateway.data_dir)
    bearer = {name: {"authorization": f"Bearer {tokens.mint(name=name)}"} for name in set(names)}
    found: dict[str, Counter[str]] = {name: Counter() for name in bearer}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(f"{gateway.url}", connector=connector) as session:

        async def one(customer: str, name: str) -> None:
            body = json.dumps({"query": ALOHA_ONLY, "variables": {"id": customer}}).encode()
            headers = {"content-type": "application/json", **bearer[name]}
            async with session.post("/graphql", data=body, headers=headers) as answer:
                answered: Any = await answer.json()
                if answer.status != 200:
                    found[name][str(answer.status)] += 1
                else:
                    found[name][sources(answered["data"]["customer"])["ALOHA"]] += 1

        await asyncio.gather(*(one(customer, name) for customer, name in zip(customers, names, strict=True)))
    return [found[name] for name in dict.fromkeys(names)]


def _behind(url: str, **aloha: Any) -> dict[str, Any]:
    settings = each_vault(deadline_s=60, fresh_for_s=0, stale_if_error_for_s=0)
    more = {"base_url": url, "queue_wait_s": 60, "queue_limit": 5_000, **aloha}
    gate = {"connections_per_address": 5_000, "connections_per_caller": 5_000}
    return {
        **settings,
        "aloha": {**settings["aloha"], **more},
        "request_deadline_s": 60,
        "rate": UNLIMITED,
        "gate": gate,
    }


async def test_two_thousand_requests_at_once_never_exceed_the_cap(start_gateway: StartGateway) -> None:
    vault = Vault(0.001)
    vault.may_answer.clear()
    async with raw_server(vault) as server:
        gateway = await asyncio.to_thread(start_gateway, **_behind(server.url, concurrency=32))
        http_client = gateway.gateway.providers[ProviderName.ALOHA].http_client  # type: ignore[attr-defined]
        customers = await _linked(gateway, 2_000)
        asking = asyncio.create_task(_asked_together(gateway, customers, ["crowd"] * len(customers)))
        while http_client.in_flight + http_client.waiting < 2_000 or vault.now < 32:
            await asyncio.sleep(0.01)
        assert http_client.in_flight == vault.now == 32
        vault.may_answer.set()
        assert await asking == [{"OK": 2_000}]
        assert (len(vault.order), vault.most) == (2_000, 32)
        assert (http_client.in_flight, http_client.waiting) == (0, 0)


async def test_a_small_client_does_not_wait_for_a_greedy_one(start_gateway: StartGateway) -> None:
    vault = Vault(0.001)
    vault.may_answer.clear()
    async with raw_server(vault) as server:
        gateway = await asyncio.to_thread(start_gateway, **_behind(server.url, concurrency=4))
        http_client = gateway.gateway.providers[ProviderName.ALOHA].http_client  # type: ignore[attr-defined]
        customers = await _linked(gateway, 320)
        greedy = asyncio.create_task(_asked_together(gateway, customers[:300], ["greedy"] * 300))
        while http_client.waiting < 296:
            await asyncio.sleep(0.01)
        small = asyncio.create_task(_asked_together(gateway, customers[300:], ["small"] * 20))
        while http_client.waiting < 316:
            await asyncio.sleep(0.01)
        vault.may_answer.set()
        assert (await small, await greedy) == ([{"OK": 20}], [{"OK": 300}])
    places = [place for place, ref in enumerate(vault.order) if ref >= guid(300)]
    assert places[-1] < 4 + 2 * 20 + 4, "the small client got every other slot"


async def test_the_queue_is_bounded_and_then_throttled(start_gateway: StartGateway) -> None:
    vault = Vault(0)
    vault.may_answer.clear()
    async with raw_server(vault) as server:
        settings = _behind(server.url, concurrency=2, queue_limit=10, queue_wait_s=0.2)
        gateway = await asyncio.to_thread(start_gateway, **settings)
        customers = await _linked(gateway, 40)
        waiting = {asyncio.create_task(_asked_together(gateway, [customer], ["crowd"])) for customer in customers}
        refused: list[list[Counter[str]]] = []
        while len(waiting) > 2:  # while the vault is silent, all but the two in flight are answered
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            refused += [task.result() for task in done]
        vault.may_answer.set()
        assert refused == [[{"THROTTLED": 1}]] * 38
        assert await asyncio.gather(*waiting) == [[{"OK": 1}]] * 2
        assert (len(vault.order), vault.most) == (2, 2)


def test_a_storm_with_an_expired_token_makes_one_token_request(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    settings = each_vault(deadline_s=20, fresh_for_s=0, queue_wait_s=20)
    gateway = start_gateway(**settings, request_deadline_s=20, rate=UNLIMITED)
    gateway.data('{ customer(id: "cus_alex") { paymentMethods { id } } }')
    for name in ("jpmorgan", "caselle"):
        sandbox.switch(name, "REVOKE_TOKENS", "now")
    sandbox.clear_calls()
    storm = """query ($id: ID!) { customer(id: $id) {
      paymentMethods(filter: {providers: [JPMORGAN, CASELLE]}) { id } sources { provider state } } }"""

    async def all_at_once() -> Counter[str]:
        found: Counter[str] = Counter()
        async with aiohttp.ClientSession(gateway.url, connector=aiohttp.TCPConnector(limit=0)) as session:

            async def one(number: int) -> None:
                variables = {"id": f"cus_load-{1 + number % 200:04d}"}
                body = {"query": storm, "variables": variables}
                async with session.post("/graphql", json=body, headers=gateway.headers) as answer:
                    rows = (await answer.json())["data"]["customer"]["sources"]
                    found.update(row["state"] for row in rows if row["provider"] in ("JPMORGAN", "CASELLE"))

            await asyncio.gather(*(one(number) for number in range(1_000)))
        return found

    assert asyncio.run(all_at_once()) == {"OK": 2_000}
    tokens = [row for row in sandbox.calls(token_routes=True) if row.get("token_route")]
    assert Counter(row["provider"] for row in tokens) == {"jpmorgan": 1, "caselle": 1}


@pytest.mark.parametrize("answer", [reply(500), None], ids=["500", "lost"])
async def test_the_retry_budget_limits_calls_to_an_unavailable_vault_to_a_tenth(
    answer: bytes | None, start_gateway: StartGateway
) -> None:
    """Two retries per read are allowed, and the circuit is held closed: only the retry budget limits calls."""

    async def down(asked: ReceivedRequest) -> bytes | None:
        return answer

    async with raw_server(down) as server:
        breaker = {"minimum_calls": 100_000}
        gateway = await asyncio.to_thread(start_gateway, **_behind(server.url, retries=2, breaker=breaker))
        customers = await _linked(gateway, 300)
        assert await _asked_together(gateway, customers, ["crowd"] * 300) == [{"UNAVAILABLE": 300}]
        assert 300 < len(server.asked) <= 330


async def test_an_open_circuit_protects_an_unavailable_vault(start_gateway: StartGateway) -> None:
    async def down(asked: ReceivedRequest) -> bytes:
        return reply(500)

    async with raw_server(down) as server:
        gateway = await asyncio.to_thread(
            start_gateway, **_behind(server.url, concurrency=4, breaker={"open_for_s": 60})
        )
        customers = await _linked(gateway, 300)
        (states,) = await _asked_together(gateway, customers, ["crowd"] * 300)
        assert set(states) == {"UNAVAILABLE", "CIRCUIT_OPEN"}
        assert len(server.asked) <= 20 + 2 + 4, "twenty to judge by, their repeats, and those already on their way"


async def test_over_the_limit_requests_are_shed_at_once_and_then_accepted_again(
    start_gateway: StartGateway,
) -> None:
    vault = Vault(0.001)
    vault.may_answer.clear()
    async with raw_server(vault) as server:
        settings = {**_behind(server.url), "gate": {"max_in_flight": 20}}
        gateway = await asyncio.to_thread(start_gateway, **settings)
        customers = await _linked(gateway, 60)
        first = asyncio.create_task(_asked_together(gateway, customers[:20], ["crowd"] * 20))
        while len(vault.order) < 20:
            await asyncio.sleep(0.01)
        (shed,) = await _asked_together(gateway, customers[20:], ["crowd"] * 40)
        assert shed == {"503": 40}
        assert not first.done(), "refused at once: the vault has not answered yet"
        assert len(vault.order) == 20, "and nothing was asked of the vault for them"
        refused = await asyncio.to_thread(gateway.query, "{ __typename }")
        assert (refused.status, refused.codes, refused.headers["retry-after"]) == (503, ["OVERLOADED"], "1")
        assert (await asyncio.to_thread(gateway.request, "GET", "/readyz")).status == 200, "busy is not broken"
        vault.may_answer.set()
        assert await first == [{"OK": 20}]
        for customer in customers[20:40]:
            assert await _asked_together(gateway, [customer], ["crowd"]) == [{"OK": 1}]
