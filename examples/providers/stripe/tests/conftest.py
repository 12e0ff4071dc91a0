"""The contract suite over localstripe, behind a server that knows faults and keeps a record of calls."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.error import HTTPError

import pytest
from localstripe_server import KEY, LocalStripe
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from vaultgraph_stripe.mapping import NAME

from app.testing.case import VaultCase
from app.testing.fixtures import build, call, parametrize_cases, vault  # noqa: F401
from app.testing.forwarding import ForwardingEmulator, SandboxClock
from app.testing.sandbox import RunningSandbox
from app.vault.enums import AddRoute, CustomerRef, MethodRef
from app.vault.model import NewCard, NewCustomer, PersonName
from app.vault.secret import Secret


class StripeEmulator(ForwardingEmulator):
    """Records ``Idempotency-Key``, which localstripe ignores, and answers for US bank accounts, which it lacks."""

    name = NAME.value

    def __init__(self, clock: SandboxClock, stripe: LocalStripe) -> None:
        super().__init__(clock, stripe.url)
        self.keys: list[str | None] = []
        self.bank_accounts: list[dict[str, Any]] = []
        self._stripe = stripe

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            self.keys.append({name: value.decode() for name, value in scope["headers"]}.get(b"idempotency-key"))
        if b"type=us_bank_account" in scope["query_string"]:
            page = {"object": "list", "data": self.bank_accounts, "has_more": False}
            await JSONResponse(page)(scope, receive, send)
        else:
            await super().forward(scope, receive, send)

    def held(self, customer_ref: str) -> list[dict[str, Any]] | None:
        try:
            customer = self._stripe.ask("GET", f"customers/{customer_ref}")
            found = self._stripe.ask("GET", f"payment_methods?customer={customer_ref}&type=card&limit=1000")["data"]
        except HTTPError:
            return None
        default = customer["invoice_settings"]["default_payment_method"]
        return [
            {
                "ref": one["id"],
                "kind": "card",
                "last4": one["card"]["last4"],
                "active": True,
                "is_default": one["id"] == default,
            }
            for one in found
        ]


@dataclass(frozen=True)
class Proxy:
    """The server between, and what it passes everything on to."""

    server: RunningSandbox
    emulator: StripeEmulator


@pytest.fixture(scope="session")
def stripe() -> Iterator[LocalStripe]:
    with LocalStripe() as running:
        yield running


@pytest.fixture(scope="session")
def proxy(stripe: LocalStripe) -> Iterator[Proxy]:
    made: list[StripeEmulator] = []

    def emulators(clock: SandboxClock) -> list[StripeEmulator]:
        made.append(StripeEmulator(clock, stripe))
        return made

    with RunningSandbox(make_emulators=emulators) as running:
        yield Proxy(running, made[0])


@pytest.fixture
def sandbox(proxy: Proxy) -> RunningSandbox:
    proxy.server.reset()
    proxy.emulator.keys.clear()
    proxy.emulator.bank_accounts.clear()
    return proxy.server


@pytest.fixture
def keys(proxy: Proxy) -> list[str | None]:
    """The idempotency keys of the writes that came so far."""
    return proxy.emulator.keys


def new_customer(number: int) -> NewCustomer:
    return NewCustomer(
        external_id=f"contract-{number}",
        name=PersonName("Ada", "Example"),
        email=f"contract-{number}@example.com",
        phone="512 555 0100",
    )


STRIPE: Final = VaultCase(
    name=NAME,
    full_ref=CustomerRef("cus_made_for_each_test"),
    empty_ref=CustomerRef("cus_made_for_each_test"),
    many_refs=(),
    unknown_ref=CustomerRef("cus_Nobody"),
    malformed_refs=[CustomerRef(ref) for ref in ("", "7", "../balance", "cus_x/sources", "cus_é", "cus_" + "x" * 300)],
    unknown_method=MethodRef("pm_Nothing"),
    read_path="/v1/payment_methods",
    write_path="/v1/payment_methods/",
    write_verb="POST",
    new_methods={"card": lambda _: NewCard(provider=NAME, route=AddRoute.PROVIDER_TOKEN, secret=Secret("pm_"))},
    wrong_settings={"api_key": "wrong"},
    new_customer=new_customer,
    customer_path="/v1/customers",
    creates_again=True,
    is_token_the_ref=True,
    settings={"api_key": KEY},
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize_cases(metafunc, [STRIPE])


@pytest.fixture(scope="session")
def many_refs(stripe: LocalStripe) -> list[CustomerRef]:
    return [CustomerRef(stripe.new_customer(methods=1)) for _ in range(50)]


@pytest.fixture
def case(stripe: LocalStripe, many_refs: list[CustomerRef], sandbox: RunningSandbox) -> VaultCase:
    """Stripe chooses its refs itself, so that each test has customers of its own."""

    def new_card(_: RunningSandbox) -> NewCard:
        return NewCard(provider=NAME, route=AddRoute.PROVIDER_TOKEN, secret=Secret(stripe.new_method()), last4="4242")

    return replace(
        STRIPE,
        full_ref=CustomerRef(stripe.new_customer(methods=3)),
        empty_ref=CustomerRef(stripe.new_customer()),
        many_refs=many_refs,
        new_methods={"card": new_card},
    )
