"""Three gateway processes over one PostgreSQL: how soon a write is seen elsewhere, and how long recovery takes.

    python -m bench.cluster [--writes 100] [--restarts 10] [--page]

Everything runs on this machine: the processes, PostgreSQL without fsync, Redis, the sandbox's vaults.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.pages import put_section
from bench.parts import figures
from tests.support.adding import adding, caselle_card, loanpro_card, new_key
from tests.support.replica_load import Load
from tests.support.replicas import Cluster, Gone, Replica, running_cluster, until
from tests.support.sandbox import RunningSandbox
from tests.support.streams import listening

PAGE: Final = Path(__file__).parent.parent / "docs" / "appendix" / "scaling.md"
WALLET: Final = "query ($id: ID!) { customer(id: $id) { paymentMethods { id } } }"
LAST_EVENT: Final = "query ($id: ID!) { customer(id: $id) { events(first: 1) { edges { node { id } } } } }"
ADD: Final = """mutation ($input: AddPaymentMethodInput!) { addPaymentMethod(input: $input) {
  paymentMethod { id } operation { state } userErrors { code } } }"""
DELETE: Final = "mutation ($input: DeletePaymentMethodInput!) { deletePaymentMethod(input: $input) { deletedId } }"


def seen_after_ms(cluster: Cluster, writes: int) -> tuple[list[float], list[float], int]:
    """For each write on A, from A's response: until a read on B has shown it, and until B's subscriber had its event.

    Also the number of writes that the first read on B showed.
    """
    writer, reader = cluster["A"], cluster["B"]
    _add(cluster, writer)
    (last,) = reader.query(LAST_EVENT, id="cus_alex").data["customer"]["events"]["edges"]
    wanted = {"customer": "cus_alex", "types": ["METHOD_ADDED"], "after": last["node"]["id"]}
    reads: list[float] = []
    events: list[float] = []
    at_first = 0
    with listening(reader, **wanted) as listener, ThreadPoolExecutor(1) as pool:
        for number in range(writes):
            _shown(reader)  # cached for a minute
            heard = pool.submit(lambda: (listener.next(90)["paymentMethodId"], time.perf_counter()))
            made, answered = _add(cluster, writer), time.perf_counter()
            tries = 1
            while made not in _shown(reader):
                tries += 1
            shown = time.perf_counter()
            event_of, heard_at = heard.result(90)
            assert event_of == made
            if number:  # the first event may come from the stored ones
                reads.append((shown - answered) * 1000)
                events.append(max(0.0, heard_at - answered) * 1000)
                at_first += tries == 1
            writer.query(DELETE, input={"id": made, "idempotencyKey": new_key()})
            until(lambda: made not in _shown(reader), 90)  # noqa: B023 - called here
    return reads, events, at_first


def restarts_s(cluster: Cluster, count: int) -> tuple[list[float], list[float], Mapping[str, int]]:
    """For each restart of PostgreSQL under load, from when it accepts connections: until every replica has stored a
    write, and until every replica is notified again. Also the errors during all of it."""
    stored: list[float] = []
    notified: list[float] = []
    with Load(cluster) as load:
        for _ in range(count):
            load.until_more(100)
            cluster.postgres.stop()
            seen = load.codes.total()
            until(lambda: load.codes.total() > seen + 20)  # noqa: B023 - called here
            cluster.postgres.start()
            began = time.perf_counter()
            for replica in cluster:
                until(lambda: not Load.create_once(replica).errors)  # noqa: B023
            stored.append(time.perf_counter() - began)
            for replica in cluster:
                until(replica.is_notified)
            notified.append(time.perf_counter() - began)
    return stored, notified, load.codes


def taken_over_s(cluster: Cluster) -> float:
    """From SIGKILL during a write until another replica has finished it."""
    cluster.sandbox.fault("caselle", "hang", method="POST", commit=True, times=1)
    value = adding(caselle_card(cluster.sandbox))
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(cluster["C"].query, ADD, input=value)
        until(lambda: cluster.sandbox.control("GET", "/faults") == [])
        began = time.perf_counter()
        cluster["C"].kill()
        assert isinstance(lost.exception(), Gone)
    until(lambda: cluster.sql("SELECT 1 FROM operations WHERE state = 'PENDING'") == [], 90)
    return time.perf_counter() - began


def _add(cluster: Cluster, replica: Replica) -> str:
    payload = replica.query(ADD, input=adding(loanpro_card(cluster.sandbox))).data["addPaymentMethod"]
    assert payload["userErrors"] == [], payload
    return str(payload["paymentMethod"]["id"])


def _shown(replica: Replica) -> set[str]:
    return {one["id"] for one in replica.query(WALLET, id="cus_alex").data["customer"]["paymentMethods"]}


def _figures(values: Sequence[float], unit: str, digits: int) -> str:
    ordered = sorted(values)
    high = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return f"{statistics.median(ordered):.{digits}f} {unit} median (95 %: {high:.{digits}f} {unit})"


@contextmanager
def _cluster(names: str = "ABC", **options: Any) -> Iterator[Cluster]:
    with (
        RunningSandbox() as sandbox,
        tempfile.TemporaryDirectory() as folder,
        running_cluster(sandbox, Path(folder), names, **options) as cluster,
    ):
        yield cluster


def measure(writes: int, restarts: int) -> str:
    rows: dict[str, Any] = {}
    with _cluster() as cluster:
        reads, events, at_first = seen_after_ms(cluster, writes)
        rows["a write on A, from its response until a read on B has shown it"] = _figures(reads, "ms", 1)
        rows["shown by the first read on B"] = f"{at_first} of {len(reads)} writes"
        rows["the same until a subscriber on B has the event"] = _figures(events, "ms", 1)
        stored, notified, codes = restarts_s(cluster, restarts)
        rows["PostgreSQL restarted under load: until all three store writes again"] = _figures(stored, "s", 2)
        rows["until all three are notified again"] = _figures(notified, "s", 2)
        named = ", ".join(f"{count:,} `{code}`" for code, count in sorted(codes.items()))
        rows["errors meanwhile, all retryable; wrong answers"] = f"{named}; 0"
        rows["a replica killed in a write: until another has finished it"] = f"{taken_over_s(cluster):.1f} s"
    with _cluster("AB", poll_s=0.25) as cluster:
        cluster.sql("DROP FUNCTION vaultgraph_notify CASCADE")
        reads, events, _ = seen_after_ms(cluster, writes)
        rows["without notifications, by polling: until a read on B has shown it"] = _figures(reads, "ms", 1)
        rows["until a subscriber on B has the event"] = _figures(events, "ms", 1)
    return figures(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writes", type=int, default=100)
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--page", action="store_true", help="write the table into the page")
    chosen = parser.parse_args()
    table = measure(chosen.writes + 1, chosen.restarts)
    print(table)
    if chosen.page:
        put_section("cluster", table, PAGE)


if __name__ == "__main__":
    main()
