"""The writing half of the `VaultProvider` contract, for every vault, against its emulator. Import all of it."""

from dataclasses import fields, replace
from typing import Any

import pytest

from app.errors import OutcomeUnknown, RejectReason, UnsupportedByVault, VaultRejected, VaultThrottled
from app.testing.case import VaultCase
from app.testing.reading import read
from app.testing.sandbox import RunningSandbox
from app.vault.enums import AddRoute, CustomerRef, MethodRef, PaymentMethodStatus, ProviderCapability
from app.vault.model import (
    Address,
    BeforeAdd,
    Expiry,
    MethodChange,
    NewCard,
    NewCustomer,
    NewMethod,
    PaymentMethod,
    PersonName,
)
from app.vault.provider import BatchAddingVault, Call, VaultProvider
from app.vault.secret import Secret


def declares(vault: VaultProvider, capability: ProviderCapability) -> bool:
    return capability in vault.capabilities.operations


async def active(vault: VaultProvider, ref: CustomerRef, call: Call) -> list[PaymentMethod]:
    wallet = await read(vault, ref, call)
    return [method for method in wallet.methods if method.status is PaymentMethodStatus.ACTIVE]


async def defaults(vault: VaultProvider, ref: CustomerRef, call: Call) -> list[MethodRef]:
    return [method.method_ref for method in (await read(vault, ref, call)).methods if method.is_provider_default]


# ---- adding -----------------------------------------------------------------------------------------------


async def test_an_added_method_exists_once(
    vault: VaultProvider, case: VaultCase, method_kind: str, sandbox: RunningSandbox, call: Call
) -> None:
    new = case.new_methods[method_kind](sandbox)
    assert vault.faults_of_add(new) == []
    held = frozenset(method.method_ref for method in (await read(vault, case.full_ref, call)).methods)
    before = await vault.before_add(case.full_ref, new, call)
    assert (before.method_refs, before.duplicate_of) == (held, None)
    added = await vault.add(case.full_ref, new, before, False, call)
    wallet = await read(vault, case.full_ref, call)
    assert added.customer_ref == case.full_ref
    assert {method.method_ref for method in wallet.methods} - held == {added.method_ref}
    method = next(method for method in wallet.methods if method.method_ref == added.method_ref)
    status = PaymentMethodStatus.INACTIVE if new.active is False else PaymentMethodStatus.ACTIVE
    assert (method.kind, method.status) == (new.kind, status)
    assert method.last4 == (new.last4 or method.last4)
    if not case.is_token_the_ref:
        assert new.secret.reveal() not in repr(wallet)
        assert new.secret.reveal() not in repr(added)


async def test_the_same_token_is_seen_before_it_is_added_again(
    vault: VaultProvider, case: VaultCase, method_kind: str, sandbox: RunningSandbox, call: Call
) -> None:
    new = case.new_methods[method_kind](sandbox)
    before = await vault.before_add(case.full_ref, new, call)
    added = await vault.add(case.full_ref, new, before, False, call)
    again = await vault.before_add(case.full_ref, new, call)
    assert added.method_ref in again.method_refs
    assert again.duplicate_of == (added.method_ref if case.sees_same_token else None)


async def test_an_add_to_an_unknown_customer_changes_nothing(
    vault: VaultProvider, case: VaultCase, method_kind: str, sandbox: RunningSandbox, call: Call
) -> None:
    new = case.new_methods[method_kind](sandbox)
    with pytest.raises(VaultRejected) as before:
        await vault.before_add(case.unknown_ref, new, call)
    assert before.value.reason is RejectReason.CUSTOMER_NOT_FOUND
    with pytest.raises(VaultRejected) as added:
        await vault.add(case.unknown_ref, new, BeforeAdd(method_refs=frozenset()), False, call)
    assert added.value.reason is RejectReason.CUSTOMER_NOT_FOUND


@pytest.mark.parametrize("kind", ["drop_after", "garbage"])
async def test_a_lost_reply_is_unknown_and_not_retried(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call, kind: str
) -> None:
    new = next(iter(case.new_methods.values()))(sandbox)
    before = await vault.before_add(case.full_ref, new, call)
    committed = {"commit": True} if kind == "garbage" else {}
    sandbox.fault(case.name, kind, method=case.write_verb, path=case.write_path, **committed)
    sandbox.clear_calls()
    with pytest.raises(OutcomeUnknown):
        await vault.add(case.full_ref, new, before, False, call)
    sandbox.clear_faults()
    assert [row["method"] for row in sandbox.calls(case.name)] == [case.write_verb]
    after = await vault.before_add(case.full_ref, new, call)
    assert len(after.method_refs - before.method_refs) == 1


async def test_several_methods_are_added_in_one_call_and_told_apart(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    is_able = vault.capabilities.add_limit > 1
    if not (is_able and isinstance(vault, BatchAddingVault)):
        assert not is_able
        return
    news = [make(sandbox) for make in case.new_methods.values()]
    news = [new for at, new in enumerate(news) if new.kind not in [other.kind for other in news[:at]]]
    befores = await vault.before_add_all(case.full_ref, news, call)
    assert [before.duplicate_of for before in befores] == [None] * len(news)
    sandbox.clear_calls()
    added = await vault.add_all(case.full_ref, news, befores[0], None, call)
    assert [row["method"] for row in sandbox.calls(case.name) if row["method"] != "GET"] == [case.write_verb]
    found = {method.method_ref: method for method in (await read(vault, case.full_ref, call)).methods}
    assert found.keys() - befores[0].method_refs == {one.method_ref for one in added}
    assert [found[one.method_ref].kind for one in added] == [new.kind for new in news]


async def test_a_lost_reply_to_several_is_unknown(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    if not isinstance(vault, BatchAddingVault):
        return
    news = [next(iter(case.new_methods.values()))(sandbox) for _ in range(2)]
    befores = await vault.before_add_all(case.full_ref, news, call)
    sandbox.fault(case.name, "drop_after", method=case.write_verb, path=case.write_path)
    sandbox.clear_calls()
    with pytest.raises(OutcomeUnknown):
        await vault.add_all(case.full_ref, news, befores[0], None, call)
    assert [row["method"] for row in sandbox.calls(case.name)] == [case.write_verb]


@pytest.mark.parametrize(("kind", "status"), [("drop_before", None), ("status", 500), ("status", 504)])
async def test_a_write_that_may_have_been_applied_is_unknown(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call, kind: str, status: int | None
) -> None:
    new = next(iter(case.new_methods.values()))(sandbox)
    before = await vault.before_add(case.full_ref, new, call)
    more = {} if status is None else {"status": status}
    sandbox.fault(case.name, kind, method=case.write_verb, path=case.write_path, **more)
    sandbox.clear_calls()
    with pytest.raises(OutcomeUnknown):
        await vault.add(case.full_ref, new, before, False, call)
    assert len(sandbox.calls(case.name)) == 1
    sandbox.clear_faults()
    assert (await vault.before_add(case.full_ref, new, call)).method_refs == before.method_refs


async def test_a_throttled_write_is_unknown_and_throttled_if_absent(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    new = next(iter(case.new_methods.values()))(sandbox)
    before = await vault.before_add(case.full_ref, new, call)
    held = sandbox.held(case.name, case.full_ref)
    sandbox.fault(case.name, "throttle", method=case.write_verb, path=case.write_path)
    with pytest.raises(OutcomeUnknown) as unknown:
        await vault.add(case.full_ref, new, before, False, call)
    assert isinstance(unknown.value.if_absent, VaultThrottled)
    assert sandbox.held(case.name, case.full_ref) == held


async def test_an_undeclared_route_is_a_fault(vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox) -> None:
    refused = set(AddRoute) - vault.capabilities.add_via
    for route in refused:
        new = NewCard(provider=case.name, route=route, secret=Secret("x"))
        assert "UNSUPPORTED_BY_PROVIDER" in {fault.code for fault in vault.faults_of_add(new)}
    assert refused
    assert sandbox.calls(case.name) == []


async def test_a_fault_names_a_field_and_never_its_value(
    vault: VaultProvider, case: VaultCase, method_kind: str, sandbox: RunningSandbox
) -> None:
    """With each field emptied in turn, valid input stays valid or is refused naming that field."""
    new = case.new_methods[method_kind](sandbox)
    for name in (name for name in _field_names(new) if getattr(new, name) is not None):
        nothing: Any = {name: Secret("") if name == "secret" else None}
        emptied = replace(new, **nothing)
        for fault in vault.faults_of_add(emptied):
            assert fault.path[0] in (name, *_field_names(new))
            assert fault.message
    without = vault.faults_of_add(replace(new, secret=Secret("")))
    assert [fault.code for fault in without if fault.path == ("secret",)] == ["REQUIRED"]


def _field_names(new: NewMethod) -> list[str]:
    return [field.name for field in fields(new) if field.name not in ("provider", "route", "token_type", "rail")]


# ---- default ----------------------------------------------------------------------------------------------


async def test_the_default_moves_and_there_is_one(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    methods = await active(vault, case.full_ref, call)
    if not declares(vault, ProviderCapability.SET_DEFAULT):
        sandbox.clear_calls()
        with pytest.raises(UnsupportedByVault):
            await vault.set_default(case.full_ref, methods[0].method_ref, call)
        assert sandbox.calls(case.name) == []
        return
    for method in (*methods, methods[0]):
        await vault.set_default(case.full_ref, method.method_ref, call)
        assert await defaults(vault, case.full_ref, call) == [method.method_ref]
    await vault.set_default(case.full_ref, methods[0].method_ref, call)
    assert await defaults(vault, case.full_ref, call) == [methods[0].method_ref]


async def test_an_unknown_method_cannot_be_the_default(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    if not declares(vault, ProviderCapability.SET_DEFAULT):
        pytest.skip("this vault has no default")
    held = sandbox.held(case.name, case.full_ref)
    with pytest.raises(VaultRejected) as refused:
        await vault.set_default(case.full_ref, case.unknown_method, call)
    assert refused.value.reason is RejectReason.METHOD_NOT_FOUND
    assert sandbox.held(case.name, case.full_ref) == held


# ---- updating ---------------------------------------------------------------------------------------------


async def test_an_update_changes_only_the_given_fields(
    vault: VaultProvider, case: VaultCase, change: str, call: Call
) -> None:
    asked = case.changes[change]
    method = (await active(vault, case.full_ref, call))[0]
    assert vault.faults_of_update(method, asked) == []
    ref = await vault.update(method, asked, call)
    found = {method.method_ref: method for method in (await read(vault, case.full_ref, call)).methods}
    updated = found[ref]
    assert (updated.kind, updated.last4) == (method.kind, method.last4)
    for expected, actual in _expected_and_actual(method, asked, updated):
        assert actual == expected
    assert len([method for method in found.values() if method.is_secondary]) <= 1


def _expected_and_actual(before: PaymentMethod, change: MethodChange, after: PaymentMethod) -> list[tuple[Any, Any]]:
    status = before.status
    if change.active is not None:
        status = PaymentMethodStatus.ACTIVE if change.active else PaymentMethodStatus.INACTIVE
    pairs = [
        (status, after.status),
        (str(change.holder) if change.holder else before.holder_name, after.holder_name),
        (before.title if change.title is None else change.title, after.title),
        (change.expiry or getattr(before, "expiry", None), getattr(after, "expiry", None)),
        (change.billing_address or before.billing_address, after.billing_address),
    ]
    if change.is_secondary is not None:
        pairs.append((change.is_secondary, after.is_secondary))
    return pairs


async def test_an_undeclared_change_is_a_fault(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    method = (await active(vault, case.full_ref, call))[0]
    sandbox.clear_calls()
    able = vault.capabilities.operations
    asked = {
        "expiry": (MethodChange(expiry=Expiry(2040, 1)), ProviderCapability.UPDATE_EXPIRY in able),
        "holder": (MethodChange(holder=PersonName("A", "B")), ProviderCapability.UPDATE_HOLDER in able),
        "billing_address": (MethodChange(billing_address=Address()), ProviderCapability.UPDATE_BILLING in able),
        "active": (MethodChange(active=False), ProviderCapability.UPDATE_STATUS in able),
        "is_secondary": (MethodChange(is_secondary=True), ProviderCapability.UPDATE_SECONDARY in able),
        "title": (MethodChange(title="x"), vault.capabilities.titles_methods),
    }
    for name, (change, is_declared) in asked.items():
        refused = [fault.path for fault in vault.faults_of_update(method, change) if fault.code.startswith("UNSUPP")]
        assert is_declared or refused == [(name,)]
    if not any(is_declared for _, is_declared in asked.values()):
        with pytest.raises(UnsupportedByVault):
            await vault.update(method, MethodChange(active=False), call)
    assert sandbox.calls(case.name) == []


async def test_an_update_of_an_unknown_method_is_refused(
    vault: VaultProvider, case: VaultCase, change: str, call: Call
) -> None:
    method = replace((await active(vault, case.full_ref, call))[0], method_ref=case.unknown_method)
    with pytest.raises(VaultRejected) as refused:
        await vault.update(method, case.changes[change], call)
    assert refused.value.reason is RejectReason.METHOD_NOT_FOUND


# ---- deleting ---------------------------------------------------------------------------------------------


async def test_delete_is_idempotent_and_final(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    methods = await active(vault, case.full_ref, call)
    if not declares(vault, ProviderCapability.DELETE):
        sandbox.clear_calls()
        with pytest.raises(UnsupportedByVault):
            await vault.delete(case.full_ref, methods[0].method_ref, call)
        assert sandbox.calls(case.name) == []
        return
    for method in methods:
        await vault.delete(case.full_ref, method.method_ref, call)
        await vault.delete(case.full_ref, method.method_ref, call)
        found = {method.method_ref: method for method in (await read(vault, case.full_ref, call)).methods}
        kept = found.get(method.method_ref)
        assert (kept is not None) == vault.capabilities.deletes_softly
        assert kept is None or kept.status is PaymentMethodStatus.INACTIVE
        assert method.method_ref not in await defaults(vault, case.full_ref, call)
    await vault.delete(case.full_ref, case.unknown_method, call)
    assert await active(vault, case.full_ref, call) == []


async def test_erasing_a_customer(vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call) -> None:
    if vault.capabilities.erases_customers:
        await vault.erase_customer(case.full_ref, call)
        assert await vault.customer_exists(case.full_ref, call) is False
        return
    with pytest.raises(UnsupportedByVault):
        await vault.erase_customer(case.full_ref, call)
    assert sandbox.calls(case.name) == []


# ---- customers --------------------------------------------------------------------------------------------


async def test_a_customer_is_created_and_found(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    if case.new_customer is None:
        new = NewCustomer(external_id="x", name=PersonName("A", "B"))
        assert [fault.code for fault in vault.faults_of_customer(new)] == ["UNSUPPORTED_BY_PROVIDER"]
        with pytest.raises(UnsupportedByVault):
            await vault.create_customer(new, call)
        assert not vault.capabilities.creates_customers
        assert sandbox.calls(case.name) == []
        return
    assert vault.capabilities.creates_customers
    new = case.new_customer(1)
    assert vault.faults_of_customer(new) == []
    ref = await vault.create_customer(new, call)
    assert await vault.customer_exists(ref, call) is True
    assert (await read(vault, ref, call)).methods == ()
    if vault.capabilities.finds_customers_by_external_id:
        assert await vault.find_customer(new.external_id, call) == ref
        assert await vault.find_customer("unknown key", call) is None
    method = next(iter(case.new_methods.values()))(sandbox)
    before = await vault.before_add(ref, method, call)
    added = await vault.add(ref, method, before, False, call)
    assert [method.method_ref for method in (await read(vault, ref, call)).methods] == [added.method_ref]


async def test_the_same_customer_again(vault: VaultProvider, case: VaultCase, call: Call) -> None:
    if case.new_customer is None:
        pytest.skip("this vault creates no customer by itself")
    new = case.new_customer(2)
    ref = await vault.create_customer(new, call)
    if case.creates_again:
        assert await vault.create_customer(new, call) != ref
        return
    if case.second_create is None:
        assert await vault.create_customer(new, call) == ref
        return
    with pytest.raises(VaultRejected) as refused:
        await vault.create_customer(new, call)
    assert refused.value.reason is case.second_create


async def test_a_lost_create_reply_is_unknown(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    if case.new_customer is None:
        pytest.skip("this vault creates no customer by itself")
    new = case.new_customer(3)
    sandbox.fault(case.name, "drop_after", method="*", path=case.customer_path, times=1)
    if (
        case.second_create is None and not case.creates_again
    ):  # our id is the idempotency key: a lost create is looked up, not repeated
        assert await vault.create_customer(new, call) == await vault.find_customer(new.external_id, call)
        return
    with pytest.raises(OutcomeUnknown):
        await vault.create_customer(new, call)
    if vault.capabilities.finds_customers_by_external_id:
        assert await vault.find_customer(new.external_id, call) is not None


async def test_undeclared_create_with_first_method(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    if vault.capabilities.creates_customer_with_method:
        pytest.skip("declared, and tested with that vault")
    new = next(iter(case.new_methods.values()))(sandbox)
    with pytest.raises(UnsupportedByVault):
        await vault.create_with_method(NewCustomer(external_id="x", name=PersonName("A", "B")), new, call)
    assert sandbox.calls(case.name) == []
