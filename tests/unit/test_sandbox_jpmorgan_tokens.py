"""J.P. Morgan's token endpoint: both client authentications, expiry by the sandbox clock, revocation, restarts."""

import json
import time
import uuid
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from app.sandbox.base import SandboxClock
from app.sandbox.jpmorgan import JpMorganEmulator
from tests.support.asgi import Reply, basic, call

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALEX = "/api/v2/mmp/consumer-profiles/PACJGQ"
SECRET_FORM = {"grant_type": "client_credentials"}


class Client:
    def __init__(self) -> None:
        self.clock = SandboxClock()
        self.emulator = JpMorganEmulator(self.clock)
        self.shown = self.emulator.credentials("http://sandbox.test")
        self._app = self.emulator.asgi()

    def secret(self) -> dict[str, str]:
        return SECRET_FORM | {"client_id": self.shown["client_id"], "client_secret": self.shown["client_secret"]}

    def assertion(self, kid: str = "", key: Any = None, **claims: Any) -> dict[str, str]:
        now, own = int(time.time()), self.shown["client_id"]
        whole = {"iss": own, "sub": own, "aud": self.shown["token_url"], "iat": now, "exp": now + 60}
        whole |= {"jti": str(uuid.uuid4())} | claims
        whole = {name: value for name, value in whole.items() if value is not None}
        signed = jwt.encode(
            whole, key or self.shown["private_key"], algorithm="RS256", headers={"kid": kid or self.shown["key_id"]}
        )
        return SECRET_FORM | {"client_id": own, "client_assertion_type": TYPE, "client_assertion": signed}

    async def token(self, form: dict[str, str], headers: dict[str, str] | None = None) -> Reply:
        return await call(self._app, "POST", "/oauth2/token", form=form, headers=headers)

    async def works(self, token: str) -> bool:
        headers = {"Authorization": f"Bearer {token}", "merchantIdentifier": self.shown["merchant_identifier"]}
        reply = await call(self._app, "GET", ALEX, headers=headers)
        assert reply.status in (200, 401)
        return reply.status == 200


@pytest.fixture
def client() -> Client:
    return Client()


async def test_a_secret_in_the_form_or_by_basic(client: Client) -> None:
    pair = basic(client.shown["client_id"], client.shown["client_secret"])
    for reply in (await client.token(client.secret()), await client.token(SECRET_FORM, pair)):
        assert reply.status == 200
        answer = reply.json()
        assert (answer["expires_in"], answer["token_type"]) == (3600, "bearer")
        assert await client.works(answer["access_token"])


async def test_invalid_token_requests(client: Client) -> None:
    wrong_secret = client.secret() | {"client_secret": "x"}
    wrong_type = {"content-type": "application/json"}
    replies = [
        await client.token(wrong_secret),
        await client.token(client.secret() | {"grant_type": "password"}),
        await client.token(client.secret(), wrong_type),
    ]
    assert [(reply.status, reply.json()["error"]) for reply in replies] == [
        (401, "invalid_client"),
        (400, "unsupported_grant_type"),
        (400, "invalid_request"),
    ]


async def test_an_assertion_works_once(client: Client) -> None:
    form = client.assertion()
    reply = await client.token(form)
    assert reply.status == 200
    assert await client.works(reply.json()["access_token"])
    again = await client.token(form)
    assert (again.status, again.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "wrong",
    [
        {"aud": "https://elsewhere.example/token"},
        {"exp": int(time.time()) - 5},
        {"exp": None},
        {"jti": None},
        {"iss": "another"},
        {"sub": "another"},
        {"kid": "0" * 40},
    ],
)
async def test_an_assertion_is_checked(client: Client, wrong: dict[str, Any]) -> None:
    reply = await client.token(client.assertion(**wrong))
    assert (reply.status, reply.json()["error"]) == (400, "invalid_grant")


async def test_an_assertion_of_another_key_or_none(client: Client) -> None:
    other = generate_private_key(public_exponent=65537, key_size=2048)
    forms = [
        client.assertion(key=other),
        client.assertion() | {"client_assertion": "garbage"},
        client.assertion() | {"client_id": "another"},
        client.assertion() | {"client_assertion_type": "other"},
    ]
    errors = [(await client.token(form)).json()["error"] for form in forms]
    assert errors == ["invalid_grant", "invalid_grant", "invalid_grant", "invalid_request"]


async def test_tokens_expire_by_the_sandbox_clock(client: Client) -> None:
    client.emulator.set_switch("TOKEN_EXPIRES_IN", "60")
    answer = (await client.token(client.secret())).json()
    assert answer["expires_in"] == 60
    client.clock.advance(58)
    assert await client.works(answer["access_token"])
    client.clock.advance(3)
    assert not await client.works(answer["access_token"])
    # The client's clock is real time, so its assertions stay valid.
    assert (await client.token(client.assertion())).status == 200


async def test_revoking_ends_old_tokens_only(client: Client) -> None:
    old = (await client.token(client.secret())).json()["access_token"]
    client.emulator.set_switch("REVOKE_TOKENS", "now")
    new = (await client.token(client.secret())).json()["access_token"]
    assert (await client.works(old), await client.works(new)) == (False, True)
    assert client.emulator.switch("REVOKE_TOKENS") == "no"


async def test_tokens_and_key_survive_reset_and_restart(client: Client) -> None:
    token = (await client.token(client.secret())).json()["access_token"]
    client.emulator.reset()
    assert await client.works(token)
    restarted = Client()
    restarted.emulator.restore(json.loads(json.dumps(client.emulator.state)), {})
    assert await restarted.works(token)
    assert restarted.emulator.credentials("http://x")["private_key"] == client.shown["private_key"]


async def test_a_token_of_another_sandbox_is_refused(client: Client) -> None:
    assert not await Client().works((await client.token(client.secret())).json()["access_token"])
    assert not await client.works("a.b.c")


async def test_credentials_can_be_used_at_once(client: Client) -> None:
    assert client.shown["base_url"] == "http://sandbox.test/jpmorgan/api/v2/mmp"
    assert client.shown["token_url"] == "http://sandbox.test/jpmorgan/oauth2/token"
    assert list(client.shown["headers"]) == ["Authorization", "merchantIdentifier"]
    assert await client.works(client.shown["headers"]["Authorization"].removeprefix("Bearer "))
