"""What the store costs: the transactions of one mutation, on SQLite and PostgreSQL.

    nice -n -5 python -m bench.store [--postgres URL] [--rounds 400]

One round is what `setDefaultPaymentMethod` does in the store: begin, prepare, and finish with a stored default, a
change and two events, each a transaction, and the reads between them. Prints the median time of a round, alone and with
16 at once, the CPU time, the statements and the Python calls on the event loop. Without --postgres, a server of the
test binaries is started (without fsync).
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from app.store import Store, Transaction, migrate
from app.store.connection import Connection
from app.store.directory import set_default_choice
from app.store.events import append_events
from app.store.journal import begin_operation, mark_operation, prepare_operation
from app.store.records import (
    BegunNew,
    EventType,
    MethodAddress,
    NewEvent,
    NewOperation,
    OperationRecord,
    OperationState,
    Topic,
    WriteOutcome,
)
from app.vault.enums import CustomerRef, LinkProof, MethodRef, ProviderName

PROVIDER = next(iter(ProviderName))
METHOD = MethodAddress(PROVIDER, CustomerRef("ref-1"), MethodRef("method-1"))
INTENT = {"version": 1, "intent": {"customer": "cus_1", "method": "method-1"}, "doing": ["set"], "done": {}}


def finish(tx: Transaction, operation: OperationRecord, customer_id: str) -> OperationRecord | None:
    tx.touch(Topic.CUSTOMER, customer_id)
    set_default_choice(tx, customer_id, METHOD, set_by="staff:bench")
    events = [
        NewEvent(type=kind, customer_id=customer_id, provider=PROVIDER, actor="staff:bench", detail={"a": "b"})
        for kind in (EventType.DEFAULT_CHANGED, EventType.MUTATION)
    ]
    append_events(tx, events)
    result = {"method": "method-1", "problems": []}
    return mark_operation(
        tx, operation, OperationState.SUCCEEDED, outcome=WriteOutcome.APPLIED, result=result, intent=INTENT
    )


def new_operation(store: Store, customer_id: str, key: str) -> NewOperation:
    return NewOperation(
        caller="staff:bench",
        mutation="setDefaultPaymentMethod",
        input_digest="d" * 64,
        owner_id="own_bench",
        deadline_at=store.now() + timedelta(seconds=8),
        idempotency_key=key,
        customer_id=customer_id,
        provider=PROVIDER,
    )


async def mutation(store: Store, customer_id: str, key: str) -> None:
    begun = await store.transaction(begin_operation, new_operation(store, customer_id, key))
    assert isinstance(begun, BegunNew)
    await store.journal.unreconciled(customer_id, PROVIDER, besides=begun.operation.id)
    deadline_at = store.now() + timedelta(seconds=8)
    prepared = await store.transaction(prepare_operation, begun.operation, INTENT, deadline_at=deadline_at)
    assert prepared is not None
    await store.directory.entry(customer_id)
    assert await store.transaction(finish, prepared, customer_id) is not None


async def measured(url: str, rounds: int) -> dict[str, float]:
    store = Store.open(url)
    await migrate(store.engine)
    run = time.time_ns()
    customer = await store.directory.create(external_id=f"bench-{run}")
    await store.directory.link(
        customer.id, PROVIDER, CustomerRef(f"ref-{run}"), proof=LinkProof.TRUSTED_BACKEND, linked_by="bench"
    )
    keys = (f"key-{run}-{number}" for number in range(rounds * 10))
    for _ in range(20):
        await mutation(store, customer.id, next(keys))
    alone: list[float] = []
    cpu = time.process_time()
    for _ in range(rounds):
        began = time.perf_counter()
        await mutation(store, customer.id, next(keys))
        alone.append(time.perf_counter() - began)
    cpu = (time.process_time() - cpu) / rounds
    began = time.perf_counter()
    for _ in range(rounds // 16):
        await asyncio.gather(*(mutation(store, customer.id, next(keys)) for _ in range(16)))
    crowded = (time.perf_counter() - began) / (rounds // 16 * 16)
    found = {
        "ms alone": statistics.median(alone) * 1000,
        "p99 ms": sorted(alone)[int(rounds * 0.99)] * 1000,
        "CPU ms": cpu * 1000,
        "ms each of 16": crowded * 1000,
    }
    found |= await counted(lambda: mutation(store, customer.id, next(keys)))
    await store.close()
    return found


async def counted(work: Callable[[], Awaitable[None]]) -> dict[str, float]:
    """Statements, and Python calls in the event loop's and the connection's thread."""
    calls, statements = 0, 0

    def count(frame: Any, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    methods = {name: getattr(Connection, name) for name in ("all", "one")}
    methods |= {name: getattr(Transaction, name) for name in ("execute", "execute_many", "count")}

    def counting(method: Any) -> Any:
        def asked(*args: Any, **kwargs: Any) -> Any:
            nonlocal statements
            statements += 1
            return method(*args, **kwargs)

        return asked

    for name, method in methods.items():
        setattr(Connection if name in ("all", "one") else Transaction, name, counting(method))
    try:
        await work()
    finally:
        for name, method in methods.items():
            setattr(Connection if name in ("all", "one") else Transaction, name, method)
    threading.setprofile_all_threads(count) if sys.version_info >= (3, 12) else threading.setprofile(count)
    sys.setprofile(count)
    try:
        await work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return {"statements": statements, "calls on the loop": calls}


def report(name: str, found: dict[str, float]) -> None:
    print(f"{name:12}", "  ".join(f"{what} {value:.2f}" for what, value in found.items()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--postgres", default="")
    parser.add_argument("--rounds", type=int, default=400)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report("SQLite", asyncio.run(measured(f"sqlite:///{folder}/bench.db", asked.rounds)))
    if asked.postgres:
        report("PostgreSQL", asyncio.run(measured(asked.postgres, asked.rounds)))
        return
    from tests.support.postgres import running_postgres

    with running_postgres() as server:
        report("PostgreSQL", asyncio.run(measured(server.url(), asked.rounds)))


if __name__ == "__main__":
    main()
