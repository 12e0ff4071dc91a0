"""A minimal shop backend: calls the gateway for the page and holds the gateway's token."""

import argparse
import json
import subprocess
import sys
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("index.html")
CUSTOMER = "cus_alex"

TOKENIZE = """mutation T($input: CreateTokenizationInput!) {
  createTokenization(input: $input) { tokenization { action { url } } userErrors { message } } }"""
ADD = """mutation A($input: AddPaymentMethodInput!) {
  addPaymentMethod(input: $input) { paymentMethod { label } wasDuplicate userErrors { message path } } }"""
HOST = """mutation H($input: CreateHostedSessionInput!) {
  createHostedSession(input: $input) { nextAction { url } userErrors { message } } }"""


class Shop:
    """The three calls of the page."""

    def __init__(self, gateway: str, token: str, origin: str) -> None:
        self._gateway = gateway
        self._token = token
        self._origin = origin

    def form(self, _asked: dict[str, Any]) -> Any:
        return self._ask(TOKENIZE, {"customerId": CUSTOMER, "provider": "LOANPRO"})

    def add(self, asked: dict[str, Any]) -> Any:
        method = {"loanproToken": {"token": asked["token"], "kind": "CARD"}}
        return self._ask(ADD, {"customerId": CUSTOMER, "idempotencyKey": asked["key"], "method": method})

    def session(self, asked: dict[str, Any]) -> Any:
        amount = {"amount": "12.00", "currency": "USD"}
        given = {"customerId": CUSTOMER, "provider": "CASELLE", "purpose": "PAY", "amount": amount}
        urls = {"returnUrl": f"{self._origin}/?back=paid", "cancelUrl": f"{self._origin}/?back=cancelled"}
        return self._ask(HOST, {**given, **urls, "idempotencyKey": f"session-{uuid.uuid4()}"})

    def _ask(self, query: str, given: dict[str, Any]) -> Any:
        body = json.dumps({"query": query, "variables": {"input": given}}).encode()
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(f"{self._gateway}/graphql", body, headers)
        with urllib.request.urlopen(request, timeout=20) as reply:
            return json.load(reply)


def handler_of(shop: Shop) -> type[BaseHTTPRequestHandler]:
    routes = {"/form": shop.form, "/add": shop.add, "/session": shop.session}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(PAGE.read_bytes(), "text/html; charset=utf-8")

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
            self._answer(json.dumps(routes[self.path](asked)).encode(), "application/json")

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.send_header("cache-control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return None  # do not log paths or bodies

    return Handler


def minted(data_dir: str) -> str:
    """A token for `vaultgraph dev`, from its `token` command."""
    vaultgraph = Path(sys.executable).with_name("vaultgraph")
    scopes = "customers:read,payment_methods:read,payment_methods:write"
    command = [str(vaultgraph), "token", "--scope", scopes, "--data-dir", data_dir]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", default="http://127.0.0.1:8000")
    parser.add_argument("--data-dir", default="vaultgraph-data")
    parser.add_argument("--port", type=int, default=3000)
    asked = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", asked.port), BaseHTTPRequestHandler)
    origin = f"http://127.0.0.1:{server.server_port}"
    server.RequestHandlerClass = handler_of(Shop(asked.gateway, minted(asked.data_dir), origin))
    print(f"Open {origin}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
