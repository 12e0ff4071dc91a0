"""Stored intents: read in every version, and left to an operator if unknown."""

import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from app.sandbox.demo import ALEX
from app.store import Connection, Store, Transaction
from app.store.records import EventOrigin, OperationRecord, OperationState, PaymentState
from app.store.statements import Query, Statement
from app.vault.enums import ProviderName
from app.wallet.commands import CapturePayment
from app.wallet.writes.intents import VERSION, AnyIntent
from app.wallet.writes.payment_status import StatusUpdate, settle_payment
from app.wallet.writes.reconcile import Reconciler
from app.wallet.writes.upgrades import read_intent
from tests.support.calls import soon
from tests.support.interrupted_writes import INTERRUPTED
from tests.support.sandbox import RunningSandbox
from tests.support.writing import STAFF, Bench, bench_on, dead, open_store

P = ProviderName
RECORDED = Path(__file__).parents[1] / "recorded" / "intents"
RECORDINGS = {
    (folder.name, path.stem): json.loads(path.read_text())
    for folder in sorted(RECORDED.iterdir())
    for path in sorted(folder.glob("*.json"))
}
SAMPLES = {name: sample for (version, name), sample in RECORDINGS.items() if version == "version-0"}
MUTATIONS = {kind.__struct_config__.tag for kind in get_args(AnyIntent)}
WRITES = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
async def opened(sqlite_url: str) -> AsyncIterator[Store]:
    store = open_store(sqlite_url)
    yield store
    await store.close()


async def cut_off(
    sandbox: RunningSandbox, store: Store, name: str, *, ago_s: float = 60
) -> tuple[OperationRecord, Any]:
    """Kill the write at its point, `ago_s` ago; returns the journal's row and the command."""
    case = INTERRUPTED[name]
    async with bench_on(sandbox, store) as bench:
        command = await case.command(bench)
        bench.die_at = case.point
        await dead(bench.writer.run(command, STAFF, soon()))
        bench.clock.advance(seconds=ago_s)
    return await newest(store, SAMPLES[name]["mutation"]), command


async def newest(store: Store, mutation: str) -> OperationRecord:
    query = Query(str, "SELECT id FROM operations WHERE mutation = :mutation ORDER BY id DESC")
    operation_id = await store.read(Connection.one, query, mutation=mutation)
    assert operation_id is not None
    return await at(store, operation_id)


async def at(store: Store, operation_id: str) -> OperationRecord:
    operation = await store.journal.operation(operation_id)
    assert operation is not None
    return operation


async def rewrite(store: Store, operation: OperationRecord, **values: Any) -> OperationRecord:
    """Change the journal's row directly."""
    assigned = ", ".join(f"{name} = :{name}" for name in values)
    statement = Statement("UPDATE operations SET {assigned} WHERE id = :id", assigned=assigned)
    await store.transaction(Transaction.execute, statement, id=operation.id, **values)
    return await at(store, operation.id)


def agree(recorded: Any, now: Any, names: dict[str, str]) -> None:
    """Assert equality except for the run's ids, which are in braces in `recorded` and are stored in `names`."""
    if isinstance(recorded, dict):
        assert recorded.keys() == now.keys()
        for key, value in recorded.items():
            agree(value, now[key], names)
    elif isinstance(recorded, list | tuple):
        assert len(recorded) == len(now)
        for one, other in zip(recorded, now, strict=True):
            agree(one, other, names)
    elif isinstance(recorded, str) and "{" in recorded:
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(recorded))
        found = re.fullmatch(pattern, now)
        assert found is not None
        names |= found.groupdict()
    else:
        assert recorded == now


def named(kept: Any, names: dict[str, str]) -> Any:
    text = json.dumps(kept)
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return json.loads(text)


def test_every_mutation_is_recorded() -> None:
    later = {"addPaymentMethods", "mergeCustomers"}  # since versions 2 and 3
    assert {sample["mutation"] for sample in SAMPLES.values()} == MUTATIONS - later
    assert SAMPLES.keys() == INTERRUPTED.keys()
    assert all("version" not in sample["intent"]["of"] for sample in SAMPLES.values())


@pytest.mark.parametrize(("version", "name"), list(RECORDINGS))
async def test_operation_of_an_earlier_version_is_finished(
    sandbox: RunningSandbox, opened: Store, version: str, name: str
) -> None:
    operation, _ = await cut_off(sandbox, opened, name)
    kept, names = RECORDINGS[version, name]["intent"] | {"by": STAFF.id}, dict[str, str]()
    agree(read_intent(replace(operation, intent=kept)).to_json(), read_intent(operation).to_json(), names)
    await rewrite(opened, operation, intent=named(kept, names))
    async with bench_on(sandbox, opened) as bench:
        assert await Reconciler(bench.writer).sweep() == (operation.state is OperationState.PENDING)
        ended = await at(opened, operation.id)
        assert (ended.state.value, ended.is_final) == (INTERRUPTED[name].ends, INTERRUPTED[name].ends == "SUCCEEDED")
        if ended.state is OperationState.SUCCEEDED:
            assert ended.result.get("problems", []) == []
        if operation.state is OperationState.PENDING:
            assert ended.intent["of"]["version"] == VERSION


@pytest.mark.parametrize("version", [2, 3, 4])
async def test_items_of_several_have_their_versions_upgraded(version: int) -> None:
    item = {**RECORDINGS["version-2", "add"]["intent"]["of"], "version": version}
    asked = {"mutation": "addPaymentMethods", "version": version, "provider": "caselle", "refs": item["refs"]}
    kept: Any = SimpleNamespace(
        mutation="addPaymentMethods", intent={"by": "Tests", "of": {**asked, "items": [item]}, "notes": {}, "done": {}}
    )
    (read,) = read_intent(kept).to_json()["of"]["items"]
    assert (read["version"], read["consent"], read["nickname"]) == (VERSION, None, "Mine")


async def test_absence_is_not_conclusive_before_the_time_stored_by_version_0(
    sandbox: RunningSandbox, opened: Store
) -> None:
    operation, _ = await cut_off(sandbox, opened, "add")
    kept = {**SAMPLES["add"]["intent"], "believe_at": "2031-05-01T10:00:00.250000+00:00"}
    progress = read_intent(replace(operation, intent=kept))
    assert progress.believe_at is not None
    assert progress.believe_at.isoformat() == kept["believe_at"]


# ---- unknown versions and shapes ----------------------------------------------------------------------------


def _newer(kept: Any) -> Any:
    return kept | {"of": kept["of"] | {"version": VERSION + 1}}


def _without(kept: Any) -> Any:
    return kept | {"of": {name: value for name, value in kept["of"].items() if name != "look"}}


UNREADABLE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "newer": (_newer, f"version {VERSION + 1}: "),
    "negative": (lambda kept: kept | {"of": kept["of"] | {"version": -1}}, "version -1: "),
    "text": (lambda kept: kept | {"of": kept["of"] | {"version": "1"}}, "version unknown: "),
    "true": (lambda kept: kept | {"of": kept["of"] | {"version": True}}, "version unknown: "),
    "empty": (lambda kept: {}, "version unknown: "),
    "a list": (lambda kept: ["of"], "version unknown: "),
    "refs that are none": (
        lambda kept: kept | {"of": kept["of"] | {"refs": [["caselle", 5], 7]}}, f"version {VERSION}: ",
    ),
    "no intent": (lambda kept: kept | {"of": None}, "version unknown: "),
    "a field is missing": (_without, f"version {VERSION}: "),
    "a field is unknown": (lambda kept: kept | {"of": kept["of"] | {"expected": "x"}}, f"version {VERSION}: "),
    "a vault is unknown": (lambda kept: kept | {"of": kept["of"] | {"provider": "northbank"}}, f"version {VERSION}: "),
    "another mutation": (
        lambda kept: kept | {"of": {"mutation": "capturePayment", "version": VERSION, "refs": [], "payment_id": "p"}},
        f"version {VERSION}: ",
    ),
    "unknown facts": (lambda kept: kept | {"done": {"add": {"kind": "receipt"}}}, f"version {VERSION}: "),
    "facts of another step": (
        lambda kept: kept | {"done": {"add": {"kind": "customer", "customer_ref": "c"}}}, f"version {VERSION}: ",
    ),
    "a note of another step": (
        lambda kept: kept | {"doing": ["add"], "done": {}, "notes": {"before": {"kind": "updateCheck"}}},
        f"version {VERSION}: ",
    ),
    "version 0 with unknown steps": (
        lambda kept: SAMPLES["add"]["intent"] | {"done": {"charge": {}}}, "version 0: ",
    ),
    "version 0 cut short": (lambda kept: {"by": "Tests", "of": SAMPLES["add"]["intent"]["of"]}, "version 0: "),
}  # fmt: skip


def _sent(bench: Bench) -> list[str]:
    return [call["path"] for call in bench.sandbox.calls("caselle") if call["method"] in WRITES]


@pytest.mark.parametrize("kind", list(UNREADABLE))
async def test_unreadable_intent_is_left_to_an_operator(
    sandbox: RunningSandbox, opened: Store, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    operation, command = await cut_off(sandbox, opened, "add-default")
    change, reason = UNREADABLE[kind]
    kept = change(operation.intent)
    await rewrite(opened, operation, intent=kept)
    sandbox.clear_calls()
    async with bench_on(sandbox, opened) as bench:
        reconciler = Reconciler(bench.writer)
        with caplog.at_level(logging.ERROR, "vaultgraph"):
            assert await reconciler.sweep() == 1
        assert await reconciler.sweep() == 0
        left = await at(opened, operation.id)
        assert (left.state, left.reconcile_at) == (OperationState.UNKNOWN, None)
        assert left.intent == kept
        assert [one.id for one in await opened.journal.in_state(OperationState.UNKNOWN)] == [operation.id]
        (record,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
        assert operation.id in record.getMessage()
        assert reason in record.getMessage()
        assert record.exc_info is None
        result = await bench.writer.run(command, STAFF, soon())
        assert [problem.code.value for problem in result.problems] == ["OUTCOME_UNKNOWN"]
        assert "operator" in result.problems[0].message
        assert _sent(bench) == []
        other = await bench.add(P.CASELLE)
        assert other.problems == (), "an operation left to an operator blocks no other write"
        assert len([one for one in caplog.records if operation.id in one.getMessage()]) == 1


async def test_unknown_mutation_is_left_to_an_operator(
    sandbox: RunningSandbox, opened: Store, caplog: pytest.LogCaptureFixture
) -> None:
    operation, _ = await cut_off(sandbox, opened, "add")
    asked = {**operation.intent["of"], "mutation": "splitPayment"}
    await rewrite(opened, operation, mutation="splitPayment", intent={**operation.intent, "of": asked})
    async with bench_on(sandbox, opened) as bench:
        reconciler = Reconciler(bench.writer)
        assert (await reconciler.sweep(), await reconciler.sweep()) == (1, 0)
        left = await at(opened, operation.id)
        assert (left.state, left.reconcile_at) == (OperationState.UNKNOWN, None)
        assert any(operation.id in one.getMessage() and "splitPayment" in one.getMessage() for one in caplog.records)


async def test_unsent_operation_is_closed_without_reading_its_intent(sandbox: RunningSandbox, opened: Store) -> None:
    operation, command = await cut_off(sandbox, opened, "add")
    await rewrite(opened, operation, intent=_newer(dict(operation.intent)), sent_at=None)
    async with bench_on(sandbox, opened) as bench:
        assert await Reconciler(bench.writer).sweep() == 1
        left = await at(opened, operation.id)
        assert (left.state, left.is_final) == (OperationState.FAILED, False)
        result = await bench.writer.run(command, STAFF, soon())
        assert result.operation is not None
        assert (result.operation.id, result.operation.state) == (operation.id, OperationState.SUCCEEDED)


async def test_other_writes_wait_while_its_request_may_be_in_flight(sandbox: RunningSandbox, opened: Store) -> None:
    operation, _ = await cut_off(sandbox, opened, "add", ago_s=0)
    operation = await rewrite(opened, operation, intent=_newer(dict(operation.intent)))
    async with bench_on(sandbox, opened, deadline_s=0.3) as bench:
        await Reconciler(bench.writer).sweep()
        left = await at(opened, operation.id)
        assert (left.state, left.reconcile_at) == (OperationState.UNKNOWN, operation.deadline_at)
        waiting = await bench.add(P.CASELLE)
        assert [problem.code.value for problem in waiting.problems] == ["IDEMPOTENCY_IN_PROGRESS"]
    async with bench_on(sandbox, opened) as bench:
        bench.clock.advance(minutes=1)
        assert (await bench.add(P.CASELLE)).problems == ()
        assert (await at(opened, operation.id)).reconcile_at is None


async def test_newer_process_finishes_an_older_operation(sandbox: RunningSandbox, opened: Store) -> None:
    operation, command = await cut_off(sandbox, opened, "add")
    await rewrite(opened, operation, intent=_newer(dict(operation.intent)))
    async with bench_on(sandbox, opened) as bench:
        await Reconciler(bench.writer).sweep()
    await rewrite(opened, operation, intent=dict(operation.intent))
    async with bench_on(sandbox, opened) as bench:
        result = await bench.writer.run(command, STAFF, soon())
        assert (result.problems, result.operation and result.operation.state) == ((), OperationState.SUCCEEDED)


async def test_unreadable_capture_is_decided_by_its_payment(sandbox: RunningSandbox, opened: Store) -> None:
    operation, command = await cut_off(sandbox, opened, "capture")
    assert isinstance(command, CapturePayment)
    await rewrite(opened, operation, intent=_newer(dict(operation.intent)))
    async with bench_on(sandbox, opened) as bench:
        await Reconciler(bench.writer).sweep()
        payment = await opened.payments.payment(command.payment_id)
        assert payment is not None
        assert payment.state is PaymentState.UNKNOWN
        assert (await at(opened, operation.id)).state is OperationState.UNKNOWN
        update = StatusUpdate(state=PaymentState.CAPTURED, origin=EventOrigin.GATEWAY, actor="operator")
        await opened.transaction(settle_payment, command.payment_id, update)
        result = await bench.writer.run(command, STAFF, soon())
        assert (result.problems, result.payment_id) == ((), command.payment_id)


async def test_unreadable_capture_of_a_decided_payment_ends_with_it(sandbox: RunningSandbox, opened: Store) -> None:
    operation, command = await cut_off(sandbox, opened, "capture")
    await rewrite(opened, operation, intent=_newer(dict(operation.intent)))
    update = StatusUpdate(state=PaymentState.CANCELED, origin=EventOrigin.PROVIDER_WEBHOOK)
    await opened.transaction(settle_payment, command.payment_id, update)
    async with bench_on(sandbox, opened) as bench:
        await Reconciler(bench.writer).sweep()
        left = await at(opened, operation.id)
        assert left.state is OperationState.FAILED
        (problem,) = left.result["problems"]
        assert problem["code"] == "PROVIDER_REJECTED"
        assert "operator" not in problem["message"]
    assert ALEX.id == left.customer_id
