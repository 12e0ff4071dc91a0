"""Long lists of payment methods: the limit of `paymentMethods`, and pages that stay right while the wallet changes."""

from base64 import urlsafe_b64encode
from dataclasses import replace
from typing import Any

import pytest

from app.errors import VaultTimeout
from app.vault.enums import CardBrand
from app.vault.model import Expiry
from app.wallet.reads.policy import ReadPolicy
from tests.support.memory import LONG_AGO, NOW, P, World, card, choice_of

PAGE = """query ($first: Int! = 2, $after: String, $order: PaymentMethodOrder! = DEFAULT_FIRST, $filter: PaymentMethodFilter) {
  customer(id: "cus_a") { paymentMethodsConnection(first: $first, after: $after, orderBy: $order, filter: $filter) {
    totalCount isComplete nodes { last4 } edges { cursor node { last4 } }
    pageInfo { hasNextPage hasPreviousPage endCursor } } } }"""  # noqa: E501


async def page(world: World, **variables: Any) -> Any:
    found = (await world.data(PAGE, variables))["customer"]["paymentMethodsConnection"]
    assert found["nodes"] == [edge["node"] for edge in found["edges"]]
    return found


async def walk(world: World, **variables: Any) -> list[str]:
    seen: list[str] = []
    after = None
    while True:
        found = await page(world, after=after, **variables)
        seen += [one["last4"] for one in found["nodes"]]
        if not found["pageInfo"]["hasNextPage"]:
            return seen
        after = found["pageInfo"]["endCursor"]


def fresh_world(**fields: Any) -> World:
    """Nothing is cached between requests."""
    return World(policy=ReadPolicy(fresh_for_s=0, stale_if_error_for_s=0), **fields)


def choose(world: World, provider: P, ref: str, method: str) -> None:
    known = world.directory.known
    known["cus_a"] = replace(known["cus_a"], choice=choice_of("cus_a", provider, ref, method))
    world.services.directory.drop("cus_a")


@pytest.mark.parametrize("order", ["DEFAULT_FIRST", "NEWEST_FIRST", "EXPIRING_FIRST", "PROVIDER"])
async def test_pages_together_are_the_list(order: str) -> None:
    world = World()
    world.vaults[P.CASELLE].put("cs", card("uid", last4="5555", created_at=NOW, expiry=Expiry(2029, 1)))
    world.vaults[P.ALOHA].put("al", card("tok", last4="2222", created_at=LONG_AGO, expiry=None))
    query = 'query ($o: PaymentMethodOrder!) { customer(id: "cus_a") { paymentMethods(orderBy: $o) { last4 } } }'
    wanted = [one["last4"] for one in (await world.data(query, {"o": order}))["customer"]["paymentMethods"]]
    assert len(wanted) == 5
    for size in (1, 2, 5):
        assert await walk(world, first=size, order=order) == wanted


async def test_a_walk_neither_repeats_nor_misses_a_method_while_the_default_changes() -> None:
    world = fresh_world()
    first = await page(world)
    assert [one["last4"] for one in first["nodes"]] == ["3333", "4242"], "the default, then by vault"
    choose(world, P.CASELLE, "cs", "uid")
    world.vaults[P.LOANPRO].put("37", card("10", last4="1111"))
    rest = await page(world, first=9, after=first["pageInfo"]["endCursor"])
    assert [one["last4"] for one in rest["nodes"]] == ["1111", "2222", "5555"]
    assert (rest["pageInfo"]["hasPreviousPage"], rest["pageInfo"]["hasNextPage"]) == (True, False), "after 3333"
    assert [one["last4"] for one in (await page(world, first=1))["nodes"]] == ["5555"], "a new walk has the new default"


async def test_a_page_says_when_a_vault_is_missing_from_it() -> None:
    world = fresh_world()
    whole = await page(world)
    assert (whole["totalCount"], whole["isComplete"]) == (5, True)
    world.vaults[P.ALOHA].failure = VaultTimeout(P.ALOHA)
    partial = await page(world, after=whole["pageInfo"]["endCursor"], first=9)
    assert (partial["totalCount"], partial["isComplete"]) == (None, False)
    assert [one["last4"] for one in partial["nodes"]] == ["1111", "5555"]
    without = await page(world, filter={"providers": ["LOANPRO"]})
    assert (without["totalCount"], without["isComplete"]) == (2, True), "that vault was not asked for"


CUT = """query ($first: Int, $filter: PaymentMethodFilter) { customer(id: "cus_a") {
  isComplete sources { provider state truncated } paymentMethods(first: $first, filter: $filter) { last4 } } }"""


async def test_a_list_that_reaches_the_limit_says_so_in_sources() -> None:
    world = World(list_limit=3)
    for attempt in ("read", "from the cache"):
        result = await world.ask(CUT)
        found, cut = result.data["customer"], ("PARTIAL", True)
        assert [one["last4"] for one in found["paymentMethods"]] == ["3333", "4242", "1111"], attempt
        rows = {row["provider"]: (row["state"], row["truncated"]) for row in found["sources"]}
        assert rows == {"LOANPRO": ("OK", False), "ALOHA": cut, "JPMORGAN": ("OK", False), "CASELLE": cut}
        assert found["isComplete"] is False
        assert world.context is not None
        rows = world.context.response_extensions()["sources"]
        assert [(row["provider"], row["truncated"]) for row in rows] == [("ALOHA", True), ("CASELLE", True)]
        assert "paymentMethodsConnection" in rows[0]["message"]
    for variables in ({"first": 2}, {"filter": {"providers": ["LOANPRO"]}}):
        assert (await world.data(CUT, variables))["customer"]["isComplete"] is True, variables
        assert world.context.response_extensions() == {}
    assert await walk(world) == ["3333", "4242", "1111", "2222", "5555"], "pages have everything"


async def test_filters_by_brand_and_last4() -> None:
    world = World()
    world.vaults[P.ALOHA].put("al", card("tok", last4="2222", brand=CardBrand.AMEX))
    assert await walk(world, filter={"brands": ["AMEX", "DISCOVER"]}) == ["2222"]
    assert await walk(world, filter={"last4": "1111"}) == ["1111"]
    for wrong in ("", "12345", "x111", "4111111111111111"):
        result = await world.ask(PAGE, {"filter": {"last4": wrong}})
        assert [error.extensions["code"] for error in result.errors] == ["BAD_USER_INPUT"], wrong


async def test_cursors_that_are_not_the_gateways_are_refused() -> None:
    world = World()
    world.directory.add("cus_b", {P.LOANPRO: "38"})

    def cursor(text: str) -> str:
        return urlsafe_b64encode(f"method:{text}".encode()).decode().rstrip("=")

    own, foreign = world.id(P.LOANPRO, "37", "9"), world.id(P.LOANPRO, "38", "9")
    assert (await page(world, after=cursor(f"PROVIDER.0.{own}."), order="PROVIDER"))["nodes"][0] == {"last4": "1111"}
    for text in (
        f"PROVIDER.0.{own}",
        f"PROVIDER.x.{own}.",
        f"PROVIDER.{'9' * 19}.{own}.",
        f"PROVIDER.0.{own[:-2]}.",
        f"PROVIDER.0.{own}.{foreign[:-2]}",
        f"PROVIDER.0.{foreign}.",
        f"DEFAULT_FIRST.0.{own}.{own}",
        "9" * 5_000,
    ):
        result = await world.ask(PAGE, {"after": cursor(text), "order": "PROVIDER"})
        assert [error.extensions["code"] for error in result.errors] == ["BAD_USER_INPUT"], text
        assert result.data == {"customer": {"paymentMethodsConnection": None}}
