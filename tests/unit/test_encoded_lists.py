"""What is kept encoded equals what would be encoded anew, lives no longer than its wallet, and is bounded.

Lists are kept encoded, and whole customers if all that is selected of them depends on little else."""

import gc
import weakref
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest

from app.api.response import encode
from app.errors import VaultUnavailable
from app.execution.budget import ExecutionBudget
from app.execution.documents import Document, DocumentCache
from app.execution.encoded_lists import MOST_BYTES, MOST_SELECTIONS, FixedList
from app.execution.plan import Plan
from app.store.records import MethodAddress
from app.vault.enums import AuthStatus, CustomerRef, MethodRef
from app.vault.model import Expiry, ThreeDSecure
from app.wallet.caller import ALL_SCOPES, Caller
from resolvers.context import Context
from resolvers.schema import schema
from tests.equality.compare import by_graphql_core
from tests.support.memory import NOW, P, World, card, choice_of

PLAIN = """{ customer(id: "cus_a") { id
  paymentMethods { __typename id label nickname isDefault lastFour: last4 possibleDuplicates { label }
    ... on Card { brand expiryState bin } }
  sources { provider state methodCount latencyMs } authSummary { isComplete } } }"""
WITH_STATUS = PLAIN.replace("nickname", "nickname authStatus")
WHOLE = WITH_STATUS.replace("authSummary { isComplete }", "authStatus isComplete defaultMethod { id etag }")
"""All fields depend on the customer and the statuses, so that the customer is encoded."""
FEW = frozenset({"customers:read", "payment_methods:read"})
NONE = frozenset({"customers:read"})
documents = DocumentCache(schema._schema, max_bytes=1_000_000, max_tokens=10_000, suggest=False)


class Asked:
    """One document and its plan."""

    def __init__(self, text: str) -> None:
        self.document: Document = documents.get(text)
        assert not self.document.errors
        operation = self.document.operation(None)
        assert operation is not None
        self._plan = Plan(schema, operation, self.document.fragments)

    async def answer(
        self, world: World, scopes: frozenset[str] = ALL_SCOPES, most: tuple[int, int] | None = None
    ) -> Any:
        context = _context(world, scopes)
        if most is not None:
            context.budget = ExecutionBudget(*most)
        return await self._plan.start({}, context, hide_suggestions=True)

    async def answer_of_graphql_core(self, world: World, scopes: frozenset[str] = ALL_SCOPES) -> bytes:
        return written(await by_graphql_core(schema, self.document, {}, _context(world, scopes)))

    async def encoded(self, world: World) -> bytes:
        """The answer, once its lists are encoded."""
        for _ in range(3):
            await self.answer(world)
        found = await self.answer(world)
        assert has_encoded(found.data)
        return written(found)


def _context(world: World, scopes: frozenset[str]) -> Context:
    return Context.create(world.services, Caller(name="tests", scopes=scopes), "req-1")


def written(result: Any) -> bytes:
    return encode({"data": result.data, "errors": [error.formatted for error in result.errors or ()]})


def has_encoded(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_encoded, value.values()))
    return any(map(has_encoded, value)) if isinstance(value, list) else isinstance(value, orjson.Fragment)


def has_encoded_methods(data: Any) -> bool:
    customer = data["customer"]
    return isinstance(customer, orjson.Fragment) or has_encoded(customer["paymentMethods"])


@pytest.mark.parametrize("text", [PLAIN, WITH_STATUS, WHOLE])
async def test_each_caller_gets_what_its_scopes_allow(text: str) -> None:
    world, asked = World(), Asked(text)
    world.vaults[P.JPMORGAN].results[MethodRef("pm1")] = ThreeDSecure(status=AuthStatus.AUTHENTICATED)
    await asked.answer(world)
    wanted = {scopes: await asked.answer_of_graphql_core(world, scopes) for scopes in (ALL_SCOPES, FEW, NONE)}
    assert len(set(wanted.values())) == 3
    for _ in range(4):
        found = {scopes: await asked.answer(world, scopes) for scopes in wanted}
        assert {scopes: written(one) for scopes, one in found.items()} == wanted
    # With FEW, each card has an error of its own.
    assert [has_encoded_methods(one.data) for one in found.values()] == [True, False, False]
    assert isinstance(found[ALL_SCOPES].data["customer"], orjson.Fragment) is (text is WHOLE)


def _nickname(world: World) -> None:
    nicknames = {MethodAddress(P.LOANPRO, CustomerRef("37"), MethodRef("9")): "Mine"}
    world.directory.add("cus_a", {P.LOANPRO: "37", P.CASELLE: "cs"}, nicknames=nicknames)
    world.services.directory.drop("cus_a")


def _choice(world: World) -> None:
    choice = choice_of("cus_a", P.CASELLE, "cs", "uid")
    world.directory.add("cus_a", {P.LOANPRO: "37", P.CASELLE: "cs"}, choice=choice)
    world.services.directory.drop("cus_a")


def _method(world: World) -> None:
    world.vaults[P.LOANPRO].put("37", card("9"), card("10", last4="1111"), card("11", last4="7777"))
    world.services.reader.snapshots.drop(P.LOANPRO, CustomerRef("37"))


def _failure(world: World) -> None:
    world.vaults[P.LOANPRO].failure = RuntimeError("a bug")
    world.services.reader.snapshots.drop(P.LOANPRO, CustomerRef("37"))


def _next_month(world: World) -> None:
    world.services.utc_now = lambda: NOW + timedelta(days=31)


def _status(world: World) -> None:
    world.vaults[P.JPMORGAN].results[MethodRef("pm1")] = ThreeDSecure(status=AuthStatus.FAILED)
    world.services.reader.snapshots.drop(P.JPMORGAN, CustomerRef("PACJGQ"))


def _status_alone(world: World) -> None:
    world.vaults[P.JPMORGAN].results[MethodRef("pm1")] = ThreeDSecure(status=AuthStatus.FAILED)
    world.services.reader.snapshots._forget((P.JPMORGAN, CustomerRef("PACJGQ"), MethodRef("pm1")))


@pytest.mark.parametrize("text", [WITH_STATUS, WHOLE])
@pytest.mark.parametrize("change", [_nickname, _choice, _method, _failure, _next_month, _status, _status_alone])
async def test_nothing_is_shown_that_has_changed(change: Callable[[World], None], text: str) -> None:
    world, asked = World(), Asked(text)
    world.vaults[P.LOANPRO].put("37", card("9", expiry=Expiry(NOW.year, NOW.month)), card("10", last4="1111"))
    before = await asked.encoded(world)
    change(world)
    assert written(await asked.answer(world)) != before
    wanted = await asked.answer_of_graphql_core(world)
    assert [written(await asked.answer(world)) for _ in range(4)] == [wanted] * 4


@pytest.mark.parametrize("text", [WITH_STATUS, WHOLE])
async def test_a_status_that_cannot_be_read_is_shown_in_the_sources(text: str) -> None:
    """And what is encoded is shown again once it can."""
    world, asked = World(), Asked(text)
    before = await asked.encoded(world)
    customer = (await asked.answer(world)).data["customer"]
    assert isinstance(customer if text is WHOLE else customer["paymentMethods"], orjson.Fragment)
    vault, key = world.vaults[P.JPMORGAN], (P.JPMORGAN, CustomerRef("PACJGQ"), MethodRef("pm1"))
    vault.results[key[2]] = VaultUnavailable(P.JPMORGAN)
    world.services.reader.snapshots._forget(key)
    found = await asked.answer(world)
    assert written(found) == await asked.answer_of_graphql_core(world)
    assert b'"PARTIAL"' in written(found)
    del vault.results[key[2]]
    assert written(await asked.answer(world)) == before


@pytest.mark.parametrize("text", [PLAIN, WHOLE])
async def test_what_is_encoded_ends_with_its_wallet(text: str) -> None:
    world, asked = World(), Asked(text)
    found = [await asked.answer(world) for _ in range(4)][-1]
    part = weakref.ref(_listed(world))
    world.services.reader.snapshots.drop(P.ALOHA, CustomerRef("al"))
    assert has_encoded(found.data)
    gc.collect()
    assert part() is None


def _listed(world: World) -> FixedList[Any]:
    (key,) = world.services.wallets._built
    built = world.services.wallets._built.peek(key)
    assert built is not None
    listed: FixedList[Any] = built.methods.listed
    return listed


@pytest.mark.parametrize("text", [PLAIN, WHOLE])
async def test_only_so_many_selections_are_kept(text: str) -> None:
    world = World()
    for number in range(MOST_SELECTIONS + 2):
        asked = Asked(text.replace("lastFour", f"four{number}"))
        found = [await asked.answer(world) for _ in range(4)]
        assert has_encoded_methods(found[-1].data) is (number < MOST_SELECTIONS)
        assert written(found[-1]) == await asked.answer_of_graphql_core(world)
    assert len(_listed(world).encoded) == MOST_SELECTIONS


@pytest.mark.parametrize("name", ["x" * MOST_BYTES, "lone \ud800 surrogate"])
@pytest.mark.parametrize("text", [PLAIN, WHOLE])
async def test_what_is_too_long_or_cannot_be_encoded_is_not_kept(name: str, text: str) -> None:
    world, asked = World(), Asked(text.replace("nickname", "holderName"))
    await asked.answer(world)
    for vault in world.vaults.values():
        (ref,) = vault.held
        vault.put(ref, *[card(f"m{number}", holder_name=name) for number in range(3)])
    world.services.reader.snapshots.clear()
    found = [await asked.answer(world) for _ in range(4)]
    assert not any(has_encoded_methods(one.data) for one in found)
    assert written(found[-1]) == await asked.answer_of_graphql_core(world)


@pytest.mark.parametrize("text", [PLAIN, WITH_STATUS, WHOLE])
async def test_an_encoded_list_counts_as_much_as_one_that_is_not(text: str) -> None:
    known, asked = World(), Asked(text)
    await asked.encoded(known)
    for most in [(fields, 10_000) for fields in range(0, 120, 7)] + [(10_000, size) for size in range(0, 1_500, 90)]:
        new = World()
        wanted, found = await asked.answer(new, most=most), await asked.answer(known, most=most)
        assert [str(error) for error in found.errors or ()] == [str(error) for error in wanted.errors or ()]
