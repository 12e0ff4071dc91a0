"""Paginated lists, and replies that are not lists, over real HTTP."""

import asyncio
from typing import Any

import pytest

from app.errors import RejectReason, VaultRejected, VaultReplyUnreadable
from app.testing.case import VaultCase
from app.testing.fixtures import Build
from app.testing.reading import failure, read
from app.vault.enums import CustomerRef
from app.vault.model import VaultWallet
from app.vault.provider import Call, VaultProvider
from tests.contract.case_aloha import ALOHA
from tests.contract.case_caselle import CASELLE
from tests.contract.case_jpmorgan import JPMORGAN
from tests.contract.case_loanpro import LOANPRO
from tests.support.sandbox import RunningSandbox

HINTS = [
    (CASELLE, "next_link"),
    (CASELLE, "relative"),
    (CASELLE, "has_more"),
    (LOANPRO, "summary"),
    (LOANPRO, "next_link"),
]
by_every_hint = pytest.mark.parametrize(("case", "hint"), HINTS, ids=[f"{case.name}-{hint}" for case, hint in HINTS])


def path_of(case: VaultCase) -> str:
    """The path of the paginated list."""
    return f"{case.read_path}Customers({case.full_ref})/PaymentAccounts" if case is LOANPRO else case.read_path


def in_pages(sandbox: RunningSandbox, case: VaultCase, hint: str, size: str = "1") -> None:
    sandbox.switch(case.name, "PAGE_SIZE", size)
    sandbox.switch(case.name, "PAGE_HINT", hint)
    sandbox.clear_calls()


def leave_alone(sandbox: RunningSandbox, case: VaultCase, times: int) -> None:
    """Consume the next list calls with a no-op fault, so that faults set later do not apply to them."""
    sandbox.fault(case.name, "rewrite", path=path_of(case), headers={"x-first": "page"}, times=times)


def fields_of(wallet: VaultWallet) -> tuple[set[Any], int, bool]:
    return set(wallet.methods), wallet.skipped, wallet.truncated


@by_every_hint
async def test_a_list_in_pages_is_read_to_its_end(
    vault: VaultProvider, case: VaultCase, hint: str, sandbox: RunningSandbox, call: Call
) -> None:
    whole = await read(vault, case.full_ref, call)
    in_pages(sandbox, case, hint)
    assert fields_of(await read(vault, case.full_ref, call)) == fields_of(whole)
    inside_the_customer = 1 if case is LOANPRO else 0  # it only says that there are more
    assert len(sandbox.calls(case.name)) == inside_the_customer + len(whole.methods)


async def test_a_byte_identical_first_page_does_not_skip_the_other_pages(
    build: Build, sandbox: RunningSandbox, call: Call
) -> None:
    vault = build(CASELLE)
    in_pages(sandbox, CASELLE, "next_link")
    before = await read(vault, CASELLE.full_ref, call)
    last = sandbox.held("caselle", CASELLE.full_ref)[-1]
    sandbox.control(
        "POST",
        "/noc",
        {"provider": "caselle", "saved_payment_method_ids": [last["ref"]], "last4": "0001"},
    )
    after = await read(vault, CASELLE.full_ref, call)
    assert after.methods[:-1] == before.methods[:-1]
    assert (before.methods[-1].last4, after.methods[-1].last4) == (last["last4"], "0001")


@by_every_hint
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("status", {"status": 500}),
        ("status", {"status": 403}),
        ("status", {"status": 404}),
        ("hang", {}),
        ("garbage", {}),
        ("rewrite", {"body": {"error": {"code": "x"}}}),
        ("rewrite", {"body": {"d": {"results": []}, "value": [], "error": "x"}}),
    ],
    ids=["500", "403", "404", "hang", "garbage", "error", "error beside"],
)
async def test_an_unreadable_page_gives_a_partial_list(
    vault: VaultProvider, case: VaultCase, hint: str, sandbox: RunningSandbox, kind: str, fields: dict[str, Any]
) -> None:
    in_pages(sandbox, case, hint)
    leave_alone(sandbox, case, 1)
    sandbox.fault(case.name, kind, path=path_of(case), **fields)
    within = Call(asyncio.get_running_loop().time() + (2 if kind == "hang" else 10), "contract")
    wallet = await read(vault, case.full_ref, within)
    assert (len(wallet.methods), wallet.truncated) == (1, True)
    sandbox.clear_faults()


@pytest.mark.parametrize(
    "link",
    [
        "http://elsewhere.example/caselle/api/customers/cus_88420/payment-methods?$skip=1",
        "/caselle/api/customers/cus_1/payment-methods?$skip=1",
        "?$skip=0",
        7,
    ],
)
async def test_a_next_link_to_another_host_is_not_followed(
    build: Build, sandbox: RunningSandbox, call: Call, link: object
) -> None:
    vault = build(CASELLE)
    whole = await read(vault, CASELLE.full_ref, call)
    in_pages(sandbox, CASELLE, "silent")
    sandbox.fault("caselle", "rewrite", path=CASELLE.read_path, set={"/@odata.nextLink": link}, times=1)
    wallet = await read(vault, CASELLE.full_ref, call)
    assert {row["path"] for row in sandbox.calls("caselle")} == {f"/api/customers/{CASELLE.full_ref}/payment-methods"}
    assert len(wallet.methods) == (1 if link == "?$skip=0" else 2)
    assert wallet.truncated == (len(wallet.methods) < len(whole.methods))


@pytest.mark.parametrize("case", [CASELLE, LOANPRO], ids=["caselle", "loanpro"])
async def test_reading_stops_at_the_configured_limit(
    build: Build, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    in_pages(sandbox, case, HINTS[0][1] if case is CASELLE else "summary")
    wallet = await read(build(case, max_methods=1), case.full_ref, call)
    assert (len(wallet.methods), wallet.truncated) == (1, True)


@pytest.mark.parametrize("case", [CASELLE, LOANPRO], ids=["caselle", "loanpro"])
async def test_a_write_requires_the_complete_list(
    build: Build, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    vault, new = build(case), next(iter(case.new_methods.values()))(sandbox)
    held = {row["ref"] for row in sandbox.held(case.name, case.full_ref)}
    in_pages(sandbox, case, "next_link")
    assert (await vault.before_add(case.full_ref, new, call)).method_refs == held
    leave_alone(sandbox, case, 1)
    sandbox.fault(case.name, "status", path=path_of(case), status=418)
    with pytest.raises(VaultReplyUnreadable):
        await vault.before_add(case.full_ref, new, call)


ERRORS: list[Any] = [
    {"message": "x", "errors": []},
    {"error": "x"},
    {"error": {"code": 500, "message": {"value": "x"}}},
    {"code": "internal"},
    {"Message": "An error has occurred.", "ExceptionMessage": "x"},
    {"fault": {"faultstring": "x", "detail": {"errorcode": "x"}}},
    {"type": "about:blank", "title": "Bad Gateway", "status": 502},
    {"responseStatus": "ERROR", "responseCode": "HOST_ERROR"},
    [{"code": "x", "message": "y"}],
    {"data": {"errors": ["x"]}},
    {},
    "text",
    17,
    True,
]
NO_LISTS = [(case, body) for case in (ALOHA, CASELLE, JPMORGAN, LOANPRO) for body in ERRORS] + [
    (CASELLE, {"value": [], "message": "x"}),
    (CASELLE, {"value": [], "error": {"code": "x"}}),
    (CASELLE, {"value": None}),
    (CASELLE, None),
    (LOANPRO, None),
    (LOANPRO, []),
    (LOANPRO, {"d": None}),
    (LOANPRO, {"d": []}),
    (LOANPRO, {"d": {}}),
    (LOANPRO, {"d": {"results": None}}),
    (LOANPRO, {"d": {"results": []}, "error": {"code": 409}}),
    (LOANPRO, {"d": {"error": {"code": 409}}}),
    (JPMORGAN, None),
    (JPMORGAN, []),
    (JPMORGAN, {"paymentMethodType": {}}),
    (JPMORGAN, {"consumerProfileId": "PACJGQ", "responseStatus": "ERROR"}),
    (JPMORGAN, {"consumerProfileId": "PACJGQ", "error": "x"}),
    (ALOHA, {"Payments": [], "Message": "x"}),
    (ALOHA, {"Payments": None, "ExceptionMessage": "x"}),
]


@pytest.mark.parametrize(
    ("case", "body"), NO_LISTS, ids=[f"{case.name}-{number}" for number, (case, _) in enumerate(NO_LISTS)]
)
async def test_a_reply_that_is_not_a_list_is_not_an_empty_list(
    vault: VaultProvider, case: VaultCase, body: object, sandbox: RunningSandbox, call: Call
) -> None:
    sandbox.fault(case.name, "rewrite", path=case.read_path, body="null" if body is None else body)
    assert isinstance(await failure(vault, case.full_ref, call), VaultReplyUnreadable)


@pytest.mark.parametrize(
    ("case", "body"),
    [
        (CASELLE, []),
        (CASELLE, {"value": []}),
        (CASELLE, {"data": [], "errors": []}),
        (ALOHA, []),
        (ALOHA, {"Payments": []}),
        (JPMORGAN, {"consumerProfileId": "PACJGQ"}),
        (JPMORGAN, {"consumerProfileId": "PACJGQ", "paymentMethodType": {"cardList": []}}),
        (LOANPRO, {"d": {"results": [{"id": 37, "PaymentAccounts": {"results": []}}]}}),
    ],
)
async def test_an_empty_list_is_empty(
    vault: VaultProvider, case: VaultCase, body: object, sandbox: RunningSandbox, call: Call
) -> None:
    sandbox.fault(case.name, "rewrite", path=case.read_path, body=body)
    assert fields_of(await read(vault, case.full_ref, call)) == (set(), 0, False)


async def test_a_list_missing_in_the_customer_is_requested(build: Build, sandbox: RunningSandbox, call: Call) -> None:
    vault = build(LOANPRO)
    whole = await read(vault, LOANPRO.full_ref, call)
    sandbox.fault(
        "loanpro", "rewrite", path=f"{LOANPRO.read_path}Customers()", set={"/d/results/0/PaymentAccounts": None}
    )
    assert fields_of(await read(vault, LOANPRO.full_ref, call)) == fields_of(whole)
    unknown = await failure(vault, CustomerRef("999999"), call)
    assert isinstance(unknown, VaultRejected)
    assert unknown.reason is RejectReason.CUSTOMER_NOT_FOUND


@pytest.mark.parametrize("case", [ALOHA, CASELLE, JPMORGAN], ids=lambda case: case.name.value)
async def test_a_reply_with_a_byte_order_mark_is_read(
    vault: VaultProvider, case: VaultCase, sandbox: RunningSandbox, call: Call
) -> None:
    empty = '{"consumerProfileId": "PACJGQ"}' if case is JPMORGAN else "[]"
    sandbox.fault(case.name, "rewrite", path=case.read_path, body=f"\ufeff{empty}")
    assert fields_of(await read(vault, case.full_ref, call)) == (set(), 0, False)


@pytest.mark.parametrize(
    ("body", "is_empty"),
    [
        ({"CustomerId": ALOHA.full_ref, "Email": "a@example.com"}, True),
        ({"Email": "a@example.com"}, True),
        ("null", False),
        ({}, False),
        ({"Message": "x"}, False),
        ({"CustomerId": ALOHA.full_ref, "ExceptionMessage": "x"}, False),
        ([], False),
        ("gone", False),
    ],
)
async def test_an_empty_wallet_requires_an_existing_customer(
    build: Build, sandbox: RunningSandbox, call: Call, body: object, is_empty: bool
) -> None:
    vault, path = build(ALOHA), f"/v1/Customers/{ALOHA.full_ref}"
    sandbox.fault("aloha", "rewrite", path=f"{path}/Payments", body="null")
    sandbox.fault("aloha", "rewrite", path=path, body=body)
    if is_empty:
        assert fields_of(await read(vault, ALOHA.full_ref, call)) == (set(), 0, False)
    else:
        assert isinstance(await failure(vault, ALOHA.full_ref, call), VaultReplyUnreadable)
