"""Three gateway processes, a PostgreSQL and a Redis: what holds across them, and while parts of it fail."""

import hashlib
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tests.support.adding import adding, caselle_card, loanpro_card
from tests.support.replica_load import ADD, FIND, KNOWN, WALLET, Load
from tests.support.replicas import Answer, Cluster, Gone, Replica, running_cluster, until
from tests.support.sandbox import RunningSandbox
from tests.support.streams import listening

pytestmark = pytest.mark.xdist_group("cluster")

LAST_EVENT = "query ($id: ID!) { customer(id: $id) { events(first: 1) { edges { node { id } } } } }"


@pytest.fixture(scope="module")
def started(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(sandbox_server, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: Cluster, sandbox: RunningSandbox) -> Iterator[Cluster]:
    yield started
    sandbox.clear_faults()


def shown(replica: Replica, customer: str = "cus_alex") -> set[str]:
    return {one["id"] for one in replica.query(WALLET, id=customer).data["customer"]["paymentMethods"]}


def add(replica: Replica, value: dict[str, Any]) -> Any:
    payload = replica.query(ADD, input=value).data["addPaymentMethod"]
    assert payload["userErrors"] == []
    return payload


def writing_calls(sandbox: RunningSandbox, vault: str) -> int:
    return sum(call["method"] != "GET" for call in sandbox.calls(vault))


def test_a_write_is_read_on_the_other_replicas(cluster: Cluster, sandbox: RunningSandbox) -> None:
    for writer, *readers in (("A", "B", "C"), ("B", "C", "A")):
        for name in readers:
            shown(cluster[name])  # cached for a minute
        made = add(cluster[writer], adding(loanpro_card(sandbox)))["paymentMethod"]["id"]
        for name in readers:
            until(lambda: made in shown(cluster[name]))  # noqa: B023 - called here


def test_a_subscriber_of_another_replica_hears_and_then_reads_a_write(
    cluster: Cluster, sandbox: RunningSandbox
) -> None:
    add(cluster["A"], adding(caselle_card(sandbox)))
    (last,) = cluster["B"].query(LAST_EVENT, id="cus_alex").data["customer"]["events"]["edges"]
    wanted = {"customer": "cus_alex", "types": ["METHOD_ADDED"], "after": last["node"]["id"]}
    with listening(cluster["B"], **wanted) as listener:
        for _ in range(3):
            before = shown(cluster["B"])
            made = add(cluster["A"], adding(caselle_card(sandbox)))["paymentMethod"]["id"]
            assert made not in before
            assert listener.next(30)["paymentMethodId"] == made
            assert made in shown(cluster["B"])


def test_one_key_sent_to_all_replicas_at_once_has_one_effect(cluster: Cluster, sandbox: RunningSandbox) -> None:
    for way, vault in ((caselle_card, "caselle"), (loanpro_card, "loanpro")):
        value, barrier = adding(way(sandbox)), Barrier(3)
        sandbox.clear_calls()

        def send(replica: Replica) -> Answer:
            barrier.wait(20)  # noqa: B023 - called here
            return replica.query(ADD, input=value)  # noqa: B023

        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(send, cluster))
        made = set()
        for replica, answer in zip(cluster, answers, strict=True):
            codes = {error["code"] for error in answer.errors}
            assert codes <= {"IDEMPOTENCY_IN_PROGRESS"}
            made.add(add(replica, value)["paymentMethod"]["id"])
        assert len(made) == 1
        assert writing_calls(sandbox, vault) == 1


def test_the_write_of_a_killed_replica_is_finished_by_another(cluster: Cluster, sandbox: RunningSandbox) -> None:
    sandbox.fault("caselle", "hang", method="POST", commit=True, times=1)
    value = adding(caselle_card(sandbox))
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(cluster["C"].query, ADD, input=value)
        until(lambda: sandbox.control("GET", "/faults") == [])  # the vault has the request
        cluster["C"].kill()
        assert isinstance(lost.exception(40), Gone)
    assert _pending(cluster) == 1
    cluster.expire_leases()
    until(lambda: _pending(cluster) == 0)
    again = add(cluster["A"], value)
    assert again["operation"] == {"replayed": True, "state": "SUCCEEDED"}
    until(lambda: again["paymentMethod"]["id"] in shown(cluster["B"]))
    assert writing_calls(sandbox, "caselle") == 1
    cluster.start("C")


def _pending(cluster: Cluster) -> int:
    ((count,),) = cluster.sql("SELECT count(*) FROM operations WHERE state = 'PENDING'")
    return int(count)


def test_a_restart_of_postgresql_under_load_gives_retryable_errors_only(cluster: Cluster) -> None:
    with Load(cluster) as load:
        load.until_more()
        for _ in range(2):
            cluster.postgres.stop()
            seen = load.codes.total()
            until(lambda: load.codes.total() > seen + 5 or bool(load.wrong))  # noqa: B023 - called here
            cluster.postgres.start()
            load.until_more()
    assert set(load.codes) <= {"STORE_UNAVAILABLE", "OUTCOME_UNKNOWN", "IDEMPOTENCY_IN_PROGRESS"}
    for replica in cluster:
        until(replica.is_ready)
        until(replica.is_notified)


def test_redis_may_go_and_come_back(cluster: Cluster) -> None:
    def hashed(text: str) -> dict[str, Any]:
        hash_ = hashlib.sha256(text.encode()).hexdigest()
        return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_}}, "variables": {"id": KNOWN}}

    def is_shared(name: str) -> bool:
        """A text that one replica got is known to another."""
        text = f"query {name} {FIND.removeprefix('query')}"
        assert cluster["A"].send({"query": text, **hashed(text)}).data["findCustomer"]
        answer = cluster["B"].send(hashed(text))
        return not answer.errors

    names = (f"Named{number}" for number in itertools.count())
    assert is_shared(next(names))
    cluster.redis.stop()
    try:
        assert not is_shared(next(names))
        with Load(cluster) as load:
            load.until_more()
        assert not load.codes
    finally:
        cluster.redis.start()
    until(lambda: is_shared(next(names)))


def test_replicas_are_replaced_one_by_one_after_a_migration(cluster: Cluster) -> None:
    """The running processes are of the version before the migration: a migration only adds."""
    with Load(cluster, goes_on_elsewhere=True) as load:
        load.until_more()
        cluster.sql("ALTER TABLE customers ADD COLUMN loyalty_tier text")
        cluster.sql("CREATE TABLE loyalty (tenant text, id text)")
        cluster.sql("UPDATE alembic_version SET version_num = '0999'")
        load.until_more()
        assert [replica.is_ready() for replica in cluster] == [True] * 3
        for name in "ABC":
            assert cluster[name].stop() == 0
            load.until_more()
            cluster.start(name)
            load.until_more()
    assert not load.codes
    assert _pending(cluster) == 0
