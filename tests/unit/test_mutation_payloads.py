"""Payloads of mutations: types of errors, what a caller may see of them, and reads after the write."""

import asyncio
from typing import Any

import pytest

from app.store.records import MethodAddress, WriteOutcome
from app.vault.enums import CustomerRef, MethodRef
from app.vault.provider import Call
from app.wallet.caller import ALL_SCOPES, Caller
from app.wallet.commands import Actor, Command, WriteResult
from app.wallet.problems import ProblemCode, WriteProblem
from tests.support.memory import P, World, card
from tests.support.writes import RecordingWriter, document, mutations, sample

ADDRESS = MethodAddress(P.CASELLE, CustomerRef("cs"), MethodRef("uid"))
ERRORS = """userErrors { __typename code retryable path ... on ProviderError { provider outcome providerCode
  retryAfterSeconds providerRequestId } ... on ConflictError { currentEtag }
  ... on DuplicateError { existing { id } } }"""


async def shown(world: World, result: WriteResult, selection: str, caller: Caller | None = None) -> Any:
    world.services.writer = RecordingWriter(result)
    kind = mutations()["addPaymentMethod"]
    answer = await world.ask(document("addPaymentMethod", kind, selection), {"input": sample(kind)}, caller=caller)
    assert answer.errors is None, answer.errors
    return answer.data["addPaymentMethod"]


def problem(code: str, **fields: Any) -> WriteProblem:
    return WriteProblem(code=ProblemCode(code), message="-", **fields)


@pytest.mark.parametrize(
    ("problem", "kind", "more"),
    [
        (problem("INVALID_INPUT"), "InputError", {}),
        (problem("NOT_FOUND"), "InputError", {}),
        (problem("STALE_ETAG", current_etag="abc"), "ConflictError", {"currentEtag": "abc"}),
        (problem("IDEMPOTENCY_IN_PROGRESS", retryable=True), "ConflictError", {"currentEtag": None}),
        (
            problem(
                "PROVIDER_THROTTLED",
                provider=P.LOANPRO,
                outcome=WriteOutcome.NOT_APPLIED,
                provider_code="429",
                retry_after_s=1.2,
                provider_request_id="req-9",
                retryable=True,
            ),
            "ProviderError",
            {
                "provider": "LOANPRO",
                "outcome": "NOT_APPLIED",
                "providerCode": "429",
                "retryAfterSeconds": 2,
                "providerRequestId": "req-9",
            },
        ),
        (problem("OUTCOME_UNKNOWN", outcome=WriteOutcome.UNKNOWN, retryable=True), "InputError", {}),
    ],
)
async def test_each_problem_has_its_kind(problem: WriteProblem, kind: str, more: dict[str, Any]) -> None:
    data = await shown(World(), WriteResult(problems=(problem,)), ERRORS)
    common = {"__typename": kind, "code": problem.code.value, "retryable": problem.retryable, "path": None}
    assert data["userErrors"] == [common | more]


async def test_a_duplicate_shows_the_existing_method_to_those_who_may_see_it() -> None:
    world = World()
    result = WriteResult(problems=(problem("DUPLICATE", existing=ADDRESS),))
    (error,) = (await shown(world, result, ERRORS))["userErrors"]
    assert error["existing"] == {"id": world.id(P.CASELLE, "cs", "uid")}
    lacking = Caller(name="tests", scopes=ALL_SCOPES - {"payment_methods:read"})
    (hidden,) = (await shown(World(), result, ERRORS, lacking))["userErrors"]
    assert (hidden["__typename"], hidden["code"]) == ("ConflictError", "DUPLICATE")


async def test_a_duplicate_is_reported_though_its_vault_does_not_answer() -> None:
    world = World()
    world.vaults[P.CASELLE].put("cs")
    result = WriteResult(problems=(problem("DUPLICATE", existing=ADDRESS),))
    (error,) = (await shown(world, result, ERRORS))["userErrors"]
    assert (error["__typename"], error["code"]) == ("ConflictError", "DUPLICATE")


async def test_parts_of_a_payload_keep_the_scopes_of_what_they_show() -> None:
    world = World()
    world.services.writer = RecordingWriter(WriteResult(method=ADDRESS, customer_id="cus_a"))
    kind = mutations()["addPaymentMethod"]
    caller = Caller(name="tests", scopes=frozenset({"payment_methods:write"}))
    text = document("addPaymentMethod", kind, "wasDuplicate paymentMethod { id } customer { id }")
    answer = await world.ask(text, {"input": sample(kind)}, caller=caller)
    assert answer.data == {"addPaymentMethod": {"wasDuplicate": False, "paymentMethod": None, "customer": None}}
    assert [error.path for error in answer.errors] == [
        ["addPaymentMethod", "paymentMethod"],
        ["addPaymentMethod", "customer"],
    ]
    assert world.calls() == {}


class SlowWriter(RecordingWriter):
    """Changes the vault, and takes longer than the request's reads may."""

    def __init__(self, world: World) -> None:
        super().__init__(WriteResult(method=ADDRESS, customer_id="cus_a"))
        self._world = world

    async def run(self, command: Command, actor: Actor, call: Call) -> WriteResult:
        await asyncio.sleep(0.1)
        self._world.vaults[P.CASELLE].put("cs", card("uid", last4="9999"))
        self._world.services.reader.snapshots.drop(P.CASELLE, CustomerRef("cs"))
        return self.result


async def test_after_a_slow_write_the_answer_is_read_anew_and_has_the_time_for_it() -> None:
    world = World()
    await world.data('{ customer(id: "cus_a") { paymentMethods { id } } }')
    world.services.writer = SlowWriter(world)
    kind = mutations()["addPaymentMethod"]
    text = document(
        "addPaymentMethod",
        kind,
        "paymentMethod { last4 } customer { paymentMethods(filter: {providers: [CASELLE]}) "
        "{ last4 } sources { provider state } }",
    )
    data = await world.data(text, {"input": sample(kind)}, within=0.05)
    payload = data["addPaymentMethod"]
    assert payload["paymentMethod"] == {"last4": "9999"}
    assert payload["customer"]["paymentMethods"] == [{"last4": "9999"}]
