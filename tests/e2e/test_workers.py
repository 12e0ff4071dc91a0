"""`vaultgraph serve --workers 2`: one socket, shared limits and locks, killed workers and reloads under load."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.cli.demo_data import link_demo_customers
from app.store import Store, migrate
from tests.e2e.test_cli_check import settings_of
from tests.e2e.test_reload import Served
from tests.support.adding import adding, caselle_card
from tests.support.issuer import claims, token
from tests.support.load import Load
from tests.support.mutating import ADD
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

WALLET = '{ customer(id: "cus_alex") { name paymentMethods { id last4 } } }'
VAULTS = ("loanpro", "aloha", "jpmorgan", "caselle")
METRICS = "the scraper's own token of the tests"
SCOPE = "customers:read payment_methods:read payment_methods:write explore"


async def fill(folder: Path) -> None:
    store = Store.open(f"sqlite:///{folder / 'data' / 'vaultgraph.db'}")
    await migrate(store.engine)
    await link_demo_customers(store)
    await store.close()


class TwoWorkers(Served):
    def __init__(self, sandbox: RunningSandbox, folder: Path, **values: Any) -> None:
        asyncio.run(fill(folder))
        vaults = {
            name: {**section, "deadline_s": 20} for name, section in settings_of(sandbox).items() if name in VAULTS
        }
        patient = {"request_deadline_s": 20, "mcp": {"enabled": False}, **vaults}  # each start is cold: no SDK
        super().__init__(sandbox, folder, "--workers", "2", is_cold=True, **patient, **values)

    def __enter__(self) -> "TwoWorkers":
        super().__enter__()
        self.running.until("^Workers +2")
        return self

    @property
    def pids(self) -> set[int]:
        """The worker processes."""
        me = self.running.process.pid
        return {int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()}

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {token(self.key, 'ES256', claims(scope=SCOPE), kid='k')}"}

    def load(self, clients: int = 6) -> Load:
        return Load(self.url, {"query": WALLET}, self.headers, clients=clients)


@pytest.fixture(scope="module")
def shared(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoWorkers]:
    sandbox_server.reset()
    with TwoWorkers(sandbox_server, tmp_path_factory.mktemp("workers")) as running:
        yield running


@pytest.fixture
def served(shared: TwoWorkers, sandbox: RunningSandbox) -> TwoWorkers:
    """For tests that leave two workers behind."""
    eventually(lambda: len(shared.pids) == 2, "two workers")
    return shared


@pytest.fixture
def ending(sandbox: RunningSandbox, tmp_path: Path) -> Iterator[TwoWorkers]:
    """For one test, which ends it."""
    with TwoWorkers(sandbox, tmp_path) as running:
        yield running


def test_a_killed_worker_is_replaced_and_no_answer_is_wrong(served: TwoWorkers) -> None:
    before = served.pids
    with served.load() as load:
        load.more(20)
        os.kill(victim := min(before), signal.SIGKILL)
        served.running.until(f"worker process {victim} has ended")
        eventually(lambda: len(served.pids - {victim}) == 2, "two workers")
        load.more(50)
    (reply,) = load.replies
    assert {one["last4"] for one in json.loads(reply)["data"]["customer"]["paymentMethods"]} >= {"1111"}
    assert victim not in served.pids
    assert len(served.pids & before) == 1


def test_a_reload_fails_no_request(served: TwoWorkers) -> None:
    before = served.pids
    with served.load() as load:
        load.more(20)
        assert served.reload(auth={"leeway_s": 7}) == "2 workers"
        load.more(20)
        eventually(lambda: len(served.pids) == 2, "the old workers have ended")
        load.more(20)
    assert not load.failures
    assert len(load.replies) == 1
    assert not served.pids & before


def test_faulty_settings_change_nothing(served: TwoWorkers) -> None:
    before, good = served.pids, served.values["digest_key"]
    served.reload("the settings were not reloaded, the running ones stay in (force)", digest_key="short")
    reason = "a worker cannot start: digest_key: it has fewer than 32 characters"
    assert re.search(rf"\[error *\] {reason}", served.running.text), "a line of the log, in its format"
    assert served.pids == before
    assert served.ask("{ __typename }")[0] == 200
    served.values["digest_key"] = good


def test_all_workers_drain(ending: TwoWorkers) -> None:
    pids = ending.pids
    with ending.load() as load:
        load.more(20)
        assert ending.running.stop(signal.SIGTERM) == 0
    assert len(load.replies) == 1
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_workers_drain_without_their_supervisor(ending: TwoWorkers) -> None:
    pids = ending.pids
    (folder,) = {
        Path(file).parent
        for pid in pids
        for fd in Path(f"/proc/{pid}/fd").iterdir()
        if (file := os.readlink(fd)).endswith("/rates")
    }
    ending.running.process.kill()
    eventually(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "no worker is left")
    assert not folder.exists()


def test_a_rate_limit_holds_across_workers(sandbox: RunningSandbox, tmp_path: Path) -> None:
    few = {"requests_burst": 20, "requests_per_s": 0.001}
    with (
        TwoWorkers(sandbox, tmp_path, **{"rate.staff": few, "rate.end_user": few}) as served,
        Load(served.url, {"query": "{ __typename }"}, served.headers, clients=12) as load,
    ):
        load.more(60)
    assert load.replies[json.dumps({"data": {"__typename": "Query"}})] == 20


def test_one_key_has_one_effect(served: TwoWorkers, sandbox: RunningSandbox) -> None:
    bearer = served.headers["authorization"].removeprefix("Bearer ")
    given = adding(caselle_card(sandbox))
    before = served.ask(WALLET, bearer)[1]["data"]["customer"]["paymentMethods"]

    def add(_: int) -> Any:
        answer = served.ask(ADD, bearer, input=given)[1]
        assert "data" in answer, answer
        return answer["data"]["addPaymentMethod"]

    with ThreadPoolExecutor(12) as pool:
        payloads = list(pool.map(add, range(12)))
    (added,) = {one["paymentMethod"]["id"] for one in payloads if one["paymentMethod"]}
    codes = {error["code"] for one in payloads for error in one["userErrors"]}
    assert codes <= {"IDEMPOTENCY_IN_PROGRESS"}
    with served.load() as load:
        load.more(12)
    newest = json.loads(list(load.replies)[-1])["data"]["customer"]["paymentMethods"]
    assert {one["id"] for one in newest} == {one["id"] for one in before} | {added}


def test_a_store_that_cannot_be_opened_ends_it(sandbox: RunningSandbox, tmp_path: Path) -> None:
    served = TwoWorkers(sandbox, tmp_path, store={"url": "postgresql://nobody@127.0.0.1:1/none"})
    with served.running as running:
        assert running.ended() == 1
    assert running.text.count("vaultgraph: the store cannot be opened") == 1


def test_development_has_one_worker(sandbox: RunningSandbox, tmp_path: Path) -> None:
    served = TwoWorkers(sandbox, tmp_path, mode="development")
    with served.running as running:
        assert running.ended() == 1
    assert running.text == "vaultgraph: mode development runs one worker: set mode to production, or workers to 1"


def test_one_page_adds_up_all_workers(sandbox: RunningSandbox, tmp_path: Path) -> None:
    with TwoWorkers(sandbox, tmp_path, metrics_token=METRICS) as served:
        with served.load(12) as load:
            load.more(100)
        made = sum(load.replies.values())
        eventually(lambda: counted(served) == made, "all requests on one page")
        assert scrape(served)["vaultgraph_workers"] == 2
        assert {worker for worker in served.pids if (Path("/proc") / str(worker)).exists()} == served.pids
        os.kill(victim := min(served.pids), signal.SIGKILL)
        served.running.until(f"worker process {victim} has ended")
        eventually(lambda: scrape(served)["vaultgraph_workers"] == 2, "the new worker")
        assert counted(served) == made, "the counts of an ended worker stay"
        served.reload()
        eventually(lambda: len(served.pids) == 2, "the old workers have ended")
        eventually(lambda: scrape(served)["vaultgraph_workers"] == 2, "the new workers")
        assert counted(served) == made
        served.ask("{ __typename }")
        eventually(lambda: counted(served) == made + 1, "counting goes on")


def scrape(served: TwoWorkers) -> dict[str, float]:
    """The samples of `/metrics`, added up over their labels."""
    request = Request(f"{served.url}/metrics", headers={"authorization": f"Bearer {METRICS}"})
    found: dict[str, float] = {}
    with urlopen(request, timeout=30) as reply:
        for family in text_string_to_metric_families(reply.read().decode()):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def counted(served: TwoWorkers) -> float:
    seen = scrape(served)
    assert seen["vaultgraph_request_seconds_count"] == seen["vaultgraph_requests_total"]
    return seen["vaultgraph_requests_total"]
