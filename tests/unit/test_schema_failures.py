"""Vault failures: the response shows which part is missing and keeps everything else."""

import asyncio
from collections.abc import Collection
from datetime import timedelta
from typing import Any, cast

import pytest

from app.errors import VaultRefusedUs, VaultTimeout, VaultUnavailable
from app.execution.documents import DocumentCache
from app.execution.run import run_operation
from app.vault.enums import CustomerRef, MethodRef, PaymentMethodStatus, ProviderName
from app.wallet.caller import ALL_SCOPES, Caller
from app.wallet.reads.build_wallet import Wallet
from app.wallet.reads.policy import ReadPolicy
from app.wallet.reads.wallet_cache import BuiltWallet
from resolvers.context import Context, Info
from resolvers.needs import Needs
from resolvers.schema import schema
from tests.support.memory import NOW, P, World, card

WALLET = """{ customer(id: "cus_a") {
  paymentMethods { label isDefault isStale asOf } defaultMethod { label } defaultMethodInfo { state } authStatus
  sources { provider state methodCount isStale retryAfterSeconds message latencyMs } isComplete
} }"""


async def test_one_vault_down_affects_only_its_row() -> None:
    world = World()
    world.vaults[P.CASELLE].failure = VaultUnavailable(P.CASELLE, retry_after_s=1.2)
    result = await world.ask(WALLET)
    assert result.errors is None
    data = result.data["customer"]
    assert len(data["paymentMethods"]) == 4
    assert {one["isDefault"] for one in data["paymentMethods"]} == {None}
    assert (data["defaultMethod"], data["defaultMethodInfo"]["state"]) == (None, "UNKNOWN")
    assert (data["authStatus"], data["isComplete"]) == ("UNKNOWN", False)
    assert data["sources"][3].pop("latencyMs") >= 0
    assert data["sources"][3] == {
        "provider": "CASELLE",
        "state": "UNAVAILABLE",
        "methodCount": None,
        "isStale": False,
        "retryAfterSeconds": 2,
        "message": "The vault could not be read.",
    }
    assert [row["state"] for row in data["sources"][:3]] == ["OK"] * 3
    assert result.extensions["sources"] == [
        {
            "customerId": "cus_a",
            "provider": "CASELLE",
            "state": "UNAVAILABLE",
            "message": "The vault could not be read.",
            "retryAfterSeconds": 2,
        }
    ]


async def test_rows_that_are_not_ok_are_echoed_even_when_sources_is_not_selected() -> None:
    world = World()
    world.vaults[P.LOANPRO].failure = VaultRefusedUs(P.LOANPRO)
    result = await world.ask('{ customer(id: "cus_a") { paymentMethods { id } } }')
    assert [(row["provider"], row["state"]) for row in result.extensions["sources"]] == [("LOANPRO", "UNAUTHORIZED")]


async def test_a_complete_response_has_no_sources_extension() -> None:
    world = World()
    world.directory.add("cus_a", {P.LOANPRO: "37"})
    result = await world.ask('{ customer(id: "cus_a") { paymentMethods { id } } }')
    assert "sources" not in (result.extensions or {})


async def test_a_hanging_vault_takes_no_longer_than_the_deadline() -> None:
    world = World()
    world.vaults[P.ALOHA].hang = True
    result = await world.ask(WALLET, within=0.05)
    assert result.errors is None
    assert [row["state"] for row in result.data["customer"]["sources"]] == ["OK", "TIMEOUT", "OK", "OK"]


async def test_all_linked_vaults_down_is_null_with_one_error() -> None:
    world = World()
    for vault in world.vaults.values():
        vault.failure = VaultTimeout(vault.name)
    result = await world.ask(WALLET)
    data = result.data["customer"]
    assert data["paymentMethods"] is None
    assert [row["state"] for row in data["sources"]] == ["TIMEOUT"] * 4
    (error,) = result.errors
    assert error.extensions["code"] == "SOURCES_UNAVAILABLE"
    assert error.path == ["customer", "paymentMethods"]
    assert len(result.extensions["sources"]) == 4


async def test_read_and_empty_is_an_empty_list() -> None:
    world = World()
    for name, ref in ((P.LOANPRO, "37"), (P.ALOHA, "al"), (P.JPMORGAN, "PACJGQ"), (P.CASELLE, "cs")):
        world.vaults[name].put(ref)
    data = await world.data(WALLET)
    assert (data["customer"]["paymentMethods"], data["customer"]["isComplete"]) == ([], True)


async def test_only_the_requested_vaults_decide_whether_the_list_is_null() -> None:
    world = World()
    world.vaults[P.LOANPRO].failure = VaultUnavailable(P.LOANPRO)
    query = '{ customer(id: "cus_a") { paymentMethods(filter: {providers: [%s]}) { id } } }'
    down = await world.ask(query % "LOANPRO")
    assert down.data == {"customer": {"paymentMethods": None}}
    assert [error.extensions["code"] for error in down.errors] == ["SOURCES_UNAVAILABLE"]
    half = await world.ask(query % "LOANPRO, ALOHA")
    assert (half.errors, len(half.data["customer"]["paymentMethods"])) == (None, 1)


async def test_a_disabled_vault_is_a_row_and_does_not_make_the_answer_incomplete() -> None:
    world = World(enabled=[P.LOANPRO, P.ALOHA, P.JPMORGAN])
    data = (await world.data(WALLET))["customer"]
    assert [row["state"] for row in data["sources"]] == ["OK", "OK", "OK", "DISABLED"]
    assert data["isComplete"] is True
    assert data["defaultMethodInfo"]["state"] == "UNKNOWN"


async def test_the_last_answer_is_shown_and_marked_stale_on_the_row_and_on_each_method() -> None:
    world = World(policy=ReadPolicy(fresh_for_s=0.0))
    now = [NOW]
    world.services.reader.snapshots._utc_now = lambda: now[0]
    await world.data(WALLET)
    now[0] += timedelta(seconds=30)
    world.vaults[P.LOANPRO].failure = VaultUnavailable(P.LOANPRO)
    data = (await world.data(WALLET))["customer"]
    row = data["sources"][0]
    assert (row["state"], row["isStale"], row["methodCount"]) == ("STALE", True, 2)
    assert data["isComplete"] is False
    assert data["defaultMethodInfo"]["state"] == "UNKNOWN"
    marked = {one["label"]: (one["isStale"], one["asOf"]) for one in data["paymentMethods"]}
    assert marked["Visa ending 4242"] == (True, "2028-03-15T00:00:00Z")
    assert marked["Visa ending 2222"] == (False, "2028-03-15T00:00:30Z")


async def test_a_partial_vault_is_shown_with_what_it_lacks() -> None:
    world = World()
    world.vaults[P.LOANPRO].put("37", card("9"), skipped=2, truncated=True)
    data = await world.data(
        '{ customer(id: "cus_a") { paymentMethods { id } sources { state skippedCount truncated } isComplete } }'
    )
    assert data["customer"]["sources"][0] == {"state": "PARTIAL", "skippedCount": 2, "truncated": True}
    assert data["customer"]["isComplete"] is False


async def test_a_bug_is_an_error_and_not_an_outage() -> None:
    world = World()
    world.vaults[P.LOANPRO].failure = ZeroDivisionError("a bug")
    result = await world.ask('{ customer(id: "cus_a") { name paymentMethods { id } } }')
    assert result.data == {"customer": {"name": "Alex Morales", "paymentMethods": None}}
    (error,) = result.errors
    assert isinstance(error.original_error, ZeroDivisionError)
    assert "code" not in (error.extensions or {})


# ---- one method --------------------------------------------------------------------------------------------

METHOD = "query ($id: ID!) { paymentMethod(id: $id) { label isDefault status customer { id } } }"


async def test_a_method_by_id_reads_its_vault_alone() -> None:
    world = World()
    data = await world.data(METHOD, {"id": world.id(P.CASELLE, "cs", "uid")})
    assert data["paymentMethod"] == {
        "label": "Visa ending 5555",
        "isDefault": None,
        "status": "ACTIVE",
        "customer": {"id": "cus_a"},
    }
    assert world.calls() == {"CASELLE": 1}


@pytest.mark.parametrize("is_customer_late", [False, True])
async def test_a_method_beside_its_customer_shows_the_same_whichever_is_found_first(is_customer_late: bool) -> None:
    world = World()
    directory, caselle, is_read = world.directory, world.vaults[P.CASELLE], asyncio.Event()
    entries, owners_of, wallets = directory.entries, directory.owners_of, caselle.wallets

    async def late_entries(ids: Collection[str]) -> Any:
        directory.entries = entries  # type: ignore[method-assign]
        await is_read.wait()
        return await entries(ids)

    async def owners_and_cache(provider: ProviderName, refs: Collection[CustomerRef]) -> Any:
        """As if another request had cached the customer meanwhile."""
        await world.services.directory.entries(["cus_a"])
        return await owners_of(provider, refs)

    async def wallets_read(refs: Any, call: Any) -> Any:
        is_read.set()
        return await wallets(refs, call)

    if is_customer_late:
        directory.entries, directory.owners_of = late_entries, owners_and_cache  # type: ignore[method-assign]
        caselle.wallets = wallets_read  # type: ignore[method-assign]
    fields = 'paymentMethod(id: $id) { isDefault } customer(id: "cus_a") { defaultMethod { label } }'
    data = await world.data(f"query ($id: ID!) {{ {fields} }}", {"id": world.id(P.CASELLE, "cs", "uid")})
    assert data["paymentMethod"] == {"isDefault": False}


async def test_a_method_of_an_unavailable_vault_is_not_reported_as_unknown() -> None:
    world = World()
    world.vaults[P.CASELLE].failure = VaultTimeout(P.CASELLE)
    result = await world.ask(METHOD, {"id": world.id(P.CASELLE, "cs", "uid")})
    assert result.data == {"paymentMethod": None}
    assert [error.extensions["code"] for error in result.errors] == ["SOURCES_UNAVAILABLE"]


@pytest.mark.parametrize(
    ("provider", "ref", "method"),
    [(P.CASELLE, "cs", "unheard-of"), (P.CASELLE, "not-linked", "uid"), (P.LOANPRO, "cs", "uid")],
)
async def test_a_method_that_is_not_there_is_null_without_an_error(provider: Any, ref: str, method: str) -> None:
    world = World()
    assert await world.data(METHOD, {"id": world.id(provider, ref, method)}) == {"paymentMethod": None}


@pytest.mark.parametrize("by_us", [True, False])
async def test_an_inactive_method_is_deleted_if_the_gateway_deleted_it(by_us: bool) -> None:
    world = World()
    world.vaults[P.LOANPRO].put("37", card("9", status=PaymentMethodStatus.INACTIVE))

    async def deleted_by_us(customer_id: str, address: Any) -> bool:
        return by_us and address.method_ref == MethodRef("9")

    world.services.deleted_by_us = deleted_by_us
    data = await world.data(METHOD, {"id": world.id(P.LOANPRO, "37", "9")})
    assert data["paymentMethod"]["status"] == ("DELETED" if by_us else "INACTIVE")


# ---- cancellation --------------------------------------------------------------------------------------------


async def _turns() -> None:
    """Turns of the event loop, enough for all that waits for no timer. A time would be too short on a busy machine."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_a_cancelled_request_cancels_its_reads() -> None:
    world = World()
    world.vaults[P.ALOHA].hang = True
    asked = asyncio.ensure_future(world.ask(WALLET))
    await _turns()
    assert world.vaults[P.ALOHA].calls
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await _turns()
    assert world.vaults[P.ALOHA].cancelled == 1
    assert not world.services.reader.snapshots._in_flight


async def test_a_cancelled_request_does_not_cancel_shared_reads() -> None:
    world = World()
    world.vaults[P.ALOHA].hang = True
    going = asyncio.ensure_future(world.ask(WALLET))
    staying = asyncio.ensure_future(world.ask(WALLET))
    await _turns()
    going.cancel()
    await _turns()
    assert world.vaults[P.ALOHA].cancelled == 0
    assert (len(world.vaults[P.ALOHA].calls), staying.done()) == (1, False)
    staying.cancel()


async def test_closing_the_context_cancels_its_reads_in_any_executor() -> None:
    """The API layer runs documents without Strawberry's extensions."""
    world = World()
    document = DocumentCache(schema._schema, max_bytes=100_000, max_tokens=1_000, suggest=False).get(WALLET)
    context = Context.create(world.services, Caller(name="tests", scopes=ALL_SCOPES), "req-1")
    result = await run_operation(schema, document, None, {}, context)
    assert result.errors is None
    context.close()
    world.services.reader.snapshots.drop(P.ALOHA, CustomerRef("al"))
    world.vaults[P.ALOHA].hang = True
    context = Context.create(world.services, Caller(name="tests", scopes=ALL_SCOPES), "req-2")
    asked = asyncio.ensure_future(run_operation(schema, document, None, {}, context))
    async with asyncio.timeout(60):
        while len(world.vaults[P.ALOHA].calls) < 2:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        asked.cancel()
        context.close()
        while not world.vaults[P.ALOHA].cancelled:
            await asyncio.sleep(0)
    assert world.vaults[P.ALOHA].cancelled == 1


async def wallet_of(context: Context, vaults: Collection[ProviderName]) -> Wallet:
    entry = await context.entry("cus_a")
    assert entry is not None
    found = context.loaders.wallet(entry, Needs(frozenset(vaults), (), (), True), cast("Info", None))
    return (found if isinstance(found, BuiltWallet) else await found).wallet


async def test_a_fresh_snapshot_is_one_reading_for_the_whole_request() -> None:
    world = World()
    await world.data('{ customer(id: "cus_a") { paymentMethods { label } } }')
    context = Context.create(world.services, Caller(name="tests", scopes=ALL_SCOPES), "req-2")
    calls = len(world.vaults[P.LOANPRO].calls)
    first = (await wallet_of(context, [P.LOANPRO])).sources[P.LOANPRO]
    world.services.reader.snapshots.drop(P.LOANPRO, CustomerRef("37"))
    assert (await wallet_of(context, P)).sources[P.LOANPRO] is first
    assert len(world.vaults[P.LOANPRO].calls) == calls, "a later field reads only what is missing"
    context.after_write()
    assert (await wallet_of(context, P)).sources[P.LOANPRO].fetched_at is not None
    assert len(world.vaults[P.LOANPRO].calls) == calls + 1, "after a write it is read again"
    context.close()


async def test_a_selection_shows_only_the_vaults_that_it_needs() -> None:
    """Although the request has read others."""
    world = World()
    listed = "paymentMethods(filter: {providers: [LOANPRO]}) { isDefault }"
    fields = '%s: customer(id: "cus_a") { ' + listed + " %s sources { state } }"
    for _ in ("from the vaults", "from snapshots"):
        data = await world.data("{ " + fields % ("one", "") + fields % ("every", "defaultMethod { id }") + " }")
        assert [row["state"] for row in data["one"]["sources"]] == ["OK", "SKIPPED", "SKIPPED", "SKIPPED"]
        assert {one["isDefault"] for one in data["one"]["paymentMethods"]} == {None}
        assert [row["state"] for row in data["every"]["sources"]] == ["OK"] * 4
        assert world.calls() == {"LOANPRO": 1, "ALOHA": 1, "JPMORGAN": 1, "CASELLE": 1}
