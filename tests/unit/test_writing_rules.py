"""Refusals, partial results and repeats: rules independent of a single vault."""

from dataclasses import replace
from typing import Any

import pytest

from app.errors import OutcomeUnknown, RejectReason, VaultRejected
from app.sandbox.demo import ALEX, KIM
from app.store.records import OperationState, WriteOutcome
from app.vault.enums import CardBrand, CustomerRef, MethodRef, ProviderName
from app.vault.model import Expiry, NewCard
from app.vault.provider import Call
from app.wallet.commands import (
    AddMethod,
    CreateCustomer,
    DeleteMethod,
    EraseCustomer,
    IfDefault,
    OnDuplicate,
    SetDefault,
    WriteResult,
)
from app.wallet.problems import ProblemCode
from app.wallet.writes.reconcile import Reconciler
from tests.contract.case_loanpro import new_customer
from tests.support.calls import soon
from tests.support.sandbox import RunningSandbox
from tests.support.writing import BY_NAME, STAFF, Bench, dead, new_key

P = ProviderName
C = ProblemCode


def codes(result: WriteResult) -> list[ProblemCode]:
    return [problem.code for problem in result.problems]


# ---- adding -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [P.LOANPRO, P.ALOHA])
async def test_same_token_returns_the_existing_method(
    bench: Bench, sandbox: RunningSandbox, name: ProviderName
) -> None:
    method = bench.method(name)
    one = await bench.add(name, method=method)
    assert one.method is not None
    again = bench.adding(name, method=method)
    sandbox.clear_calls()
    existing = await bench.writer.run(again, STAFF, soon())
    assert (existing.method, existing.was_duplicate, codes(existing)) == (one.method, True, [])
    assert {row["method"] for row in sandbox.calls(name.value)} == {"GET"}
    rejected = bench.adding(name, method=method, on_duplicate=OnDuplicate.REJECT, method_path=("method", "x"))
    refused = await bench.writer.run(rejected, STAFF, soon())
    assert [(each.code, each.existing, each.path) for each in refused.problems] == [
        (C.DUPLICATE, one.method, ("method", "x"))
    ]


async def test_existing_method_may_become_the_default(bench: Bench) -> None:
    method = bench.method(P.LOANPRO)
    first = await bench.add(P.LOANPRO, method=method)
    again = await bench.add(P.LOANPRO, method=method, make_default=True, nickname="Mine")
    assert (again.was_duplicate, again.method, codes(again)) == (True, first.method, [])
    entry = await bench.store.directory.entry(ALEX.id)
    assert entry is not None
    assert entry.choice is not None
    assert first.method is not None
    assert (entry.choice.method_ref, entry.nicknames[first.method]) == (first.method.method_ref, "Mine")


async def test_look_alikes_in_the_same_vault_are_refused_on_request(bench: Bench) -> None:
    first = await bench.add(P.CASELLE)
    command = bench.adding(P.CASELLE, on_duplicate=OnDuplicate.REJECT)
    refused = await bench.writer.run(command, STAFF, soon())
    assert [(each.code, each.existing) for each in refused.problems] == [(C.DUPLICATE, first.method)]
    other = bench.adding(P.JPMORGAN, on_duplicate=OnDuplicate.REJECT)
    allowed = await bench.writer.run(other, STAFF, soon())
    assert codes(allowed) == []
    assert [each.existing for each in allowed.warnings] == [first.method]


async def test_rejected_default_keeps_the_added_method(bench: Bench) -> None:
    async def refuse(ref: CustomerRef, method: MethodRef, call: Call) -> None:
        raise VaultRejected("caselle", RejectReason.CONFLICT)

    held = set(await bench.wallet(P.CASELLE))
    bench.providers[P.CASELLE].set_default = refuse  # type: ignore[method-assign]
    command = bench.adding(P.CASELLE, make_default=True)
    result = await bench.writer.run(command, STAFF, soon())
    assert result.operation is not None
    assert (result.operation.state, result.operation.is_final) == (OperationState.PARTIAL, True)
    assert [(each.code, each.path, each.retryable) for each in result.problems] == [
        (C.PROVIDER_REJECTED, ("make_default",), False)
    ]
    assert result.method is not None
    assert set(await bench.wallet(P.CASELLE)) - held == {result.method.method_ref}
    assert await bench.store.directory.choice(ALEX.id) is None
    again = await bench.writer.run(command, STAFF, soon())
    assert (again.replayed, again.method, again.problems) == (True, result.method, result.problems)


async def test_expired_card_is_added_but_not_default(bench: Bench) -> None:
    method = bench.method(P.ALOHA)
    assert isinstance(method, NewCard)
    result = await bench.add(P.ALOHA, method=replace(method, expiry=Expiry(2020, 1)), make_default=True)
    assert [(each.code, each.path) for each in result.problems] == [(C.METHOD_EXPIRED, ("make_default",))]
    assert result.method is not None
    assert await bench.store.directory.choice(ALEX.id) is None


async def test_missing_customer_data_names_the_field(bench: Bench, sandbox: RunningSandbox) -> None:
    command = bench.adding(P.LOANPRO, customer_id=KIM.id, provision=True, method_path=("method", "loanpro_token"))
    sandbox.clear_calls()
    result = await bench.writer.run(command, STAFF, soon())
    assert result.operation is None
    assert {each.path for each in result.problems} == {
        ("billing_address", "line1"),
        ("billing_address", "city"),
        ("billing_address", "region"),
        ("billing_address", "country"),
    }
    assert sandbox.calls() == []


@pytest.mark.parametrize("name", list(P))
async def test_first_method_provisions_the_customer(bench: Bench, name: ProviderName) -> None:
    method = bench.method(name)
    if name is P.LOANPRO:
        method = replace(method, billing_address=new_customer(55).address)
    command = bench.adding(name, customer_id=KIM.id, provision=True, method=method)
    result = await bench.writer.run(command, STAFF, soon())
    assert codes(result) == []
    assert result.method is not None
    entry = await bench.store.directory.entry(KIM.id)
    assert entry is not None
    assert [(link.provider, link.customer_ref) for link in entry.links] == [(name, result.method.customer_ref)]
    assert set(await bench.wallet(name, result.method.customer_ref)) == {result.method.method_ref}
    again = await bench.writer.run(command, STAFF, soon())
    assert (again.method, again.replayed) == (result.method, True)


async def test_unlinked_customer_needs_provision(bench: Bench, sandbox: RunningSandbox) -> None:
    sandbox.clear_calls()
    result = await bench.add(P.CASELLE, customer_id=KIM.id)
    assert (codes(result), result.operation) == ([C.NOT_LINKED], None)
    assert sandbox.calls() == []


async def test_unreadable_new_record_may_be_the_added_one(bench: Bench, sandbox: RunningSandbox) -> None:
    """An add with a lost answer, and an unreadable new record in the list: the add must not count as absent."""
    vault = bench.providers[P.CASELLE]
    real = vault.wallets

    async def one_unreadable(refs: Any, call: Any) -> Any:
        found = dict(await real(refs, call))
        wallet = found[refs[0]]
        known = tuple(one for one in wallet.methods if one.method_ref in held)
        found[refs[0]] = replace(wallet, methods=known, skipped=len(wallet.methods) - len(known))
        return found

    bench.at["lost:add"] = lambda: setattr(vault, "wallets", one_unreadable)
    case = BY_NAME[P.CASELLE]
    sandbox.fault("caselle", "drop_after", method=case.write_verb, path=case.write_path, times=1)
    command = bench.adding(P.CASELLE)
    held = set(await bench.wallet(P.CASELLE))
    result = await bench.writer.run(command, STAFF, soon())
    assert result.operation is not None
    vault.wallets = real  # type: ignore[method-assign]
    assert result.problems == ()  # exactly one id is new
    assert result.method is not None
    assert set(await bench.wallet(P.CASELLE)) - held == {result.method.method_ref}


# ---- deleting ---------------------------------------------------------------------------------------------


async def test_deleting_a_default_by_rule_is_refused_too(bench: Bench) -> None:
    for name in (P.ALOHA, P.JPMORGAN, P.CASELLE):
        await bench.store.directory.unlink(ALEX.id, name)
    primary = next(one for one in (await bench.wallet(P.LOANPRO)).values() if one.is_provider_default)
    command = DeleteMethod(method_id=bench.id(P.LOANPRO, primary.method_ref), if_default=IfDefault.REJECT)
    assert codes(await bench.writer.run(command, STAFF, soon())) == [C.METHOD_IN_USE]


async def test_default_is_unknown_while_a_vault_fails(bench: Bench, sandbox: RunningSandbox) -> None:
    method = next(one for one in (await bench.wallet(P.LOANPRO)).values() if not one.is_provider_default)
    command = DeleteMethod(
        method_id=bench.id(P.LOANPRO, method.method_ref), if_default=IfDefault.REJECT, idempotency_key=new_key()
    )
    sandbox.fault("jpmorgan", "status", status=503)
    refused = await bench.writer.run(command, STAFF, soon())
    assert [(each.code, each.retryable) for each in refused.problems] == [(C.DEFAULT_UNKNOWN, True)]
    sandbox.clear_faults()
    assert codes(await bench.writer.run(command, STAFF, soon())) == []


async def test_deleting_again_succeeds_without_a_write(bench: Bench, sandbox: RunningSandbox) -> None:
    method = await bench.first(P.LOANPRO)
    method_id = bench.id(P.LOANPRO, method.method_ref)
    assert codes(await bench.writer.run(DeleteMethod(method_id=method_id), STAFF, soon())) == []
    sandbox.clear_calls()
    again = await bench.writer.run(DeleteMethod(method_id=method_id), STAFF, soon())
    assert (codes(again), again.deleted) == ([], bench.address(P.LOANPRO, method.method_ref))
    assert {row["method"] for row in sandbox.calls("loanpro")} == {"GET"}


async def test_deleting_the_chosen_method_clears_the_choice(bench: Bench) -> None:
    method = (await bench.add(P.CASELLE, make_default=True, nickname="Gone")).method
    assert method is not None
    command = DeleteMethod(method_id=bench.ids.encode_address(method))
    assert codes(await bench.writer.run(command, STAFF, soon())) == []
    entry = await bench.store.directory.entry(ALEX.id)
    assert entry is not None
    assert (entry.choice, dict(entry.nicknames)) == (None, {})


# ---- several vaults ---------------------------------------------------------------------------------------


def creating(*vaults: ProviderName, number: int = 70) -> CreateCustomer:
    new = new_customer(number)
    return CreateCustomer(
        external_id=f"rules-{number}",
        idempotency_key=new_key(),
        name=new.name,
        email=new.email,
        phone=new.phone,
        address=new.address,
        provision_at=vaults,
    )


async def test_only_the_failed_vault_runs_again(bench: Bench, sandbox: RunningSandbox) -> None:
    command = creating(P.LOANPRO, P.CASELLE)
    sandbox.fault("caselle", "throttle", method="POST", path="/api/customers", times=1, retry_after_s=0)
    result = await bench.writer.run(command, STAFF, soon())
    assert result.operation is not None
    assert result.operation.state is OperationState.PARTIAL
    assert [(each.code, each.provider, each.outcome, each.path) for each in result.problems] == [
        (C.PROVIDER_THROTTLED, P.CASELLE, WriteOutcome.NOT_APPLIED, ("provision_at",))
    ]
    sandbox.clear_calls()
    again = await bench.until_settled(lambda: bench.writer.run(command, STAFF, soon()))
    assert (codes(again), again.customer_id) == ([], result.customer_id)
    assert again.operation is not None
    assert (again.operation.id, again.operation.state) == (result.operation.id, OperationState.SUCCEEDED)
    assert sandbox.calls("loanpro") == []
    rows = (await bench.store.journal.results(again.operation.id)).rows
    assert [(row.provider, row.state) for row in rows] == [
        (P.LOANPRO, OperationState.SUCCEEDED),
        (P.CASELLE, OperationState.SUCCEEDED),
    ]


async def test_vault_record_of_another_customer_is_a_conflict(bench: Bench) -> None:
    """Caselle returns the existing customer for a known key; here it is linked to another customer."""
    first = creating(P.CASELLE)
    done = await bench.writer.run(first, STAFF, soon())
    assert codes(done) == []
    entry = await bench.store.directory.entry(done.customer_id or "")
    assert entry is not None
    ref = entry.links[0].customer_ref
    made = bench.providers[P.CASELLE].create_customer

    async def the_same(new: Any, call: Call) -> CustomerRef:
        await made(new, call)
        return ref

    bench.providers[P.CASELLE].create_customer = the_same  # type: ignore[method-assign]
    result = await bench.writer.run(creating(P.CASELLE, number=71), STAFF, soon())
    assert [(each.code, each.provider) for each in result.problems] == [(C.LINK_CONFLICT, P.CASELLE)]


async def test_erasure_keeps_the_link_of_a_failed_vault(bench: Bench, sandbox: RunningSandbox) -> None:
    command = EraseCustomer(customer_id=ALEX.id, idempotency_key=new_key(), confirm_external_id=ALEX.external_id)
    wrong = replace(command, confirm_external_id="somebody-else", idempotency_key=new_key())
    assert codes(await bench.writer.run(wrong, STAFF, soon())) == [C.INVALID_INPUT]
    await bench.add(P.CASELLE, nickname="Ada's", make_default=True)
    result = await bench.writer.run(command, STAFF, soon())
    assert result.operation is not None
    assert (result.operation.state, codes(result)) == (OperationState.PARTIAL, [C.UNSUPPORTED_BY_PROVIDER])
    rows = (await bench.store.journal.results(result.operation.id)).rows
    assert {row.provider: row.state for row in rows} == {
        P.ALOHA: OperationState.FAILED,
        P.CASELLE: OperationState.SUCCEEDED,
        P.JPMORGAN: OperationState.SUCCEEDED,
        P.LOANPRO: OperationState.SUCCEEDED,
    }
    entry = await bench.store.directory.entry(ALEX.id)
    assert entry is not None
    assert [link.provider for link in entry.links] == [P.ALOHA]
    assert (entry.customer.name, entry.customer.email, entry.choice, dict(entry.nicknames)) == (None, None, None, {})
    for operation in await bench.store.journal.of_customer(ALEX.id):
        assert "Ada" not in repr((operation.intent, operation.result))


# ---- late results -----------------------------------------------------------------------------------------


async def test_late_default_does_not_replace_a_newer_choice(bench: Bench, sandbox: RunningSandbox) -> None:
    late = (await bench.add(P.JPMORGAN)).method
    newer = (await bench.add(P.ALOHA)).method
    assert late is not None
    assert newer is not None
    command = SetDefault(customer_id=ALEX.id, method_id=bench.ids.encode_address(late), idempotency_key=new_key())
    real = bench.providers[P.JPMORGAN].set_default

    async def lost(ref: CustomerRef, method: MethodRef, call: Call) -> None:
        await real(ref, method, call)
        bench.providers[P.JPMORGAN].wallets = dark  # type: ignore[method-assign]
        raise OutcomeUnknown("jpmorgan")

    shown = bench.providers[P.JPMORGAN].wallets

    async def dark(refs: Any, call: Call) -> Any:
        raise VaultRejected("jpmorgan", RejectReason.CONTRACT)

    bench.providers[P.JPMORGAN].set_default = lost  # type: ignore[method-assign]
    bench.deps.deadlines_s = dict.fromkeys(P, 1.5)
    unknown = await bench.writer.run(command, STAFF, soon())
    assert codes(unknown) == [C.OUTCOME_UNKNOWN]
    chosen = SetDefault(customer_id=ALEX.id, method_id=bench.ids.encode_address(newer))
    assert codes(await bench.until_settled(lambda: bench.writer.run(chosen, STAFF, soon()))) == []
    bench.providers[P.JPMORGAN].wallets = shown  # type: ignore[method-assign]
    settled = await bench.until_settled(lambda: bench.writer.run(command, STAFF, soon()))
    assert codes(settled) == []
    choice = await bench.store.directory.choice(ALEX.id)
    assert choice is not None
    assert choice.method_ref == newer.method_ref


async def test_ids_of_other_tenants_are_not_found(bench: Bench) -> None:
    theirs = bench.ids.encode(P.CASELLE, CustomerRef("cus_nobody"), MethodRef("spm_x"))
    for method_id in (theirs, "pm_nonsense", ""):
        deleted = await bench.writer.run(DeleteMethod(method_id=method_id), STAFF, soon())
        assert [(each.code, each.path) for each in deleted.problems] == [(C.NOT_FOUND, ("id",))]
        chosen = await bench.writer.run(SetDefault(customer_id=ALEX.id, method_id=method_id), STAFF, soon())
        assert [(each.code, each.path) for each in chosen.problems] == [(C.NOT_FOUND, ("payment_method_id",))]
    unknown: AddMethod = bench.adding(P.CASELLE, customer_id="cus_nobody")
    assert codes(await bench.writer.run(unknown, STAFF, soon())) == [C.NOT_FOUND]


async def test_unsupported_brand_is_a_field_error(bench: Bench) -> None:
    method = bench.method(P.ALOHA)
    assert isinstance(method, NewCard)
    result = await bench.add(
        P.ALOHA, method=replace(method, brand=CardBrand.UNIONPAY), method_path=("method", "aloha_token")
    )
    assert [(each.path, each.outcome) for each in result.problems] == [(("method", "aloha_token", "brand"), None)]


async def test_write_at_a_disabled_vault_stays_unknown(bench: Bench, sandbox: RunningSandbox, sqlite_url: str) -> None:
    """It is decided once the vault is enabled again."""
    held = set(await bench.wallet(P.CASELLE))
    command = bench.adding(P.CASELLE)
    bench.die_at = "answered:add"
    await dead(bench.writer.run(command, STAFF, soon()))
    bench.die_at = None
    bench.clock.advance(minutes=1)
    on = bench.reader.providers
    bench.reader.providers = {name: vault for name, vault in on.items() if name is not P.CASELLE}
    await Reconciler(bench.writer).sweep()
    (operation,) = await bench.store.journal.of_customer(ALEX.id)
    assert operation.state is OperationState.UNKNOWN
    bench.reader.providers = on
    result = await bench.writer.run(command, STAFF, soon())
    assert (codes(result), result.replayed) == ([], True)
    assert len(set(await bench.wallet(P.CASELLE)) - held) == 1


async def test_write_of_an_erased_customer_stays_unknown(bench: Bench) -> None:
    command = bench.adding(P.CASELLE)
    bench.die_at = "answered:add"
    await dead(bench.writer.run(command, STAFF, soon()))
    bench.die_at = None
    bench.clock.advance(minutes=1)
    await bench.store.erase(ALEX.id)
    await Reconciler(bench.writer).sweep()
    (operation,) = await bench.store.journal.of_customer(ALEX.id)
    assert operation.state is OperationState.UNKNOWN
