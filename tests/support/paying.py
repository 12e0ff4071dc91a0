"""Payments through a running gateway: quote, capture, vault calls, and webhooks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from tests.support.gateway import RunningGateway
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

FIELDS = """
  operation { id state replayed }
  payment {
    id state amount { amount currency } processingFee { amount } total { amount } refundedAmount { amount } declineCode
    reference
  }
  userErrors { code message path retryable }
"""
QUOTE = f"mutation Quote($input: QuotePaymentInput!) {{ quotePayment(input: $input) {{ {FIELDS} }} }}"
CAPTURE = f"mutation Capture($input: CapturePaymentInput!) {{ capturePayment(input: $input) {{ {FIELDS} }} }}"


def methods(gateway: RunningGateway, customer: str = "cus_alex", provider: str = "CASELLE") -> dict[str, str]:
    wanted = "paymentMethods(filter: {providers: $p}) { id kind }"
    query = f"query M($id: ID!, $p: [Provider!]) {{ customer(id: $id) {{ {wanted} }} }}"
    found = gateway.data(query, id=customer, p=[provider])["customer"]["paymentMethods"]
    return {one["kind"]: one["id"] for one in found}


def quote(gateway: RunningGateway, **more: Any) -> Any:
    given = {
        "customerId": "cus_alex",
        "idempotencyKey": f"quote-{uuid4()}",
        "amount": {"amount": "123.45", "currency": "USD"},
        "reference": "inv-2026-0611",
        **more,
    }
    return gateway.data(QUOTE, input=given)["quotePayment"]


def quoted(gateway: RunningGateway) -> str:
    """A payment by Alex's card, with a new reference."""
    using = {"paymentMethodId": methods(gateway)["CARD"]}
    payment = quote(gateway, using=using, reference=f"inv-{uuid4()}")["payment"]
    return str(payment["id"])


def capture(gateway: RunningGateway, payment_id: str, key: str | None = None) -> Any:
    given = {"paymentId": payment_id, "idempotencyKey": key or f"capture-{uuid4()}"}
    return gateway.data(CAPTURE, input=given)["capturePayment"]


def captures(sandbox: RunningSandbox) -> int:
    return len([call for call in sandbox.calls("caselle") if call["path"].endswith("/capture")])


def codes(payload: Any) -> list[str]:
    return [error["code"] for error in payload["userErrors"]]


def shown(gateway: RunningGateway, payment_id: str) -> Any:
    query = "query P($id: ID!) { node(id: $id) { ... on Payment { state reference refundedAmount { amount } } } }"
    return gateway.data(query, id=payment_id)["node"]


def state_of(gateway: RunningGateway, payment_id: str) -> str:
    return str(shown(gateway, payment_id)["state"])


def event_states(gateway: RunningGateway, payment_id: str) -> list[str]:
    """The states in a payment's events, oldest first."""
    page = gateway.on_loop(gateway.gateway.store.events.of_customer("cus_alex", first=100))
    about = [event.detail["state"] for event in page.events if event.detail.get("payment_id") == payment_id]
    return about[::-1]


@contextmanager
def webhooks_on(gateway: RunningGateway, sandbox: RunningSandbox) -> Iterator[None]:
    """Send the sandbox's Caselle webhooks to the gateway."""
    url = f"{gateway.url}/webhooks/caselle/pa_7Qm2"
    sandbox.control("POST", "/webhooks", {"provider": "caselle", "url": url})
    try:
        yield
    finally:
        sandbox.control("POST", "/webhooks", {"provider": "caselle"})


def happens(gateway: RunningGateway, sandbox: RunningSandbox, payment_id: str, event_type: str, **more: Any) -> None:
    """Let the vault report a payment event, and wait until every delivery is processed."""
    named = {} if "payment_uid" in more else {"reference_id": shown(gateway, payment_id)["reference"]}
    asked = {"provider": "caselle", "event_type": event_type, **named, **more}
    event_id = sandbox.control("POST", "/payment-events", asked)["event_id"]
    deliveries = gateway.gateway.store.deliveries

    def is_done() -> bool:
        found = [one for one in gateway.on_loop(deliveries.all(limit=10_000)) if one.delivery_id == event_id]
        return bool(found) and all(one.state.value == "DONE" for one in found)

    eventually(is_done, event_type)
