"""Lost answers, slow or failing vaults, and keys repeated meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from app.errors import OutcomeUnknown
from app.sandbox.demo import ALEX, KIM
from app.store.records import OperationState, WriteOutcome
from app.vault.enums import LinkProof, PaymentMethodStatus, ProviderName
from app.vault.model import Added, Expiry, NewCustomer, NewMethod
from app.vault.provider import Call
from app.vault.secret import Secret
from app.wallet.commands import DeleteMethod, LinkCustomer, SetDefault, UpdateMethod, WriteResult
from app.wallet.problems import ProblemCode
from app.wallet.writes.reconcile import Reconciler
from tests.support.calls import soon
from tests.support.sandbox import RunningSandbox
from tests.support.writing import BY_NAME, STAFF, Bench, bench_on, new_key, open_store

P = ProviderName
C = ProblemCode


@pytest.fixture
async def dark(sandbox: RunningSandbox, sqlite_url: str) -> AsyncIterator[Bench]:
    """A bench with short deadlines, for vaults that cannot be read after a write."""
    store = open_store(sqlite_url)
    async with bench_on(sandbox, store, deadline_s=1.5) as opened:
        yield opened
    await store.close()


def codes(result: WriteResult) -> list[ProblemCode]:
    return [problem.code for problem in result.problems]


def state(result: WriteResult) -> OperationState:
    assert result.operation is not None
    return result.operation.state


def on_add(sandbox: RunningSandbox, name: ProviderName, kind: str, **fields: Any) -> None:
    case = BY_NAME[name]
    sandbox.fault(name.value, kind, method=case.write_verb, path=case.write_path, **fields)


def writes(sandbox: RunningSandbox, name: ProviderName) -> int:
    return sum(1 for row in sandbox.calls(name.value) if row["method"] != "GET")


# ---- an add whose answer is lost --------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(P))
@pytest.mark.parametrize(
    ("kind", "fields"),
    [("drop_after", {}), ("status", {"status": 504, "commit": True}), ("garbage", {"commit": True}), ("truncate", {})],
    ids=["dropped", "504", "garbage", "truncated"],
)
async def test_applied_add_is_found(
    sandbox: RunningSandbox, bench: Bench, name: ProviderName, kind: str, fields: dict[str, Any]
) -> None:
    held = set(await bench.wallet(name))
    on_add(sandbox, name, kind, times=1, **fields)
    sandbox.clear_calls()
    result = await bench.add(name)
    assert (codes(result), state(result)) == ([], OperationState.SUCCEEDED)
    assert writes(sandbox, name) == 1
    assert result.method is not None
    assert set(await bench.wallet(name)) - held == {result.method.method_ref}


@pytest.mark.parametrize("name", list(P))
@pytest.mark.parametrize(
    ("kind", "fields"),
    [("drop_before", {}), ("status", {"status": 504})],
    ids=["dropped", "504"],
)
async def test_add_that_was_not_applied_runs_again_with_its_key(
    sandbox: RunningSandbox, bench: Bench, name: ProviderName, kind: str, fields: dict[str, Any]
) -> None:
    held = set(await bench.wallet(name))
    command = bench.adding(name)
    on_add(sandbox, name, kind, times=1, **fields)
    sandbox.clear_calls()
    result = await bench.writer.run(command, STAFF, soon())
    (problem,) = result.problems
    assert (problem.code, problem.outcome, problem.retryable) == (
        C.PROVIDER_UNAVAILABLE,
        WriteOutcome.NOT_APPLIED,
        True,
    )
    assert (state(result), writes(sandbox, name)) == (OperationState.FAILED, 1)
    again = await bench.writer.run(command, STAFF, soon())
    assert (codes(again), state(again), again.replayed) == ([], OperationState.SUCCEEDED, False)
    assert again.operation is not None
    assert result.operation is not None
    assert again.operation.id == result.operation.id
    assert len(set(await bench.wallet(name)) - held) == 1


async def test_unreadable_vault_gives_unknown_and_the_same_key_decides(sandbox: RunningSandbox, dark: Bench) -> None:
    """The write is applied, its answer lost, and the list cannot be read either."""
    held = set(await dark.wallet(P.CASELLE))
    command = dark.adding(P.CASELLE)
    on_add(sandbox, P.CASELLE, "drop_after", times=1)
    dark.at["lost:add"] = lambda: sandbox.fault("caselle", "status", status=503, method="GET")
    result = await dark.writer.run(command, STAFF, soon())
    dark.at.clear()
    (problem,) = result.problems
    assert (problem.code, problem.outcome, problem.retryable) == (C.OUTCOME_UNKNOWN, WriteOutcome.UNKNOWN, True)
    assert state(result) is OperationState.UNKNOWN
    still = await dark.writer.run(command, STAFF, soon())
    assert (codes(still), state(still)) == ([C.OUTCOME_UNKNOWN], OperationState.UNKNOWN)
    sandbox.clear_faults()
    again = await dark.until_settled(lambda: dark.writer.run(command, STAFF, soon()))
    assert (codes(again), state(again), again.replayed) == ([], OperationState.SUCCEEDED, True)
    assert again.method is not None
    assert set(await dark.wallet(P.CASELLE)) - held == {again.method.method_ref}


async def test_reconciler_decides_unknown_operations(sandbox: RunningSandbox, dark: Bench) -> None:
    on_add(sandbox, P.JPMORGAN, "hang", times=1, commit=True)
    dark.at["lost:add"] = lambda: sandbox.fault("jpmorgan", "status", status=503, method="GET")
    result = await dark.add(P.JPMORGAN)
    assert state(result) is OperationState.UNKNOWN
    sandbox.clear_faults()
    reconciler = Reconciler(dark.writer)
    dark.clock.advance(minutes=1)
    assert await reconciler.sweep() == 1
    assert result.operation is not None
    found = await dark.store.journal.operation(result.operation.id)
    assert found is not None
    assert found.state is OperationState.SUCCEEDED
    assert found.result["method"][2] in await dark.wallet(P.JPMORGAN)


async def test_absence_is_not_conclusive_while_a_slow_request_may_be_in_flight(
    sandbox: RunningSandbox, sqlite_url: str
) -> None:
    """The vault applies the write long after the timeout: the key, repeated at once, must not add a second time."""
    store = open_store(sqlite_url)
    async with bench_on(sandbox, store, deadline_s=3.0, is_hurried=False) as bench:
        held = set(await bench.wallet(P.CASELLE))
        command = bench.adding(P.CASELLE)
        on_add(sandbox, P.CASELLE, "delay", times=1, delay_ms=3300)
        result = await bench.writer.run(command, STAFF, soon())
        assert (codes(result), state(result)) == ([C.OUTCOME_UNKNOWN], OperationState.UNKNOWN)
        again = await bench.until_settled(lambda: bench.writer.run(command, STAFF, soon()))
        assert (codes(again), state(again)) == ([], OperationState.SUCCEEDED)
        assert len(set(await bench.wallet(P.CASELLE)) - held) == 1
    await store.close()


async def test_several_candidates_are_left_to_an_operator(sandbox: RunningSandbox, bench: Bench) -> None:
    """A card with the same look is added outside the gateway meanwhile."""
    command = bench.adding(P.JPMORGAN)
    held = set(await bench.wallet(P.JPMORGAN))
    other = bench.method(P.JPMORGAN)
    assert isinstance(other.secret, Secret)
    on_add(sandbox, P.JPMORGAN, "drop_after", times=1)
    vault = bench.providers[P.JPMORGAN]
    ref = bench.address(P.JPMORGAN, "x").customer_ref
    real, is_added = vault.wallets, False

    async def with_another(refs: Any, call: Any) -> Any:
        nonlocal is_added
        if bench.points[-1:] == ["lost:add"] and not is_added:
            is_added = True
            await vault.add(ref, other, await vault.before_add(ref, other, soon()), False, soon())
        return await real(refs, call)

    vault.wallets = with_another  # type: ignore[method-assign]
    result = await bench.writer.run(command, STAFF, soon())
    assert (codes(result), state(result)) == ([C.OUTCOME_UNKNOWN], OperationState.UNKNOWN)
    assert result.operation is not None
    assert result.operation.reconcile_at is None
    rows = (await bench.store.journal.results(result.operation.id)).rows
    new = set(await bench.wallet(P.JPMORGAN)) - held
    assert {row.method_ref for row in rows} == new
    assert len(new) == 2
    # An operator deletes one of them: now the same key is decided.
    await vault.delete(ref, sorted(new)[0], soon())
    again = await bench.writer.run(command, STAFF, soon())
    assert (codes(again), state(again)) == ([], OperationState.SUCCEEDED)
    assert again.method is not None
    assert again.method.method_ref == sorted(new)[1]


# ---- writes that were certainly not applied ---------------------------------------------------------------


async def test_throttled_add_is_not_applied_and_runs_again(sandbox: RunningSandbox, bench: Bench) -> None:
    command = bench.adding(P.ALOHA)
    on_add(sandbox, P.ALOHA, "throttle", times=1, retry_after_s=1)
    result = await bench.writer.run(command, STAFF, soon())
    (problem,) = result.problems
    assert (problem.code, problem.outcome, problem.retryable) == (
        C.PROVIDER_THROTTLED,
        WriteOutcome.NOT_APPLIED,
        True,
    )
    assert problem.retry_after_s == 1
    await asyncio.sleep(1.05)  # the HTTP client waits for Retry-After
    again = await bench.writer.run(command, STAFF, soon())
    assert codes(again) == []


async def test_rejection_is_final_and_replayed_without_a_call(sandbox: RunningSandbox, bench: Bench) -> None:
    method = replace(bench.method(P.LOANPRO), secret=Secret("not-a-token-of-this-vault"))
    command = bench.adding(P.LOANPRO, method=method, method_path=("method", "loanpro_token"))
    result = await bench.writer.run(command, STAFF, soon())
    assert state(result) is OperationState.FAILED
    assert [(one.path, one.outcome, one.retryable) for one in result.problems] == [
        (("method", "loanpro_token", "token"), WriteOutcome.NOT_APPLIED, False)
    ]
    sandbox.clear_calls()
    again = await bench.writer.run(command, STAFF, soon())
    assert (again.problems, again.replayed) == (result.problems, True)
    assert sandbox.calls("loanpro") == []


async def test_refused_credentials_are_not_final(sandbox: RunningSandbox, sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    async with bench_on(sandbox, store) as good, bench_on(sandbox, store, aloha={"password": "wrong"}) as bad:
        command = good.adding(P.ALOHA)
        result = await bad.writer.run(command, STAFF, soon())
        assert [(one.code, one.outcome) for one in result.problems] == [(C.PROVIDER_AUTH, WriteOutcome.NOT_APPLIED)]
        assert codes(await good.writer.run(command, STAFF, soon())) == []
    await store.close()


# ---- keys -------------------------------------------------------------------------------------------------


async def test_different_input_with_the_same_key_is_refused(bench: Bench) -> None:
    command = bench.adding(P.CASELLE)
    first = await bench.writer.run(command, STAFF, soon())
    for other in (
        replace(command, nickname="Other"),
        replace(command, make_default=True),
        replace(command, method=replace(command.method, secret=Secret("another-token-altogether"))),
    ):
        result = await bench.writer.run(other, STAFF, soon())
        assert (codes(result), result.operation, result.method) == ([C.IDEMPOTENCY_KEY_REUSED], None, None)
    again = await bench.writer.run(command, STAFF, soon())
    assert (again.method, again.replayed) == (first.method, True)


async def test_key_in_flight_is_in_progress(sandbox: RunningSandbox, bench: Bench) -> None:
    command = bench.adding(P.CASELLE)
    on_add(sandbox, P.CASELLE, "delay", times=1, delay_ms=1_500)
    first = asyncio.create_task(bench.writer.run(command, STAFF, soon()))
    while "prepared:add" not in bench.points:
        await asyncio.sleep(0.01)
    meanwhile = await bench.writer.run(command, STAFF, soon())
    assert [(one.code, one.retryable) for one in meanwhile.problems] == [(C.IDEMPOTENCY_IN_PROGRESS, True)]
    done = await first
    assert codes(done) == []
    assert (await bench.writer.run(command, STAFF, soon())).method == done.method


async def test_concurrent_requests_with_one_key_add_once(bench: Bench) -> None:
    held = set(await bench.wallet(P.LOANPRO))
    command = bench.adding(P.LOANPRO)
    results = await asyncio.gather(*(bench.writer.run(command, STAFF, soon()) for _ in range(8)))
    assert sorted({code.value for result in results for code in codes(result)}) == ["IDEMPOTENCY_IN_PROGRESS"]
    assert sum(not result.problems for result in results) == 1
    assert len(set(await bench.wallet(P.LOANPRO)) - held) == 1


async def test_client_disconnect_does_not_stop_the_write(sandbox: RunningSandbox, bench: Bench) -> None:
    command = bench.adding(P.CASELLE)
    on_add(sandbox, P.CASELLE, "delay", times=1, delay_ms=200)
    asking = asyncio.create_task(bench.writer.run(command, STAFF, soon()))
    while "prepared:add" not in bench.points:
        await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await bench.writer.drain()
    again = await bench.writer.run(command, STAFF, soon())
    assert (codes(again), again.replayed) == ([], True)


# ---- serialised writes ------------------------------------------------------------------------------------


async def test_concurrent_writes_of_one_customer_do_not_overwrite_each_other(bench: Bench) -> None:
    """LoanPro replaces the whole list of children at once."""
    held = set(await bench.wallet(P.LOANPRO))
    results = await asyncio.gather(*(bench.add(P.LOANPRO) for _ in range(5)))
    assert [codes(result) for result in results] == [[]] * 5
    added = {result.method.method_ref for result in results if result.method}
    assert len(added) == 5
    assert set(await bench.wallet(P.LOANPRO)) - held == added


@pytest.mark.parametrize("name", [P.LOANPRO, P.JPMORGAN, P.CASELLE])
async def test_concurrent_defaults_end_in_one_of_them(bench: Bench, name: ProviderName) -> None:
    one, two = (await bench.add(name)).method, (await bench.add(name)).method
    assert one is not None
    assert two is not None
    results = await asyncio.gather(
        *(
            bench.writer.run(
                SetDefault(customer_id=ALEX.id, method_id=bench.ids.encode_address(each), allow_expired=True),
                STAFF,
                soon(),
            )
            for each in (one, two)
        )
    )
    assert [codes(result) for result in results] == [[], []]
    choice = await bench.store.directory.choice(ALEX.id)
    shown = [ref for ref, each in (await bench.wallet(name)).items() if each.is_provider_default]
    assert choice is not None
    assert shown == [choice.method_ref]
    assert choice.method_ref in (one.method_ref, two.method_ref)


async def test_write_waits_for_an_unknown_write(sandbox: RunningSandbox, dark: Bench) -> None:
    """And reconciles it itself as soon as the vault can be read."""
    held = set(await dark.wallet(P.CASELLE))
    on_add(sandbox, P.CASELLE, "drop_after", times=1)
    dark.at["lost:add"] = lambda: sandbox.fault("caselle", "status", status=503, method="GET")
    first = await dark.add(P.CASELLE)
    assert state(first) is OperationState.UNKNOWN
    dark.at.clear()
    other = dark.adding(P.CASELLE)
    blocked = await dark.writer.run(other, STAFF, soon())
    assert codes(blocked) == [C.IDEMPOTENCY_IN_PROGRESS]
    elsewhere = dark.adding(P.ALOHA)
    assert codes(await dark.until_settled(lambda: dark.writer.run(elsewhere, STAFF, soon()))) == []
    sandbox.clear_faults()
    second = await dark.until_settled(lambda: dark.writer.run(other, STAFF, soon()))
    assert codes(second) == []
    settled = await dark.store.journal.operation(first.operation.id if first.operation else "")
    assert settled is not None
    assert settled.state is OperationState.SUCCEEDED
    assert second.method is not None
    assert set(await dark.wallet(P.CASELLE)) - held == {settled.result["method"][2], second.method.method_ref}


# ---- other writes whose answer is lost --------------------------------------------------------------------


@pytest.mark.parametrize("name", [P.LOANPRO, P.JPMORGAN, P.CASELLE])
@pytest.mark.parametrize(("kind", "is_made"), [("drop_after", True), ("drop_before", False)])
async def test_set_default_with_lost_answer(
    sandbox: RunningSandbox, bench: Bench, name: ProviderName, kind: str, is_made: bool
) -> None:
    target = (await bench.add(name)).method
    assert target is not None
    command = SetDefault(customer_id=ALEX.id, method_id=bench.ids.encode_address(target), idempotency_key=new_key())
    before = await bench.store.directory.choice(ALEX.id)
    for verb in ("PUT", "PATCH"):
        sandbox.fault(name.value, kind, method=verb, times=1)
    result = await bench.writer.run(command, STAFF, soon())
    sandbox.clear_faults()
    shown = [ref for ref, each in (await bench.wallet(name)).items() if each.is_provider_default]
    choice = await bench.store.directory.choice(ALEX.id)
    if is_made:
        assert codes(result) == []
        assert choice is not None
        assert shown == [choice.method_ref] == [target.method_ref]
        return
    assert [(one.code, one.outcome) for one in result.problems] == [(C.PROVIDER_UNAVAILABLE, WriteOutcome.NOT_APPLIED)]
    assert (choice, target.method_ref in shown) == (before, False)
    assert codes(await bench.writer.run(command, STAFF, soon())) == []


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
async def test_unknown_default_is_applied_by_its_key(sandbox: RunningSandbox, dark: Bench, kind: str) -> None:
    adding = dark.adding(P.CASELLE)
    target = (await dark.until_settled(lambda: dark.writer.run(adding, STAFF, soon()))).method
    assert target is not None
    command = SetDefault(customer_id=ALEX.id, method_id=dark.ids.encode_address(target), idempotency_key=new_key())
    sandbox.fault("caselle", kind, method="PUT", times=1)
    dark.at["lost:default"] = lambda: sandbox.fault("caselle", "status", status=503, method="GET")
    result = await dark.writer.run(command, STAFF, soon())
    assert (codes(result), state(result)) == ([C.OUTCOME_UNKNOWN], OperationState.UNKNOWN)
    sandbox.clear_faults()
    again = await dark.until_settled(lambda: dark.writer.run(command, STAFF, soon()))
    assert (codes(again), state(again)) == ([], OperationState.SUCCEEDED)
    shown = [ref for ref, each in (await dark.wallet(P.CASELLE)).items() if each.is_provider_default]
    assert shown == [target.method_ref]


@pytest.mark.parametrize("name", [P.LOANPRO, P.JPMORGAN, P.CASELLE])
@pytest.mark.parametrize(("kind", "is_made"), [("drop_after", True), ("drop_before", False)])
async def test_delete_with_lost_answer(
    sandbox: RunningSandbox, bench: Bench, name: ProviderName, kind: str, is_made: bool
) -> None:
    target = (await bench.add(name)).method
    assert target is not None
    command = DeleteMethod(method_id=bench.ids.encode_address(target), idempotency_key=new_key())
    for verb in ("PUT", "DELETE"):
        sandbox.fault(name.value, kind, method=verb, times=1)
    result = await bench.writer.run(command, STAFF, soon())
    sandbox.clear_faults()
    held = (await bench.wallet(name)).get(target.method_ref)
    is_there = held is not None and held.status is PaymentMethodStatus.ACTIVE
    assert (is_there, codes(result)) == ((False, []) if is_made else (True, [C.PROVIDER_UNAVAILABLE]))
    again = await bench.writer.run(command, STAFF, soon())
    assert (codes(again), again.deleted) == ([], target)


@pytest.mark.parametrize(("kind", "is_made"), [("drop_after", True), ("drop_before", False)])
async def test_update_with_lost_answer(sandbox: RunningSandbox, bench: Bench, kind: str, is_made: bool) -> None:
    target = (await bench.add(P.JPMORGAN)).method
    assert target is not None
    command = UpdateMethod(
        method_id=bench.ids.encode_address(target), idempotency_key=new_key(), expiry=Expiry(2036, 6)
    )
    sandbox.fault("jpmorgan", kind, method="PATCH", times=1)
    result = await bench.writer.run(command, STAFF, soon())
    assert codes(result) == ([] if is_made else [C.PROVIDER_UNAVAILABLE])
    assert codes(await bench.writer.run(command, STAFF, soon())) == []
    assert getattr((await bench.wallet(P.JPMORGAN))[target.method_ref], "expiry", None) == Expiry(2036, 6)


async def test_profile_with_lost_answer_waits_for_a_link(sandbox: RunningSandbox, bench: Bench) -> None:
    """J.P. Morgan cannot look up a profile by external id: an operator decides by linking it."""
    command = bench.adding(P.JPMORGAN, customer_id=KIM.id, provision=True)
    vault, refs = bench.providers[P.JPMORGAN], []
    make = vault.create_with_method

    async def make_and_lose(customer: NewCustomer, new: NewMethod, call: Call) -> Added:
        refs.append((await make(customer, new, call)).customer_ref)
        raise OutcomeUnknown("jpmorgan")

    vault.create_with_method = make_and_lose  # type: ignore[method-assign]
    result = await bench.writer.run(command, STAFF, soon())
    assert (codes(result), state(result)) == ([C.OUTCOME_UNKNOWN], OperationState.UNKNOWN)
    assert result.operation is not None
    assert result.operation.reconcile_at is None
    (made,) = refs
    linked = await bench.writer.run(
        LinkCustomer(customer_id=KIM.id, idempotency_key=new_key(), provider=P.JPMORGAN, customer_ref=made),
        STAFF,
        soon(),
    )
    assert codes(linked) == []
    again = await bench.writer.run(command, STAFF, soon())
    assert (codes(again), state(again)) == ([], OperationState.SUCCEEDED)
    assert again.method is not None
    assert again.method.method_ref in await bench.wallet(P.JPMORGAN, made)
    entry = await bench.store.directory.entry(KIM.id)
    assert entry is not None
    link = entry.link(P.JPMORGAN)
    assert link is not None
    assert link.proof is LinkProof.TRUSTED_BACKEND
