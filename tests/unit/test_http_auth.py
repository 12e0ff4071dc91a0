"""Credentials: shared tokens, single-flight background refresh, 401 replies and token endpoint failures."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.errors import OutcomeUnknown, SettingsError, VaultRefusedUs, VaultTimeout, VaultUnavailable
from app.http.auth import OAuthClientCredentials, StaticHeaders, basic
from app.http.client import VaultHttpClient, create_client
from app.http.message import Effect, VaultRequest
from app.http.settings import ProviderSettings
from app.telemetry.redact import MASK, REDACTOR
from app.vault.provider import Call
from tests.support.raw_server import Answer, RawServer, ReceivedRequest, raw_server, reply

GET = VaultRequest(method="GET", path="things", route="things")
POST = VaultRequest(method="POST", path="things", route="things", effect=Effect.WRITE, json={})
SECRET = "s3cr3t/with+odd chars"


def call(seconds: float = 60.0) -> Call:
    return Call(deadline_at=asyncio.get_running_loop().time() + seconds, request_id="r")


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class Vault:
    """A token endpoint at /token and a resource that accepts the tokens in `valid`."""

    def __init__(self, life_s: Any = 3600) -> None:
        self.life_s = life_s
        self.minted = 0
        self.valid: set[str] = set()
        self.token_answers: list[Answer] = []
        self.token_delay_s = 0.0
        self.honours_tokens = True
        self.challenge = 'WWW-Authenticate: Bearer error="invalid_token"\r\n'
        self.forms: list[dict[str, list[str]]] = []
        self.token_headers: list[dict[str, str]] = []
        self.calls = 0

    async def answer(self, asked: ReceivedRequest) -> Answer:
        if asked.target != "/token":
            self.calls += 1
            bearer = asked.headers.get("authorization", "").removeprefix("Bearer ")
            if bearer in self.valid and self.honours_tokens:
                return reply(200)
            return reply(401, headers=self.challenge)
        self.forms.append(parse_qs(asked.body.decode()))
        self.token_headers.append(asked.headers)
        await asyncio.sleep(self.token_delay_s)
        if self.token_answers:
            return self.token_answers.pop(0)
        self.minted += 1
        token = f"access-token-{self.minted}"
        self.valid.add(token)
        return reply(200, orjson.dumps({"access_token": token, "expires_in": self.life_s, "token_type": "bearer"}))


@asynccontextmanager
async def client_to(
    vault: Vault, **oauth: Any
) -> AsyncIterator[tuple[VaultHttpClient, OAuthClientCredentials, RawServer]]:
    async with raw_server(vault.answer) as server:
        wanted = {"client_secret": SECRET} | oauth
        credentials = OAuthClientCredentials("caselle", f"{server.url}/token", "client-1", **wanted)
        settings = ProviderSettings(base_url=server.url, deadline_s=60, queue_wait_s=60)
        client = create_client("caselle", settings, credentials)
        try:
            yield client, credentials, server
        finally:
            await client.close()


async def test_a_thousand_callers_make_one_token_request() -> None:
    vault = Vault()
    vault.token_delay_s = 0.05
    async with client_to(vault) as (client, _, _):
        answers = await asyncio.gather(*(client.send(GET, call()) for _ in range(1000)))
    assert {answer.status for answer in answers} == {200}
    assert (vault.minted, vault.calls) == (1, 1000)


async def test_a_thousand_callers_with_an_invalidated_token_make_one_request() -> None:
    vault = Vault()
    async with client_to(vault) as (client, _, _):
        await client.send(GET, call())
        vault.valid.clear()
        vault.token_delay_s = 0.02
        answers = await asyncio.gather(*(client.send(GET, call()) for _ in range(1000)))
    assert {answer.status for answer in answers} == {200}
    assert vault.minted == 2


async def test_each_fetch_of_a_token_has_a_request_id_of_its_own() -> None:
    vault = Vault()
    vault.token_answers.append(reply(503))
    async with client_to(vault) as (client, credentials, _):
        await client.send(GET, call())
        auth = credentials.cached()
        assert auth is not None
        credentials.invalidate(auth)
        await client.send(GET, call())
    first, again, second = (headers["x-request-id"] for headers in vault.token_headers)
    assert first == again != second
    assert len(first) == 32


async def test_a_token_near_expiry_is_renewed_once_in_the_background() -> None:
    vault = Vault(life_s=5)  # renewed from 4 s on, dropped at 4.5 s
    async with client_to(vault) as (client, credentials, _):
        await client.send(GET, call())
        credentials._renew_at = 0.0
        vault.token_delay_s = 0.05
        answers = await asyncio.gather(*(client.send(GET, call()) for _ in range(50)))
        assert {answer.status for answer in answers} == {200}
        while vault.minted < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)
        await client.send(GET, call())
    assert vault.minted == 2


async def test_an_expired_token_is_not_sent() -> None:
    vault = Vault(life_s="1")  # some send it as text
    async with client_to(vault) as (client, credentials, _):
        await client.send(GET, call())
        credentials._renew_at = credentials._expires_at = 0.0
        await client.send(GET, call())
    assert (vault.minted, vault.calls) == (2, 2)


@pytest.mark.parametrize("request_", [GET, POST])
async def test_a_401_renews_and_repeats_once(request_: VaultRequest) -> None:
    vault = Vault()
    async with client_to(vault) as (client, _, _):
        await client.send(GET, call())
        vault.valid.clear()
        assert (await client.send(request_, call())).status == 200
    assert (vault.minted, vault.calls) == (2, 3)


async def test_a_persistent_401_is_a_refusal_and_does_not_fetch_a_token_per_call() -> None:
    vault = Vault()
    vault.honours_tokens = False
    async with client_to(vault) as (client, _, _):
        for _ in range(5):
            with pytest.raises(VaultRefusedUs):
                await client.send(POST, call())
        assert vault.minted == 2
        vault.honours_tokens = True
        assert (await client.send(GET, call())).status == 200
    assert (vault.minted, vault.calls) == (2, 7)


async def test_a_401_without_a_challenge_leaves_a_write_unknown() -> None:
    """The write may have been applied: it is not retried, and the next call uses a new token."""
    vault = Vault()
    async with client_to(vault) as (client, _, _):
        await client.send(GET, call())
        vault.valid.clear()
        vault.challenge = ""
        with pytest.raises(OutcomeUnknown) as caught:
            await client.send(POST, call())
        assert isinstance(caught.value.if_absent, VaultRefusedUs)
        assert vault.calls == 2
        assert (await client.send(GET, call())).status == 200
    assert (vault.minted, vault.calls) == (2, 3)


async def test_a_vault_specific_401_is_recognised_as_a_challenge() -> None:
    vault = Vault()
    vault.challenge = ""
    async with raw_server(vault.answer) as server:
        credentials = OAuthClientCredentials("caselle", f"{server.url}/token", "client-1", client_secret=SECRET)
        settings = ProviderSettings(base_url=server.url)
        client = create_client("caselle", settings, credentials, is_challenge=lambda reply: reply.body == b"{}")
        await client.send(GET, call())
        vault.valid.clear()
        assert (await client.send(POST, call())).status == 200
        await client.close()
    assert (vault.minted, vault.calls) == (2, 3)


async def test_cancelling_one_caller_does_not_cancel_the_shared_refresh() -> None:
    vault = Vault()
    vault.token_delay_s = 0.5
    async with client_to(vault) as (client, _, _):
        first = asyncio.create_task(client.send(GET, call()))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(client.send(GET, call()))
        await asyncio.sleep(0.02)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second).status == 200
    assert vault.minted == 1


async def test_a_slow_token_endpoint_times_out_each_caller_at_its_deadline() -> None:
    vault = Vault()
    vault.token_delay_s = 0.3
    async with client_to(vault) as (client, _, _):
        patient = asyncio.create_task(client.send(GET, call()))
        for request in (GET, POST):
            with pytest.raises(VaultTimeout):
                await client.send(request, call(0.05))
        assert (await patient).status == 200
    assert (vault.minted, vault.calls) == (1, 1)


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_token_endpoint_that_rejects_the_client(status: int) -> None:
    vault = Vault()
    vault.token_answers = [reply(status, b'{"error":"invalid_client"}')] * 5
    async with client_to(vault) as (client, _, _):
        for _ in range(3):
            with pytest.raises(VaultRefusedUs):
                await client.send(POST, call())
    assert vault.calls == 0
    assert len(vault.forms) == 1  # concurrent callers share the failure


@pytest.mark.parametrize("answer", [reply(500), reply(200, b"<html>"), reply(200, b"{}"), reply(200, b"[]"), None])
async def test_a_token_endpoint_that_fails_means_unavailable_with_nothing_sent(answer: Answer) -> None:
    vault = Vault()
    vault.token_answers = [answer] * 10
    async with client_to(vault) as (client, _, _):
        with pytest.raises(VaultUnavailable):
            await client.send(POST, call())
    assert vault.calls == 0


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: 1", 7, None])
async def test_an_invalid_token_is_not_used(token: object) -> None:
    vault = Vault()
    vault.token_answers = [reply(200, orjson.dumps({"access_token": token}))] * 3
    async with client_to(vault) as (client, _, _):
        with pytest.raises(VaultUnavailable):
            await client.send(GET, call())
    assert vault.calls == 0


async def test_a_token_request_is_retried_after_a_lost_reply() -> None:
    vault = Vault()
    vault.token_answers = [None]
    async with client_to(vault) as (client, _, _):
        assert (await client.send(GET, call())).status == 200
    assert len(vault.forms) == 2


async def test_the_token_endpoint_is_retried_soon_after_a_failure() -> None:
    vault = Vault()
    vault.token_answers = [reply(401)]
    async with client_to(vault) as (client, credentials, _):
        with pytest.raises(VaultRefusedUs):
            await client.send(GET, call())
        credentials._retry_at = 0.0
        assert (await client.send(GET, call())).status == 200


async def test_client_secret_basic() -> None:
    vault = Vault()
    async with client_to(vault, scope="com.example/admin", extra={"resource": "JPMC:URI:RS-1"}) as (client, _, _):
        await client.send(GET, call())
    scheme, _, pair = vault.token_headers[0]["authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(pair) == b"client-1:s3cr3t%2Fwith%2Bodd+chars"
    assert vault.forms == [
        {"grant_type": ["client_credentials"], "scope": ["com.example/admin"], "resource": ["JPMC:URI:RS-1"]}
    ]


async def test_client_secret_post() -> None:
    vault = Vault()
    async with client_to(vault, method="client_secret_post") as (client, _, _):
        await client.send(GET, call())
    assert "authorization" not in vault.token_headers[0]
    assert vault.forms == [{"grant_type": ["client_credentials"], "client_id": ["client-1"], "client_secret": [SECRET]}]


async def test_private_key_jwt() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    vault = Vault()
    async with client_to(vault, method="private_key_jwt", private_key=pem(key), key_id="AB12") as (
        client,
        oauth,
        server,
    ):
        await client.send(GET, call())
        oauth._current = None
        await client.send(GET, call())
    first, second = vault.forms
    assert first["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
    assert first["client_id"] == ["client-1"]
    assert "client_secret" not in first
    assertion = first["client_assertion"][0]
    assert jwt.get_unverified_header(assertion) == {"typ": "JWT", "alg": "RS256", "kid": "AB12"}
    claims = jwt.decode(assertion, key.public_key(), algorithms=["RS256"], audience=f"{server.url}/token")
    assert (claims["iss"], claims["sub"]) == ("client-1", "client-1")
    assert 0 < claims["exp"] - claims["iat"] <= 8 * 3600
    other = jwt.decode(second["client_assertion"][0], options={"verify_signature": False})
    assert claims["jti"] != other["jti"]


@pytest.mark.parametrize("kind", ["none", "text", "elliptic"])
def test_a_bad_private_key_is_a_settings_error(kind: str) -> None:
    elliptic = pem(ec.generate_private_key(ec.SECP256R1()))
    private_key = {"none": "", "text": "not a key", "elliptic": elliptic}[kind]
    with pytest.raises(SettingsError, match=r"jpmorgan\.private_key"):
        OAuthClientCredentials("jpmorgan", "http://x/token", "c", method="private_key_jwt", private_key=private_key)


async def test_basic_credentials_and_what_the_redactor_learns() -> None:
    ticket = basic("user", "pass-word-ü").cached()
    expected = base64.b64encode("user:pass-word-ü".encode()).decode()
    assert ticket.headers == {"Authorization": f"Basic {expected}"}
    StaticHeaders({"Authorization": "Bearer loanpro-api-token"})
    vault = Vault()
    async with client_to(vault) as (client, _, _):
        await client.send(GET, call())
    said = f"{SECRET} | access-token-1 | loanpro-api-token | {expected} | pass-word-ü"
    assert REDACTOR.text(said) == " | ".join([MASK] * 5)
    assert "Bearer" not in repr(ticket)


async def test_closing_during_a_refresh_fails_the_waiters() -> None:
    vault = Vault()
    vault.token_delay_s = 30
    async with client_to(vault) as (client, _, _):
        task = asyncio.create_task(client.send(GET, call()))
        await asyncio.sleep(0.05)
        await client.close()
        with pytest.raises(VaultUnavailable):
            await task


async def test_a_write_lost_after_the_401_repeat_is_unknown() -> None:
    vault = Vault()
    answers: list[Callable[[ReceivedRequest], Awaitable[Answer]]] = []

    async def answer(asked: ReceivedRequest) -> Answer:
        if asked.target != "/token" and len(answers) == 0 and vault.calls == 1:
            vault.calls += 1
            return None
        return await vault.answer(asked)

    vault.honours_tokens = False
    async with raw_server(answer) as server:
        credentials = OAuthClientCredentials("caselle", f"{server.url}/token", "client-1", client_secret=SECRET)
        client = create_client("caselle", ProviderSettings(base_url=server.url), credentials)
        with pytest.raises(OutcomeUnknown):
            await client.send(POST, call())
        await client.close()
    assert vault.calls == 2
