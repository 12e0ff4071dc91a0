"""The reading half of the `VaultProvider` contract, for every vault, against its emulator. Import all of it."""

import asyncio
from math import ceil
from typing import Any

import pytest

from app.errors import (
    RejectReason,
    UnsupportedByVault,
    VaultError,
    VaultRefusedUs,
    VaultRejected,
    VaultReplyUnreadable,
    VaultThrottled,
    VaultTimeout,
    VaultUnavailable,
)
from app.testing.case import VaultCase
from app.testing.fixtures import Build
from app.testing.sandbox import RunningSandbox
from app.vault.enums import CustomerRef, PaymentMethodStatus, ProviderCapability
from app.vault.model import VaultWallet
from app.vault.provider import Call, VaultProvider

SET_DEFAULT = ProviderCapability.SET_DEFAULT


async def read(vault: VaultProvider, ref: CustomerRef, call: Call) -> VaultWallet:
    found = (await vault.wallets([ref], call))[ref]
    assert isinstance(found, VaultWallet), found
    return found


async def failure(vault: VaultProvider, ref: CustomerRef, call: Call) -> VaultError:
    """The error of one read: raised, or returned for the ref."""
    try:
        found = (await vault.wallets([ref], call))[ref]
    except VaultError as error:
        return error
    assert isinstance(found, VaultError), found
    return found


async def test_a_wallet_is_what_the_vault_holds(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    wallet = await read(vault, case.full_ref, call)
    held = {row["ref"]: row for row in sandbox.held(case.name, case.full_ref)}
    assert len(held) > 1
    assert (wallet.provider, wallet.customer_ref, wallet.skipped, wallet.truncated) == (
        case.name,
        case.full_ref,
        0,
        False,
    )
    assert (wallet.profile is not None) == vault.capabilities.keeps_profiles
    assert {method.method_ref for method in wallet.methods} == set(held)
    for method in wallet.methods:
        row = held[method.method_ref]
        assert (method.provider, method.customer_ref) == (case.name, case.full_ref)
        assert method.kind.value.lower().startswith(row["kind"])
        assert method.last4 == row["last4"]
        assert (method.status is PaymentMethodStatus.ACTIVE) == row["active"]
        assert bool(method.is_provider_default) == row["is_default"]
        assert (method.is_provider_default is None) == (SET_DEFAULT not in vault.capabilities.operations)


async def test_a_customer_is_one_call(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    await vault.check(call)
    sandbox.clear_calls()
    await read(vault, case.full_ref, call)
    assert [row["status"] for row in sandbox.calls(case.name)] == [200]


async def test_many_customers_use_as_few_calls_as_the_vault_allows(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    await vault.check(call)
    sandbox.clear_calls()
    found = await vault.wallets(case.many_refs, call)
    assert list(found) == list(case.many_refs)
    assert all(isinstance(wallet, VaultWallet) and wallet.methods for wallet in found.values())
    assert len(sandbox.calls(case.name)) == ceil(len(case.many_refs) / vault.capabilities.batch_limit)


async def test_a_customer_without_methods_is_empty_and_not_missing(
    vault: VaultProvider, case: VaultCase, call: Call
) -> None:
    if case.empty_ref is None:
        pytest.skip("this vault has no customers without methods")
    assert (await read(vault, case.empty_ref, call)).methods == ()


async def test_an_unknown_customer_affects_only_itself(vault: VaultProvider, case: VaultCase, call: Call) -> None:
    found = await vault.wallets([case.unknown_ref, case.full_ref], call)
    missing = found[case.unknown_ref]
    assert isinstance(missing, VaultRejected)
    assert missing.reason is RejectReason.CUSTOMER_NOT_FOUND
    assert isinstance(found[case.full_ref], VaultWallet)


async def test_an_unknown_customer_alone(vault: VaultProvider, case: VaultCase, call: Call) -> None:
    error = await failure(vault, case.unknown_ref, call)
    assert isinstance(error, VaultRejected)
    assert error.reason is RejectReason.CUSTOMER_NOT_FOUND


async def test_a_malformed_ref_is_unknown_without_a_call(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    for ref in case.malformed_refs:
        error = await failure(vault, ref, call)
        assert isinstance(error, VaultRejected)
        assert error.reason is RejectReason.CUSTOMER_NOT_FOUND
        assert await vault.customer_exists(ref, call) is False
    assert sandbox.calls(case.name) == []


async def test_an_empty_batch_makes_no_call(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    assert dict(await vault.wallets([], call)) == {}
    assert sandbox.calls(case.name) == []


async def test_whether_a_customer_exists(vault: VaultProvider, case: VaultCase, call: Call) -> None:
    assert await vault.customer_exists(case.full_ref, call) is True
    assert await vault.customer_exists(case.unknown_ref, call) is False


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("status", {"status": 500}, VaultUnavailable),
        ("status", {"status": 503}, VaultUnavailable),
        ("drop_before", {}, VaultUnavailable),
        ("throttle", {}, VaultThrottled),
        ("garbage", {}, VaultReplyUnreadable),
        ("truncate", {}, (VaultUnavailable, VaultReplyUnreadable)),
        ("status", {"status": 401}, VaultRefusedUs),
        ("status", {"status": 403}, VaultRefusedUs),
        ("status", {"status": 418}, VaultReplyUnreadable),
    ],
)
async def test_a_vault_that_misbehaves(
    vault: VaultProvider,
    case: VaultCase,
    sandbox: RunningSandbox,
    call: Call,
    kind: str,
    fields: dict[str, int],
    expected: type[VaultError] | tuple[type[VaultError], ...],
) -> None:
    sandbox.fault(case.name, kind, path=case.read_path, **fields)
    error = await failure(vault, case.full_ref, call)
    assert isinstance(error, expected)
    assert error.provider == case.name
    assert error.__cause__ is None


async def test_a_hanging_vault_takes_its_deadline(
    build: Build, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    vault = build(case, deadline_s=60.0)
    await vault.check(call)
    sandbox.fault(case.name, "hang", path=case.read_path)
    now = asyncio.get_running_loop().time
    started_at = now()
    error = await failure(vault, case.full_ref, Call(deadline_at=started_at + 0.3, request_id="contract"))
    assert isinstance(error, VaultTimeout)
    assert now() - started_at < 30
    sandbox.clear_faults()


async def test_a_short_failure_is_retried(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    sandbox.fault(case.name, "drop_before", path=case.read_path, times=1)
    assert (await read(vault, case.full_ref, call)).methods


async def test_credentials_that_work(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    await vault.check(call)
    assert len(sandbox.calls(case.name)) == 1


async def test_credentials_that_are_refused(build: Build, case: VaultCase, call: Call) -> None:
    with pytest.raises(VaultRefusedUs):
        await build(case, **case.wrong_settings).check(call)


async def test_a_vault_that_is_not_there(build: Build, case: VaultCase, call: Call) -> None:
    with pytest.raises(VaultUnavailable):
        await build(case, base_url="http://127.0.0.1:9/", retries=0).wallets([case.full_ref], call)


async def test_undeclared_reads_are_not_made(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    wallet = await read(vault, case.full_ref, call)
    sandbox.clear_calls()
    if ProviderCapability.THREE_D_SECURE not in vault.capabilities.operations:
        with pytest.raises(UnsupportedByVault):
            await vault.three_d_secure(case.full_ref, wallet.methods[0].method_ref, call)
    if not vault.capabilities.finds_customers_by_external_id:
        with pytest.raises(UnsupportedByVault):
            await vault.find_customer("user-88420", call)
    assert sandbox.calls(case.name) == []


NOT_OURS: list[tuple[int, Any]] = [
    (404, "<html>404 Not Found</html>"),
    (404, {"message": "Not Found"}),
    (404, {"error": "not_found", "path": "/api/customers/x/payment-methods"}),
    (404, {"message": "no Route matched with those values"}),
    (404, ""),
    (409, "<html>conflict</html>"),
]


@pytest.mark.parametrize(("status", "body"), NOT_OURS)
async def test_a_404_of_another_server_is_not_an_unknown_customer(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call, status: int, body: Any
) -> None:
    sandbox.fault(case.name, "rewrite", status=status, body=body)
    error = await failure(vault, case.full_ref, call)
    assert not isinstance(error, VaultRejected), error
    with pytest.raises(VaultError) as caught:
        await vault.customer_exists(case.full_ref, call)
    assert not isinstance(caught.value, VaultRejected)
