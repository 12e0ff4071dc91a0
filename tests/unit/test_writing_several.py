"""Adding several methods as one write: crashes at any point, and outcomes that differ between the items."""

from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from app.sandbox.demo import ALEX
from app.store import Store
from app.store.records import OperationState, WriteOutcome
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.wallet.commands import AddMethod, AddMethods, WriteResult
from app.wallet.writes.match_new_method import assign
from app.wallet.writes.reconcile import Reconciler
from tests.support.calls import soon
from tests.support.sandbox import RunningSandbox
from tests.support.writing import STAFF, Bench, bench_on, dead, new_key, open_store

P = ProviderName
KINDS = {P.LOANPRO: ("card", "bank"), P.JPMORGAN: ("raw card", "ach", "sepa"), P.CASELLE: ("credit", "ach")}
DONE = (OperationState.SUCCEEDED, WriteOutcome.APPLIED)
NOT_DONE = (OperationState.FAILED, WriteOutcome.NOT_APPLIED)


@pytest.fixture
async def opened(sqlite_url: str) -> AsyncIterator[Store]:
    store = open_store(sqlite_url)
    yield store
    await store.close()


def adding(bench: Bench, name: ProviderName, *kinds: str) -> AddMethods:
    """The last one is to be the default, and each has a nickname."""
    wanted = kinds or KINDS[name]
    items = tuple(
        AddMethod(
            customer_id=ALEX.id,
            idempotency_key="",
            method=bench.method(name, kind),
            nickname=f"number {at}",
            make_default=at == len(wanted) - 1,
        )
        for at, kind in enumerate(wanted)
    )
    return AddMethods(customer_id=ALEX.id, idempotency_key=new_key(), items=items)


def states(result: WriteResult) -> list[tuple[OperationState, WriteOutcome]]:
    return [(one.state, one.outcome) for one in result.items]


POINTS = {
    P.LOANPRO: ["begun", "prepared:add", "answered:add", "finishing", "finished"],
    P.JPMORGAN: ["begun", "prepared:add", "answered:add", "prepared:default", "answered:default", "finishing"],
    P.CASELLE: ["prepared:add:0", "answered:add:0", "prepared:add:1", "answered:add:1", "answered:default"],
}


@pytest.mark.parametrize(("name", "point"), [(name, point) for name, points in POINTS.items() for point in points])
async def test_each_method_is_added_once_when_the_key_is_repeated(
    sandbox: RunningSandbox, opened: Store, name: ProviderName, point: str
) -> None:
    async with bench_on(sandbox, opened) as bench:
        held = set(await bench.wallet(name))
        command = adding(bench, name)
        bench.die_at = point
        await dead(bench.writer.run(command, STAFF, soon()))
        bench.clock.advance(minutes=1)
    async with bench_on(sandbox, opened) as bench:
        result = await bench.until_settled(lambda: bench.writer.run(command, STAFF, soon()))
        assert (result.problems, states(result)) == ((), [DONE] * len(command.items))
        added = [one.method for one in result.items if one.method is not None]
        now = await bench.wallet(name)
        assert len(added) == len(command.items)
        assert set(now) - held == {one.method_ref for one in added}
        assert [now[one.method_ref].kind for one in added] == [one.method.kind for one in command.items]
        entry = await opened.directory.entry(ALEX.id)
        assert entry is not None
        assert [entry.nicknames[one] for one in added] == [one.nickname for one in command.items]
        assert entry.choice is not None
        assert entry.choice.method_ref == added[-1].method_ref
        again = await bench.writer.run(command, STAFF, soon())
        assert (again.replayed, again.items) == (True, result.items)


async def test_items_of_one_call_that_are_missing_are_sent_again_alone(sandbox: RunningSandbox, opened: Store) -> None:
    """J.P. Morgan's reply is lost, and its list shows one of two cards: only the other is not applied.

    A repeat that only waits for another write there does not forget that."""
    async with bench_on(sandbox, opened) as bench:
        command = adding(bench, P.JPMORGAN, "raw card", "ach")
        base = sandbox.credentials("jpmorgan")
        path = f"{urlsplit(base['base_url']).path}/consumer-profiles/{ALEX.refs['jpmorgan']}/payment-methods"
        before = {one["ref"] for one in sandbox.held("jpmorgan", ALEX.refs["jpmorgan"])}

        def lose_the_card() -> None:
            new = [one for one in sandbox.held("jpmorgan", ALEX.refs["jpmorgan"]) if one["ref"] not in before]
            (card,) = [one["ref"] for one in new if one["kind"] == "card"]
            assert sandbox.request("DELETE", f"{path}/{card}", headers=base["headers"]).status == 200

        bench.at["lost:add"] = lose_the_card
        sandbox.fault("jpmorgan", "drop_after", method="POST", path=path.removeprefix("/jpmorgan"), times=1)
        first = await bench.writer.run(command, STAFF, soon())
        assert states(first) == [NOT_DONE, DONE]
        assert first.operation is not None
        assert (first.operation.state, first.operation.is_final) == (OperationState.PARTIAL, False)
        assert [(problem.path, problem.retryable) for problem in first.problems] == [(("items", "0"), True)]
        at = P.JPMORGAN, CustomerRef(ALEX.refs["jpmorgan"])
        async with opened.locks.customer_vault_lock(*at, wait_s=1), bench_on(sandbox, opened, deadline_s=0.2) as other:
            waiting = await other.writer.run(command, STAFF, soon())
        assert [problem.code.value for problem in waiting.problems] == ["IDEMPOTENCY_IN_PROGRESS"]
        assert waiting.operation is not None
        assert (waiting.operation.state, waiting.operation.outcome) == (OperationState.PARTIAL, WriteOutcome.APPLIED)
        sandbox.clear_calls()
        again = await bench.writer.run(command, STAFF, soon())
        assert (again.operation and again.operation.id, states(again)) == (first.operation.id, [DONE, DONE])
        assert again.items[1].method == first.items[1].method
        assert len([row for row in sandbox.calls("jpmorgan") if row["method"] == "POST"]) == 1


async def test_a_repeat_sets_the_default_that_could_not_be_set(sandbox: RunningSandbox, opened: Store) -> None:
    """The default's method was added, another one was not: only these two remain to be done."""
    async with bench_on(sandbox, opened) as bench:
        command = adding(bench, P.CASELLE)
        command = replace(command, items=command.items[::-1])
        bench.at["answered:add:0"] = lambda: sandbox.fault("caselle", "drop_before", method="POST", times=1)
        bench.at["prepared:default"] = lambda: sandbox.fault("caselle", "status", status=422, method="PUT", times=1)
        first = await bench.writer.run(command, STAFF, soon())
        assert states(first) == [DONE, NOT_DONE]
        assert [problem.path for problem in first.problems] == [("items", "0", "make_default"), ("items", "1")]
        bench.at.clear()
        again = await bench.writer.run(command, STAFF, soon())
        assert (states(again), again.problems, again.items[0].method) == ([DONE, DONE], (), first.items[0].method)
        entry = await opened.directory.entry(ALEX.id)
        assert entry is not None
        assert entry.choice is not None
        assert entry.choice.address == first.items[0].method


async def test_a_repeat_shows_earlier_items_as_the_first_call_did(sandbox: RunningSandbox, opened: Store) -> None:
    """Also after the process that repeated it has died before it sent anything."""
    async with bench_on(sandbox, opened) as bench:
        command = adding(bench, P.CASELLE)
        known = replace(command, items=command.items[:1], idempotency_key=new_key())
        assert states(await bench.writer.run(known, STAFF, soon())) == [DONE]
        bench.at["prepared:add:1"] = lambda: sandbox.fault("caselle", "drop_before", method="POST", times=1)
        first = await bench.writer.run(command, STAFF, soon())
        assert first.operation is not None
        assert (states(first), duplicates(first)) == ([DONE, NOT_DONE], [True, False])
        bench.at.clear()
        bench.die_at = "begun"
        await dead(bench.writer.run(command, STAFF, soon()))
        bench.clock.advance(minutes=1)
    async with bench_on(sandbox, opened) as bench:
        await Reconciler(bench.writer).sweep()
        found = await opened.journal.operation(first.operation.id)
        assert found is not None
        assert (found.state, found.outcome, found.is_final) == (OperationState.PARTIAL, WriteOutcome.APPLIED, False)
        again = await bench.writer.run(command, STAFF, soon())
        assert (states(again), duplicates(again)) == ([DONE, DONE], [True, False])
        assert again.items[0].method == first.items[0].method
        assert (await bench.writer.run(command, STAFF, soon())).items == again.items


def duplicates(result: WriteResult) -> list[bool]:
    return [one.was_duplicate for one in result.items]


async def test_methods_that_look_the_same_are_left_to_an_operator(sandbox: RunningSandbox, opened: Store) -> None:
    """After a crash nothing tells two equal cards apart; the third item is certain."""
    async with bench_on(sandbox, opened) as bench:
        command = adding(bench, P.LOANPRO, "card", "card", "bank")
        bench.die_at = "answered:add"
        await dead(bench.writer.run(command, STAFF, soon()))
        bench.clock.advance(minutes=1)
        held = set(await bench.wallet(P.LOANPRO))
    async with bench_on(sandbox, opened) as bench:
        reconciler = Reconciler(bench.writer)
        assert (await reconciler.sweep(), await reconciler.sweep()) == (1, 0)
        result = await bench.writer.run(command, STAFF, soon())
        unknown = (OperationState.UNKNOWN, WriteOutcome.UNKNOWN)
        assert states(result) == [unknown, unknown, DONE]
        assert {problem.code.value for problem in result.problems} == {"OUTCOME_UNKNOWN"}
        assert set(await bench.wallet(P.LOANPRO)) == held


def refs(*names: str) -> list[MethodRef]:
    return [MethodRef(name) for name in names]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({0: refs("a"), 1: refs("b")}, {0: "a", 1: "b"}),
        ({0: refs("a"), 1: refs("a", "b")}, {0: "a", 1: "b"}),
        ({0: refs("a"), 1: []}, {0: "a"}),
        ({0: refs("a"), 1: refs("a")}, {}),
        ({0: refs("a", "b"), 1: refs("a", "b"), 2: refs("c")}, {2: "c"}),
        ({0: refs("a"), 1: refs("a", "b"), 2: refs("a", "b", "c")}, {0: "a", 1: "b", 2: "c"}),
        ({}, {}),
    ],
)
def test_a_method_is_assigned_only_where_that_is_certain(
    options: dict[int, list[MethodRef]], found: dict[int, str]
) -> None:
    assert assign(options) == found
