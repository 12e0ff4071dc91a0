"""Rules of the Caselle emulator: authentication, tenancy, strict bodies, OData, tokens, wallets, import."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest

from app.sandbox.base import SandboxClock
from app.sandbox.caselle import CaselleEmulator
from tests.support.asgi import Reply, basic, call

NUMBER = "4242424242424242"
ALEX = "/api/customers/cus_88420"
METHODS = ALEX + "/payment-methods"


class Vault:
    def __init__(self) -> None:
        self.clock = SandboxClock()
        self.emulator = CaselleEmulator(self.clock)
        self.shown = self.emulator.credentials("http://sandbox.test")
        self.headers: dict[str, str] = self.shown["headers"]
        self.app = self.emulator.asgi()

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        return await call(self.app, method, path, json=body, headers=self.headers | headers)

    def token(self, **wish: Any) -> str:
        year = self.clock.now().year + 4
        card = {"kind": "card", "number": NUMBER, "exp_month": 12, "exp_year": year, "holder_name": "A"}
        return str(self.emulator.mint_token(card | wish)["token"])

    def bank_token(self, **wish: Any) -> str:
        bank = {"kind": "bank", "number": "0888271156", "routing_number": "122000247", "account_type": "checking"}
        return str(self.emulator.mint_token(bank | wish)["token"])

    async def add(self, token: str, customer: str = "cus_88420", **more: Any) -> Reply:
        body = {"payment_method": {"payment_method_type": "credit", "credit": face(token, **more)}}
        return await self.call("POST", f"/api/customers/{customer}/payment-methods", body)


def face(token: str, **more: Any) -> dict[str, Any]:
    return {"fingerprint": token, "last4": "4242", "exp_month": 12, "exp_year": 2040, "card_brand": "VISA"} | more


def other(uid: str) -> dict[str, str]:
    return {"X-Payment-Account-Uid": uid}


def code(reply: Reply) -> tuple[int, str]:
    assert reply.headers["content-type"] == "application/problem+json"
    return reply.status, reply.json()["code"]


@pytest.fixture
def vault() -> Vault:
    return Vault()


async def test_tokens_need_basic_the_grant_and_the_scope(vault: Vault) -> None:
    async def ask(form: dict[str, str], password: str = "") -> Reply:
        pair = basic(vault.shown["client_id"], password or vault.shown["client_secret"])
        return await call(vault.app, "POST", "/oauth2/token", form=form, headers=pair)

    form = {"grant_type": "client_credentials", "scope": vault.shown["scope"]}
    granted = (await ask(form)).json()
    assert (granted["expires_in"], granted["token_type"]) == (3600, "Bearer")
    assert (await vault.call("GET", ALEX, Authorization=f"Bearer {granted['access_token']}")).status == 200
    refused = [
        await ask(form, "x"),
        await ask(form | {"scope": "other"}),
        await ask({"grant_type": "client_credentials"}),
        await ask(form | {"grant_type": "password"}),
        await call(vault.app, "POST", "/oauth2/token", form=form),
    ]
    assert [(reply.status, reply.json()["error"]) for reply in refused] == [
        (400, "invalid_client"),
        (400, "invalid_scope"),
        (400, "invalid_scope"),
        (400, "unsupported_grant_type"),
        (400, "invalid_client"),
    ]
    vault.clock.advance(3601)
    assert code(await vault.call("GET", ALEX, Authorization=f"Bearer {granted['access_token']}")) == (
        401,
        "invalid_token",
    )


async def test_revoked_tokens_are_refused(vault: Vault) -> None:
    vault.emulator.set_switch("REVOKE_TOKENS", "now")
    assert code(await vault.call("GET", ALEX)) == (401, "invalid_token")


async def test_bearer_then_tenant_then_the_rest(vault: Vault) -> None:
    bearer = {"Authorization": "Bearer x"}
    assert code(await vault.call("POST", "/api/nothing", **bearer, **other(""))) == (401, "invalid_token")
    assert code(await vault.call("POST", "/api/nothing", **other(""))) == (400, "payment_account_required")
    assert code(await vault.call("GET", ALEX, **other("pa_none"))) == (404, "payment_account_not_found")
    assert code(await vault.call("GET", ALEX, **other("pa_0Closed"))) == (403, "payment_account_inactive")
    assert code(await vault.call("GET", ALEX, **other("pa_3Cards"))) == (404, "customer_not_found")
    assert code(await vault.call("GET", "/api/nothing")) == (404, "not_found")
    assert [code(await vault.call(verb, ALEX)) for verb in ("PATCH", "DELETE", "PUT")] == [
        (405, "method_not_allowed")
    ] * 3


async def test_bodies_are_strict(vault: Vault) -> None:
    unknown = await vault.call("POST", "/api/customers", {"reference_id": "r", "displayName": "x"})
    assert code(unknown) == (400, "unknown_property")
    assert "'displayName'" in unknown.json()["detail"]
    token = vault.token()
    nested = await vault.add(token, number=NUMBER)
    assert "'payment_method.credit.number'" in nested.json()["detail"]
    assert NUMBER not in nested.body.decode()
    wrong = await vault.add(token, exp_month="12", exp_year=True, last4="42", bin="41")
    assert code(wrong) == (400, "validation_failed")
    assert list(wrong.json()["errors"]) == [
        f"payment_method.credit.{name}" for name in ("last4", "exp_month", "exp_year", "bin")
    ]
    assert (await vault.add(token, holder_name=None)).status == 201
    assert (await vault.call("POST", "/api/customers", {"reference_id": None})).json()["errors"] == {
        "reference_id": ["is required"]
    }
    assert code(await vault.call("POST", "/api/customers", [])) == (400, "invalid_json")
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert code(await vault.call("POST", "/api/customers", {}, **form)) == (415, "unsupported_media_type")


async def test_one_of_many_parallel_creates_wins(vault: Vault) -> None:
    body = {"reference_id": "Race", "email": "r@example.com"}
    replies = await asyncio.gather(*(vault.call("POST", "/api/customers", body) for _ in range(8)))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 7
    query = "?$top=1&$filter=" + quote("reference_id eq 'Race'")
    found = (await vault.call("GET", "/api/customers" + query)).json()
    assert [customer["uid"] for customer in found] == [reply.json()["uid"] for reply in replies if reply.status == 201]
    assert (await vault.call("POST", "/api/customers", {"reference_id": "race"})).status == 201
    assert (await vault.call("POST", "/api/customers", body, **other("pa_3Cards"))).status == 201


@pytest.mark.parametrize(
    ("query", "uids"),
    [
        ("$filter=reference_id eq 'user-88420'", ["cus_88420"]),
        ("$filter=reference_id eq 'user-88420' and name eq 'Sam Okafor'", []),
        ("$filter=name eq 'Sam Okafor'  and  email eq 'sam@example.com'", ["cus_88421"]),
        ("$filter=name eq 'O''Hara'", ["cus_ohara"]),
        ("$filter=reference_id eq 'user-88420' and reference_id eq 'user-88421'", []),
        ("$top=2", ["cus_88420", "cus_88421"]),
        ("$skip=1&$top=1", ["cus_88421"]),
        ("$orderby=reference_id desc&$top=1", ["cus_88421"]),
        ("$orderby=name,uid asc&$top=1", ["cus_88420"]),
    ],
)
async def test_odata(vault: Vault, query: str, uids: list[str]) -> None:
    wire = {"uid": "cus_ohara", "reference_id": "ohara", "name": "O'Hara", "email": None}
    vault.emulator.state["customers"]["cus_ohara"] = {
        "account": "pa_7Qm2",
        "wire": wire,
        "default": None,
        "methods": [],
    }
    reply = await vault.call("GET", "/api/customers?" + quote(query, safe="=&$"))
    assert [customer["uid"] for customer in reply.json()] == uids


@pytest.mark.parametrize(
    "query",
    [
        "$filter=reference_id ne 'x'",
        "$filter=name eq 'x' or name eq 'y'",
        "$filter=name eq x",
        "$filter=secret eq 'x'",
        "$filter=name eq 'x",
        "$filter=",
        "$filter=name eq 'x' and",
        "$top=-1",
        "$top=1&$top=2",
        "$select=name",
        "$orderby=password",
        "limit=1",
    ],
)
async def test_unsupported_odata(vault: Vault, query: str) -> None:
    assert code(await vault.call("GET", "/api/customers?" + quote(query, safe="=&$"))) == (400, "invalid_query")


async def test_lists_may_be_wrapped(vault: Vault) -> None:
    bare = [(await vault.call("GET", path)).json() for path in ("/api/customers", METHODS, "/api/paymentaccounts")]
    vault.emulator.set_switch("LIST_SHAPE", "wrapped")
    wrapped = [(await vault.call("GET", path)).json() for path in ("/api/customers", METHODS, "/api/paymentaccounts")]
    assert wrapped == [{"value": rows} for rows in bare]
    assert "webhook_secret" not in bare[2][0]


async def test_default_marker_switch(vault: Vault) -> None:
    seen = {}
    for marker in ("both", "list", "customer"):
        vault.emulator.set_switch("DEFAULT_MARKER", marker)
        customer, methods = (await vault.call("GET", ALEX)).json(), (await vault.call("GET", METHODS)).json()
        seen[marker] = (customer.get("default_saved_payment_method_uid"), methods[0].get("is_default"))
    assert seen == {"both": ("spm_alexvisa", True), "list": (None, True), "customer": ("spm_alexvisa", None)}


async def test_a_token_lives_fifteen_minutes_and_may_be_used_again(vault: Vault) -> None:
    token = vault.token()
    first, second = await vault.add(token), await vault.add(token)
    assert first.json()["saved_payment_method_uid"] != second.json()["saved_payment_method_uid"]
    vault.clock.advance(14 * 60)
    assert (await vault.add(token)).status == 201
    vault.clock.advance(61)
    assert code(await vault.add(token)) == (422, "token_expired")
    vault.clock.advance(3600)
    vault.token()
    assert len(vault.emulator.state["tokens"]) == 1
    assert len((await vault.call("GET", METHODS, Authorization=_fresh(vault))).json()) == 5


def _fresh(vault: Vault) -> str:
    return str(vault.emulator.credentials("http://sandbox.test")["headers"]["Authorization"])


async def test_a_token_is_of_one_type_and_one_account(vault: Vault) -> None:
    permanent = (await vault.add(vault.token())).json()["payment_method"]["credit"]["fingerprint"]
    wrong = [vault.bank_token(), permanent, "prx_unknown", vault.token(payment_account_uid="pa_3Cards")]
    assert [code(await vault.add(token)) for token in wrong] == [(422, "token_invalid")] * 4


async def test_save_requires_exactly_the_named_object(vault: Vault) -> None:
    card = face(vault.token())
    bodies = [
        {"payment_method_type": "ach", "credit": card},
        {"payment_method_type": "credit", "credit": card, "wallet": {"saved_payment_method_uid": "x"}},
        {"payment_method_type": "wallet_credit", "wallet": {"saved_payment_method_uid": "x"}},
        {"payment_method_type": "cash"},
    ]
    for body in bodies:
        assert code(await vault.call("POST", METHODS, {"payment_method": body})) == (400, "validation_failed")
    assert code(await vault.add(vault.token(), "cus_none")) == (404, "customer_not_found")


async def test_a_bank_account(vault: Vault) -> None:
    ach = {"fingerprint": vault.bank_token(), "routing_number": "122000247", "account_suffix": "1156"}
    ach |= {"account_type": "checking", "holder_name": "A"}
    body = {"payment_method": {"payment_method_type": "ach", "ach": ach}}
    saved = await vault.call("POST", METHODS, body)
    assert saved.status == 201
    shown = (await vault.call("GET", METHODS)).json()[-1]
    assert shown["payment_method"]["ach"] == {name: ach[name] for name in ach if name != "fingerprint"}
    created = await vault.call("POST", "/api/customers", {"reference_id": "c"}, **other("pa_3Cards"))
    path = f"/api/customers/{created.json()['uid']}/payment-methods"
    body["payment_method"]["ach"]["fingerprint"] = vault.bank_token(payment_account_uid="pa_3Cards")
    refused = await vault.call("POST", path, body, **other("pa_3Cards"))
    assert code(refused) == (422, "payment_method_type_disabled")


async def test_default_and_delete(vault: Vault) -> None:
    path = ALEX + "/default-payment-method"
    body = {"saved_payment_method_uid": "spm_alexach"}
    for _ in range(2):
        assert (await vault.call("PUT", path, body)).json()["default_saved_payment_method_uid"] == "spm_alexach"
    assert code(await vault.call("PUT", path, {"saved_payment_method_uid": "spm_sammc"}))[0] == 404
    assert code(await vault.call("PUT", path, body | {"note": "x"})) == (400, "unknown_property")
    vault.emulator.set_switch("DEFAULT_ANSWER", "empty")
    empty = await vault.call("PUT", path, body)
    assert (empty.status, empty.body) == (204, b"")
    assert (await vault.call("DELETE", METHODS + "/spm_alexach")).status == 204
    assert code(await vault.call("DELETE", METHODS + "/spm_alexach"))[0] == 404
    assert (await vault.call("GET", ALEX)).json()["default_saved_payment_method_uid"] is None


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"kind": "card", "number": "4242424242424241", "exp_month": 1, "exp_year": 2040},
        {"kind": "card", "number": NUMBER, "exp_month": 13, "exp_year": 2040},
        {"kind": "card", "number": NUMBER, "exp_month": 1, "exp_year": 2001},
        {"kind": "bank", "number": "12345", "routing_number": "122000248"},
        {"kind": "bank", "number": "1", "routing_number": "122000247"},
        {"kind": "card", "number": NUMBER, "exp_month": 1, "exp_year": 2040, "payment_account_uid": "pa_none"},
    ],
)
def test_an_invalid_token_request_is_refused(vault: Vault, wish: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as refused:
        vault.emulator.mint_token(wish)
    assert NUMBER not in str(refused.value)
    assert vault.emulator.state["tokens"] == {}


def test_a_minted_token_describes_its_card(vault: Vault) -> None:
    card = {"kind": "card", "number": "5555 5555 5555 4444", "exp_month": 1, "exp_year": 2040}
    minted = vault.emulator.mint_token(card)
    assert {name: minted[name] for name in minted if name != "token"} == {
        "last4": "4444",
        "bin": "555555",
        "brand": "MASTERCARD",
    }
    kept = json.dumps(vault.emulator.state)
    assert ("5555555555554444" in kept, minted["token"] in kept) == (False, False)


async def test_import_has_one_result_per_item(vault: Vault) -> None:
    def item(customer: str, token: str, **method: Any) -> dict[str, Any]:
        card = {"last4": "1111", "exp_month": 1, "exp_year": 2040}
        payment_method = method or {"payment_method_type": "credit", "credit": card}
        return {"customer_uid": customer, "processor_token": token, "payment_method": payment_method}

    items = [item("cus_88420", "z1"), item("cus_none", "z2"), item("cus_88420", "z1")]
    items.append(item("cus_88420", "z3", payment_method_type="ach"))
    path = "/api/saved-payment-methods/import"
    outcome = (await vault.call("POST", path, {"items": items})).json()
    assert [(row["index"], row["status"]) for row in outcome["results"]] == [
        (0, "imported"),
        (1, "failed"),
        (2, "imported"),
        (3, "failed"),
    ]
    assert (outcome["imported"], outcome["failed"]) == (2, 2)
    assert outcome["results"][0]["saved_payment_method_uid"] == outcome["results"][2]["saved_payment_method_uid"]
    assert outcome["results"][1]["error"]["code"] == "customer_not_found"
    assert len((await vault.call("GET", METHODS)).json()) == 3
    assert code(await vault.call("POST", path, {"items": items[:1] * 1001})) == (400, "too_many_items")
    assert "z1" not in json.dumps(vault.emulator.state["imported"])


def test_the_demo_data_is_deterministic_and_readable(vault: Vault) -> None:
    assert vault.emulator.demo_state() == CaselleEmulator(SandboxClock()).demo_state()
    load = vault.emulator.held("cus_load0001")
    assert load is not None
    assert [(method["kind"], method["last4"], method["active"], method["is_default"]) for method in load] == [
        ("card", "7001", True, True),
        ("card", "7301", True, False),
        ("bank", "8001", True, False),
    ]
    assert vault.emulator.held("cus_free01") is not None
    assert vault.emulator.held("cus_none") is None
