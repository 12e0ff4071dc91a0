"""The four emulators together at one address, as `vaultgraph sandbox` serves them."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.sandbox.demo import ALEX, KIM, LOAD_CUSTOMERS, SAM, DemoCustomer, load_customer
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

PROVIDERS = ["loanpro", "aloha", "jpmorgan", "caselle"]
LOAD_SHARE = {"loanpro": 3, "aloha": 2, "jpmorgan": 2, "caselle": 3}


def test_credentials_work_at_once(sandbox: RunningSandbox) -> None:
    shown = sandbox.credentials()
    assert list(shown) == PROVIDERS
    assert {name: entry["base_url"].removeprefix(sandbox.url) for name, entry in shown.items()} == {
        "loanpro": "/loanpro/api/public/api/1",
        "aloha": "/aloha",
        "jpmorgan": "/jpmorgan/api/v2/mmp",
        "caselle": "/caselle",
    }
    reads = {
        "loanpro": f"/odata.svc/Customers({ALEX.refs['loanpro']})",
        "aloha": f"/v1/Customers/{ALEX.refs['aloha']}/Payments",
        "jpmorgan": f"/consumer-profiles/{ALEX.refs['jpmorgan']}",
        "caselle": "/api/customers",
    }
    for name, path in reads.items():
        whole = shown[name]["base_url"].removeprefix(sandbox.url) + path
        assert sandbox.request("GET", whole, headers=shown[name]["headers"]).status == 200, name
        assert sandbox.request("GET", whole).status == 401, name
    assert [row["provider"] for row in sandbox.calls()] == [name for name in PROVIDERS for _ in range(2)]
    assert all(
        row["path"] == reads[row["provider"]] for row in sandbox.calls() if row["provider"] in ("aloha", "caselle")
    )


@pytest.mark.parametrize("customer", [ALEX, SAM, KIM], ids=lambda customer: customer.id)
def test_every_link_of_the_demo_customers_exists(sandbox: RunningSandbox, customer: DemoCustomer) -> None:
    for provider, ref in customer.refs.items():
        rows = sandbox.held(provider, ref)
        assert rows, provider
        assert all(set(row) == {"ref", "kind", "last4", "active", "is_default"} for row in rows)
        assert len({row["ref"] for row in rows}) == len(rows)
        defaults = [row["is_default"] for row in rows]
        assert sorted(set(defaults)) in ([False], [False, True], [True])
        assert defaults.count(True) <= 1


def test_alex_has_what_the_first_query_shows(sandbox: RunningSandbox) -> None:
    held = {provider: sandbox.held(provider, ref) for provider, ref in ALEX.refs.items()}
    kinds = Counter(row["kind"] for rows in held.values() for row in rows)
    assert set(kinds) == {"card", "bank"}
    assert [name for name, rows in held.items() if any(row["is_default"] for row in rows)] == [
        "loanpro",
        "jpmorgan",
        "caselle",
    ]
    cards = Counter(row["last4"] for rows in held.values() for row in rows if row["kind"] == "card")
    assert max(cards.values()) >= 2  # the look-alike


def test_load_customers_have_ten_methods_in_all(sandbox: RunningSandbox) -> None:
    for number in (1, 2, 99, LOAD_CUSTOMERS):
        held = {name: sandbox.held(name, ref) for name, ref in load_customer(number).refs.items()}
        assert {name: len(rows) for name, rows in held.items()} == LOAD_SHARE
        rows = [row for found in held.values() for row in found]
        assert all(row["active"] for row in rows)
        assert {row["last4"] for row in rows}.isdisjoint({"4242", "3478", "4321", "6789"})


@pytest.mark.parametrize("provider", ["loanpro", "caselle"])
def test_browser_tokens(sandbox: RunningSandbox, provider: str) -> None:
    card = {"number": "4111111111111111", "exp_month": 5, "exp_year": 2031, "holder_name": "Alex Morales"}
    minted = sandbox.token(provider, "card", **card)
    assert (minted["last4"], minted["bin"][:6], minted["brand"].lower()) == ("1111", "411111", "visa")
    again = sandbox.token(provider, "card", **card)
    assert again["token"] != minted["token"]
    bank = sandbox.token(
        provider,
        "bank",
        number="000123456700",
        routing_number="021000021",
        account_type="checking",
        holder_name="Alex Morales",
    )
    assert bank["last4"] == "6700"
    assert sorted(bank) == sorted(minted) == ["bin", "brand", "last4", "token"]


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"kind": "card", "number": "4111111111111112", "exp_month": 5, "exp_year": 2031}, "number"),
        ({"kind": "card", "number": "4111111111111111", "exp_month": 13, "exp_year": 2031}, "exp_month"),
        ({"kind": "card", "number": "4111111111111111"}, "exp_month"),
        ({"kind": "bank", "number": "000123456700", "routing_number": "123456789"}, "routing_number"),
    ],
)
@pytest.mark.parametrize("provider", ["loanpro", "caselle"])
def test_invalid_captures_are_refused(sandbox: RunningSandbox, provider: str, wish: dict[str, Any], field: str) -> None:
    reply = sandbox.request("POST", "/__sandbox/tokens", {"provider": provider, **wish})
    assert (reply.status, reply.json()["field"]) == (400, field)
    assert wish["number"] not in reply.body.decode()


def test_token_routes_are_known_as_such(sandbox: RunningSandbox) -> None:
    for name in ("jpmorgan", "caselle"):
        path = sandbox.credentials(name)["token_url"].removeprefix(sandbox.url)
        assert sandbox.request("POST", path, b"", {"content-type": "application/x-www-form-urlencoded"}).status >= 400
    rows = sandbox.calls(token_routes=True)
    assert [(row["provider"], row.get("token_route")) for row in rows] == [("jpmorgan", True), ("caselle", True)]
    assert sandbox.calls() == []


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    refs = [*ALEX.refs.items(), *load_customer(7).refs.items()]
    with RunningSandbox(tmp_path) as first:
        held = [first.held(name, ref) for name, ref in refs]
        first.switch("loanpro", "LINK_RESPONSE", "expanded_newest_last")
    with RunningSandbox(tmp_path) as second:
        assert [second.held(name, ref) for name, ref in refs] == held
        assert second.control("GET", "/switches")["loanpro"]["LINK_RESPONSE"]["value"] == "expanded_newest_last"
    saved = sorted(path.name for path in (tmp_path / "sandbox").iterdir())
    assert saved == [f"{name}.json" for name in sorted(PROVIDERS)]


def test_a_reset_is_quicker_than_another_sandbox(sandbox: RunningSandbox) -> None:
    def took(work: Callable[[], object]) -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    def another() -> None:
        with RunningSandbox():
            pass

    eventually(lambda: took(sandbox.reset) < took(another), "a quicker reset")  # at once, unless the machine stalls
