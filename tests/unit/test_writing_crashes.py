"""Crash recovery: a process dies between any two instructions of a write, and another one recovers it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.sandbox.demo import ALEX
from app.store import Store
from app.store.records import EventType, OperationState, WriteOutcome
from app.vault.enums import AddRoute, CardBrand, ProviderName
from app.vault.model import Expiry, NewCard, PersonName
from app.vault.secret import Secret
from app.wallet.commands import CreateCustomer, DeleteMethod, EraseCustomer, SetDefault, UpdateMethod
from app.wallet.writes.reconcile import Reconciler
from tests.support.calls import soon
from tests.support.sandbox import RunningSandbox
from tests.support.writing import STAFF, Bench, bench_on, dead, new_key, open_store

P = ProviderName
ADD_POINTS = ["begun", "prepared:add", "answered:add", "prepared:default", "answered:default", "finishing", "finished"]
WITH_DEFAULT = [P.JPMORGAN, P.CASELLE]


@pytest.fixture
async def opened(sqlite_url: str) -> AsyncIterator[Store]:
    store = open_store(sqlite_url)
    yield store
    await store.close()


async def die_at(sandbox: RunningSandbox, store: Store, point: str, command: Any) -> None:
    """Run a command in a process that dies at `point`, some time ago: none of its requests is in flight."""
    async with bench_on(sandbox, store) as bench:
        bench.die_at = point
        await dead(bench.writer.run(command, STAFF, soon()))
        bench.clock.advance(minutes=1)


@pytest.mark.parametrize("name", list(P))
@pytest.mark.parametrize("point", ADD_POINTS)
async def test_add_is_applied_once_when_its_key_is_repeated(
    sandbox: RunningSandbox, opened: Store, name: ProviderName, point: str
) -> None:
    if point.endswith(":default") and name not in WITH_DEFAULT:
        pytest.skip("this vault takes the default with the add, or has none")
    async with bench_on(sandbox, opened) as bench:
        held = set(await bench.wallet(name))
        command = bench.adding(name, make_default=True, nickname="Mine")
    await die_at(sandbox, opened, point, command)
    async with bench_on(sandbox, opened) as bench:
        result = await bench.writer.run(command, STAFF, soon())
        now = await bench.wallet(name)
        entry = await opened.directory.entry(ALEX.id)
        assert result.problems == ()
        assert result.operation is not None
        assert result.operation.state is OperationState.SUCCEEDED
        assert result.method is not None
        assert set(now) - held == {result.method.method_ref}
        assert entry is not None
        assert entry.choice is not None
        assert entry.choice.method_ref == result.method.method_ref
        assert entry.nicknames[result.method] == "Mine"
        if name is not P.ALOHA:
            defaults = [one.method_ref for one in now.values() if one.is_provider_default]
            assert defaults == [result.method.method_ref]
        again = await bench.writer.run(command, STAFF, soon())
        assert (again.replayed, again.method, again.operation) == (True, result.method, result.operation)
        assert set(await bench.wallet(name)) == set(now)


@pytest.mark.parametrize("point", ["begun", "prepared:add", "answered:add", "prepared:default", "finishing"])
async def test_reconciler_decides_operations_of_a_dead_process(
    sandbox: RunningSandbox, opened: Store, point: str
) -> None:
    async with bench_on(sandbox, opened) as bench:
        held = set(await bench.wallet(P.CASELLE))
        command = bench.adding(P.CASELLE, make_default=True)
    await die_at(sandbox, opened, point, command)
    async with bench_on(sandbox, opened) as bench:
        reconciler = Reconciler(bench.writer)
        assert await reconciler.sweep() == 1
        assert await reconciler.sweep() == 0
        (operation,) = await opened.journal.of_customer(ALEX.id)
        added = set(await bench.wallet(P.CASELLE)) - held
        if point in ("begun", "prepared:add"):
            assert (operation.state, operation.is_final, added) == (OperationState.FAILED, False, set())
            assert operation.outcome is WriteOutcome.NOT_APPLIED
        else:
            assert operation.state is OperationState.SUCCEEDED
            assert {operation.result["method"][2]} == added
        result = await bench.writer.run(command, STAFF, soon())
        assert result.operation is not None
        assert result.operation.id == operation.id
        assert len(set(await bench.wallet(P.CASELLE)) - held) == 1


@pytest.mark.parametrize("name", [P.LOANPRO, P.JPMORGAN, P.CASELLE])
@pytest.mark.parametrize("point", ["begun", "prepared:default", "answered:default", "finishing", "finished"])
async def test_default_and_choice_agree(sandbox: RunningSandbox, opened: Store, name: ProviderName, point: str) -> None:
    async with bench_on(sandbox, opened) as bench:
        wallet = await bench.wallet(name)
        target = next(one for one in wallet.values() if not one.is_provider_default and one.status.value == "ACTIVE")
        command = SetDefault(
            customer_id=ALEX.id, method_id=bench.id(name, target.method_ref), idempotency_key=new_key(),
            allow_expired=True,
        )  # fmt: skip
    await die_at(sandbox, opened, point, command)
    async with bench_on(sandbox, opened) as bench:
        result = await bench.writer.run(command, STAFF, soon())
        assert result.problems == ()
        defaults = [one.method_ref for one in (await bench.wallet(name)).values() if one.is_provider_default]
        choice = await opened.directory.choice(ALEX.id)
        assert choice is not None
        assert defaults == [choice.method_ref] == [target.method_ref]


@pytest.mark.parametrize("point", ["begun", "prepared:update", "answered:update", "finishing", "finished"])
async def test_update_is_applied(sandbox: RunningSandbox, opened: Store, point: str) -> None:
    async with bench_on(sandbox, opened) as bench:
        target = next(one for one in (await bench.wallet(P.JPMORGAN)).values() if one.kind.value == "CARD")
        command = UpdateMethod(
            method_id=bench.id(P.JPMORGAN, target.method_ref), idempotency_key=new_key(), expiry=Expiry(2037, 3),
            holder=PersonName("Ann", "Doe"), nickname="Groceries",
        )  # fmt: skip
    await die_at(sandbox, opened, point, command)
    async with bench_on(sandbox, opened) as bench:
        result = await bench.writer.run(command, STAFF, soon())
        assert (result.problems, result.replaced) == ((), None)
        changed = (await bench.wallet(P.JPMORGAN))[target.method_ref]
        assert (getattr(changed, "expiry", None), changed.holder_name) == (Expiry(2037, 3), "Ann Doe")
        entry = await opened.directory.entry(ALEX.id)
        assert entry is not None
        assert entry.nicknames[bench.address(P.JPMORGAN, target.method_ref)] == "Groceries"


@pytest.mark.parametrize("name", [P.LOANPRO, P.JPMORGAN, P.CASELLE])
@pytest.mark.parametrize(
    "point",
    ["begun", "prepared:replace", "answered:replace", "replaced", "prepared:delete", "answered:delete", "finishing"],
)
async def test_delete_with_replacement_default(
    sandbox: RunningSandbox, opened: Store, name: ProviderName, point: str
) -> None:
    async with bench_on(sandbox, opened) as bench:
        gone = next(one for one in (await bench.wallet(name)).values() if one.is_provider_default)
        other = await bench.add(name)
        assert other.method is not None
        command = DeleteMethod(
            method_id=bench.id(name, gone.method_ref), idempotency_key=new_key(),
            replacement_id=bench.ids.encode_address(other.method),
        )  # fmt: skip
    await die_at(sandbox, opened, point, command)
    async with bench_on(sandbox, opened) as bench:
        result = await bench.writer.run(command, STAFF, soon())
        assert (result.problems, result.deleted) == ((), bench.address(name, gone.method_ref))
        shown = {ref: one for ref, one in (await bench.wallet(name)).items() if one.status.value == "ACTIVE"}
        choice = await opened.directory.choice(ALEX.id)
        assert gone.method_ref not in shown
        assert choice is not None
        assert choice.method_ref == other.method.method_ref
        assert [ref for ref, one in shown.items() if one.is_provider_default] == [other.method.method_ref]
        found = await opened.events.of_customer(ALEX.id, types=[EventType.METHOD_DELETED])
        assert [(event.method_ref, event.actor) for event in found.events] == [(gone.method_ref, "staff:tests")]


def _create(bench: Bench, *vaults: ProviderName) -> CreateCustomer:
    from tests.contract.case_loanpro import new_customer

    new = new_customer(77)
    return CreateCustomer(
        external_id="crash-77", idempotency_key=new_key(), name=new.name, email=new.email, phone=new.phone,
        address=new.address, provision_at=vaults,
    )  # fmt: skip


@pytest.mark.parametrize("name", [P.LOANPRO, P.CASELLE])
@pytest.mark.parametrize("step", ["begun", "prepared", "answered", "linked", "finishing", "finished"])
async def test_customer_is_created_once(sandbox: RunningSandbox, opened: Store, name: ProviderName, step: str) -> None:
    async with bench_on(sandbox, opened) as bench:
        command = _create(bench, name)
    point = {"prepared": f"prepared:create:{name.value}", "answered": f"answered:create:{name.value}"}.get(step, step)
    point = f"linked:{name.value}" if step == "linked" else point
    await die_at(sandbox, opened, point, command)
    async with bench_on(sandbox, opened) as bench:
        result = await bench.writer.run(command, STAFF, soon())
        assert result.problems == ()
        assert result.customer_id is not None
        entry = await opened.directory.entry(result.customer_id)
        found = await bench.providers[name].find_customer("crash-77", soon())  # raises if there are several
        assert entry is not None
        assert [(link.provider, link.customer_ref) for link in entry.links] == [(name, found)]


async def test_undecidable_profile_waits_for_an_operator(sandbox: RunningSandbox, opened: Store) -> None:
    async with bench_on(sandbox, opened) as bench:
        command = _create(bench, P.ALOHA)
    await die_at(sandbox, opened, "answered:create:aloha", command)
    async with bench_on(sandbox, opened) as bench:
        result = await bench.writer.run(command, STAFF, soon())
        assert [problem.code.value for problem in result.problems] == ["OUTCOME_UNKNOWN"]
        assert result.operation is not None
        assert (result.operation.state, result.operation.reconcile_at) == (OperationState.UNKNOWN, None)
        assert [one.id for one in await opened.journal.in_state(OperationState.UNKNOWN)] == [result.operation.id]


@pytest.mark.parametrize(
    "point", ["begun", "prepared:erase:jpmorgan", "answered:erase:jpmorgan", "finishing", "finished"]
)
async def test_customer_is_erased(sandbox: RunningSandbox, opened: Store, point: str) -> None:
    async with bench_on(sandbox, opened) as bench:
        await opened.directory.unlink(ALEX.id, P.ALOHA)
        command = EraseCustomer(customer_id=ALEX.id, idempotency_key=new_key(), confirm_external_id=ALEX.external_id)
    await die_at(sandbox, opened, point, command)
    async with bench_on(sandbox, opened) as bench:
        result = await bench.writer.run(command, STAFF, soon())
        assert result.problems == ()
        assert await opened.directory.entry(ALEX.id) is None
        assert await bench.providers[P.JPMORGAN].customer_exists(replace_ref(P.JPMORGAN), soon()) is False
        for name in (P.LOANPRO, P.CASELLE):
            assert [one for one in (await bench.wallet(name)).values() if one.status.value == "ACTIVE"] == []


def replace_ref(name: ProviderName) -> Any:
    return ALEX.refs[name.value]


@pytest.mark.parametrize("point", ["prepared:add", "answered:add", "finishing"])
async def test_card_that_replaces_all_others_is_sent_once(sandbox: RunningSandbox, opened: Store, point: str) -> None:
    """Aloha's call for companies without payment providers: the methods that are gone are forgotten, with events."""
    without: dict[str, Any] = {"aloha": {"payment_providers": []}}
    number = Secret("4012888888881881")
    new = NewCard(
        provider=P.ALOHA, route=AddRoute.RAW_CARD, secret=number, brand=CardBrand.VISA, expiry=Expiry(2031, 7),
        replace_existing=True,
    )  # fmt: skip
    async with bench_on(sandbox, opened, **without) as bench:
        held = set(await bench.wallet(P.ALOHA))
        command = bench.adding(P.ALOHA, method=new)
        await opened.directory.set_choice(ALEX.id, bench.address(P.ALOHA, min(held)), set_by="tests")
        bench.die_at = point
        await dead(bench.writer.run(command, STAFF, soon()))
        bench.clock.advance(minutes=1)
    async with bench_on(sandbox, opened, **without) as bench:
        result = await bench.writer.run(command, STAFF, soon())
        assert (result.problems, len(await bench.wallet(P.ALOHA))) == ((), 1)
        assert len([row for row in sandbox.calls("aloha") if row["method"] == "POST"]) == 1
        entry = await opened.directory.entry(ALEX.id)
        assert entry is not None
        assert entry.choice is None or entry.choice.method_ref not in held
        (operation,) = await opened.journal.of_customer(ALEX.id)
        assert number.reveal() not in repr((operation.intent, operation.result))
