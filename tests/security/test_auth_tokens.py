"""Credentials over HTTP: every invalid kind gets the same response, and nothing is executed."""

import http.server
import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.api.auth.api_keys import new_key
from tests.support.gateway import GraphQLReply, RunningGateway
from tests.support.gateways import StartGateway
from tests.support.issuer import AUDIENCE, ISSUER, by_hand, claims, ec_key, key_set, listed, public_pem, rsa_key, token
from tests.support.sandbox import RunningSandbox

WALLET = '{ customer(id: "cus_alex") { name paymentMethods { label } } }'


class Issuer:
    """Serves `document` at ``/jwks``; every other path is recorded and redirected there."""

    def __init__(self) -> None:
        self.document = key_set(listed(rsa_key(), "r"))
        self.status = 200
        self.paths: list[str] = []
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.paths.append(self.path)
                is_there = self.path == "/jwks" and issuer.status == 200
                self.send_response(200 if is_there else issuer.status if self.path == "/jwks" else 302)
                if self.path != "/jwks":
                    self.send_header("location", "/jwks")
                body = issuer.document if is_there else b"{}"
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return None

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Issuer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


def trusting(start: StartGateway, issuer: Issuer, path: str = "/jwks", **auth: Any) -> RunningGateway:
    """A gateway that trusts the issuer at this URL."""
    said = {"issuer": ISSUER, "audience": [AUDIENCE], "jwks_path": "", "jwks_url": issuer.url + path, **auth}
    gateway = start(auth=said)
    gateway.headers = {}
    return gateway


def ask(gateway: RunningGateway, authorization: str | None, **headers: str) -> GraphQLReply:
    sent = {**headers, **({} if authorization is None else {"authorization": authorization})}
    return gateway.query(WALLET, headers=sent)


def shape(reply: GraphQLReply) -> tuple[int, Any, Any]:
    body = reply.body
    body["extensions"].pop("requestId")
    return reply.status, body, reply.headers.get("www-authenticate")


REFUSED = (
    401,
    {
        "errors": [
            {"message": "The request carries no valid credentials.", "extensions": {"code": "UNAUTHENTICATED"}},
        ],
        "extensions": {},
    },
    'Bearer realm="vaultgraph"',
)


def test_all_invalid_credentials_get_the_same_response_without_a_call(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway()
    good = gateway.token()
    gateway.headers = {}
    now = int(time.time())
    dev_claims = {"iss": "vaultgraph-dev", "aud": "vaultgraph", "sub": "x", "exp": now + 60, "scope": "customers:read"}
    wrong: list[str | None] = [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {good}",
        good,
        f"Token {good}",
        f"Bearer {good} {good}",
        f"Bearer {good[:-6]}",
        f"Bearer {good}x",
        "Bearer " + "a" * 7_000,
        f"Bearer {new_key()}",
        "Bearer vg_short",
        f"Bearer {gateway.token(valid_for_s=-120)}",
        f"Bearer {gateway.token(name='')}",
        f"Bearer {gateway.token(customer='alex')}",
        f"Bearer {by_hand({'alg': 'none', 'typ': 'JWT'}, dev_claims)}",
        f"Bearer {by_hand({'alg': 'HS256', 'kid': 'vaultgraph-dev'}, dev_claims, public_pem(gateway.tokens.key))}",
        f"Bearer {token(ec_key('attacker'), 'ES256', dev_claims, kid='vaultgraph-dev')}",
        f"Bearer {token(gateway.tokens.key, 'ES256', {**dev_claims, 'iss': 'other'}, kid='vaultgraph-dev')}",
        f"Bearer {token(gateway.tokens.key, 'ES256', {**dev_claims, 'aud': 'other'}, kid='vaultgraph-dev')}",
    ]
    for authorization in wrong:
        assert shape(ask(gateway, authorization)) == REFUSED, authorization
    assert shape(gateway.query(WALLET, headers={"x-api-key": new_key()})) == REFUSED
    assert shape(gateway.query(WALLET, headers={"x-api-key": good})) == REFUSED, "a token is no API key"
    both = gateway.query(WALLET, headers={"x-api-key": new_key(), "authorization": f"Bearer {good}"})
    assert (both.status, both.codes) == (401, ["UNAUTHENTICATED"])
    assert sandbox.calls() == []
    assert ask(gateway, f"bearer  {good}").status == 200, "the scheme's case and spaces do not matter"
    assert good not in gateway.log


def test_credentials_come_before_everything_else(demo_gateway: RunningGateway) -> None:
    """Without credentials, nothing is revealed: neither whether a document is valid nor whether a field exists."""
    demo_gateway.headers = {}
    for query in ("{ nonsense", "{ noSuchField }", "{ __schema { types { name } } }", "{ __typename }", WALLET):
        reply = demo_gateway.query(query)
        assert (reply.status, reply.codes) == (401, ["UNAUTHENTICATED"])


def test_tokens_are_verified_by_a_changing_key_set(start_gateway: StartGateway, issuer: Issuer) -> None:
    gateway = trusting(start_gateway, issuer, jwks_min_interval_s=0.1)
    said = claims(scope="customers:read payment_methods:read")
    assert issuer.paths == [], "the issuer is asked when a token comes, not before"
    assert ask(gateway, f"Bearer {token(rsa_key(), 'RS256', said, kid='r')}").status == 200
    issuer.document = key_set(listed(rsa_key(), "r"), listed(ec_key("next"), "next"))
    time.sleep(0.15)
    reply = ask(gateway, f"Bearer {token(ec_key('next'), 'ES256', said, kid='next')}")
    assert (reply.status, reply.errors) == (200, [])
    assert issuer.paths == ["/jwks", "/jwks"]


def test_a_token_without_customer_and_staff_claim_is_refused(
    start_gateway: StartGateway, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "vaultgraph.auth")
    gateway = trusting(start_gateway, issuer, customer_claim="vg.customer_id")
    usual = {"scope": "customers:read payment_methods:read links:read"}
    for said in ({}, {"vg": "cus_alex"}, {"vg": None}, {"vg": {"customer_id": ["cus_alex"]}}, {"vg": {}}):
        proofless = {"vaultgraph_staff": None} if said in ({}, {"vg": {}}) else {}
        sent = token(rsa_key(), "RS256", {**claims(**usual, **proofless), **said}, kid="r")
        reply = ask(gateway, f"Bearer {sent}")
        assert (reply.status, reply.codes) == (401, ["UNAUTHENTICATED"]), said
        assert sent not in gateway.log
    refused = "a token was refused: claims: "
    assert f"{refused}the path of the customer claim leads through a value that is no object" in gateway.log
    assert f"{refused}neither the customer claim nor the staff claim is present" in gateway.log
    assert "cus_alex" not in gateway.log
    end_user = token(rsa_key(), "RS256", claims(**usual, vg={"customer_id": "cus_alex"}), kid="r")
    assert ask(gateway, f"Bearer {end_user}").data["customer"]["paymentMethods"]


def test_urls_in_a_token_are_not_called(start_gateway: StartGateway, issuer: Issuer) -> None:
    gateway = trusting(start_gateway, issuer)
    for header in ({"jku": f"{issuer.url}/evil"}, {"x5u": f"{issuer.url}/evil"}, {"kid": f"{issuer.url}/evil"}):
        sent = token(rsa_key("attacker"), "RS256", claims(), **{"kid": "r", **header})
        assert ask(gateway, f"Bearer {sent}").status == 401
    assert set(issuer.paths) <= {"/jwks"}


def test_redirects_of_the_issuer_are_not_followed(start_gateway: StartGateway, issuer: Issuer) -> None:
    gateway = trusting(start_gateway, issuer, path="/elsewhere")
    reply = ask(gateway, f"Bearer {token(rsa_key(), 'RS256', kid='r')}")
    assert (reply.status, reply.codes, reply.headers["retry-after"]) == (503, ["OVERLOADED"], "5")
    assert issuer.paths == ["/elsewhere"]


def test_an_unavailable_issuer_is_not_reported_as_unauthenticated(start_gateway: StartGateway, issuer: Issuer) -> None:
    gateway = trusting(start_gateway, issuer, jwks_min_interval_s=0.1)
    issuer.status = 500
    sent = f"Bearer {token(rsa_key(), 'RS256', kid='r')}"
    assert ask(gateway, sent).status == 503
    issuer.status = 200
    time.sleep(0.15)
    assert ask(gateway, sent).status == 200


def test_a_huge_key_set_is_refused(start_gateway: StartGateway, issuer: Issuer) -> None:
    issuer.document = json.dumps({"keys": [], "filler": "x" * 1_000_000}).encode()
    gateway = trusting(start_gateway, issuer)
    assert ask(gateway, f"Bearer {token(rsa_key(), 'RS256', kid='r')}").status == 503


def test_without_an_issuer_only_api_keys_are_accepted(start_gateway: StartGateway) -> None:
    gateway = start_gateway(auth={"partners_only": True})
    assert (ask(gateway, f"Bearer {gateway.token()}").status, gateway.query("{ __typename }").status) == (401, 401)
