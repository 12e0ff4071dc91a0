"""The sandbox reports changes to a callback URL, signed, as often as requested."""

import hashlib
import hmac
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.support.sandbox import ControlError, RunningSandbox

Delivery = tuple[dict[str, str], bytes]


@pytest.fixture
def inbox() -> Iterator[tuple[str, "queue.Queue[Delivery]"]]:
    """A listening address and the deliveries received there."""
    arrived: queue.Queue[Delivery] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            arrived.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return None

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", arrived
    server.shutdown()
    server.server_close()


def is_signed(delivery: Delivery, secret: str) -> bool:
    headers, body = delivery
    signed = f"{headers['x-webhook-timestamp']}.".encode() + body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return headers.get("x-webhook-signature") == f"sha256={expected}"


def first_method(sandbox: RunningSandbox) -> str:
    return str(sandbox.held("caselle", "cus_88420")[0]["ref"])


def test_one_event_is_delivered_as_often_as_requested(
    sandbox: RunningSandbox, inbox: tuple[str, "queue.Queue[Delivery]"]
) -> None:
    url, arrived = inbox
    sandbox.control("POST", "/webhooks", {"provider": "caselle", "url": url})
    sandbox.reset()
    method = first_method(sandbox)
    asked = {"provider": "caselle", "saved_payment_method_ids": [method], "exp_month": 5, "exp_year": 2033}
    result = sandbox.control("POST", "/noc", {**asked, "deliveries": 2, "last4": "7777"})
    deliveries = [arrived.get(timeout=10) for _ in range(2)]
    secret = sandbox.credentials("caselle")["webhook_secret"]
    assert [is_signed(delivery, secret) for delivery in deliveries] == [True, True]
    assert {delivery[0]["x-webhook-id"] for delivery in deliveries} == {result["event_id"]}
    assert sandbox.held("caselle", "cus_88420")[0]["last4"] == "7777"
    sandbox.control("POST", "/webhooks", {"provider": "caselle"})


@pytest.mark.parametrize("signature", ["bad", "none"])
def test_a_signature_can_be_wrong_or_missing(
    sandbox: RunningSandbox, inbox: tuple[str, "queue.Queue[Delivery]"], signature: str
) -> None:
    url, arrived = inbox
    sandbox.control("POST", "/webhooks", {"provider": "caselle", "url": url})
    asked = {"provider": "caselle", "saved_payment_method_ids": [first_method(sandbox)], "signature": signature}
    sandbox.control("POST", "/noc", asked)
    delivery = arrived.get(timeout=10)
    assert not is_signed(delivery, sandbox.credentials("caselle")["webhook_secret"])
    assert ("x-webhook-signature" in delivery[0]) == (signature == "bad")
    sandbox.control("POST", "/webhooks", {"provider": "caselle"})


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/webhooks", {"provider": "aloha", "url": "http://127.0.0.1/"}, "provider"),
        ("/webhooks", {"provider": "caselle", "url": "ftp://127.0.0.1/"}, "url"),
        ("/noc", {"provider": "caselle", "saved_payment_method_ids": []}, "saved_payment_method_ids"),
        ("/noc", {"provider": "caselle", "saved_payment_method_ids": ["spm_x"], "exp_month": 13}, "exp_month"),
    ],
)
def test_invalid_requests_name_the_field(
    sandbox: RunningSandbox, path: str, body: dict[str, object], field: str
) -> None:
    with pytest.raises(ControlError, match=f'"field":"{field}"'):
        sandbox.control("POST", path, body)
