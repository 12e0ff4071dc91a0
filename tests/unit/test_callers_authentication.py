"""Where credentials are accepted in a request or in the first message of a WebSocket."""

import time
from pathlib import Path
from typing import Any

import pytest

from app.api.auth.api_keys import new_key
from app.api.auth.authentication import Authenticator
from app.api.auth.claims import ClaimRules
from app.api.auth.development import AUDIENCE, DEFAULT_SCOPES, ISSUER, JWKS_FILE, KEY_FILE, DevTokens
from app.api.auth.tokens import TokenVerifier, TrustedIssuer
from app.api.headers import head_of
from app.api.problems import RequestRefused
from app.http.jwks import FileKeys
from app.server.connections import ClientConnection
from app.wallet.caller import ALL_SCOPES, Caller, CallerKind

KEY = new_key()
ACME = Caller(name="acme", scopes=frozenset(), kind=CallerKind.PARTNER)


class OneKey:
    """Partners with one known key."""

    async def caller(self, key: str) -> Caller | None:
        return ACME if key == KEY else None

    async def revalidate(self, caller: Caller) -> Caller | None:
        return ACME if caller.name == "acme" else None


@pytest.fixture
def tokens(tmp_path: Path) -> DevTokens:
    return DevTokens.open(tmp_path)


@pytest.fixture
def callers(tokens: DevTokens) -> Authenticator:
    verifier = TokenVerifier([TrustedIssuer(ISSUER, (AUDIENCE,), FileKeys(tokens.jwks_path))])
    return Authenticator(OneKey(), verifier, {"": ClaimRules()})  # type: ignore[arg-type]


async def test_tokens_and_keys_by_header(callers: Authenticator, tokens: DevTokens) -> None:
    token = tokens.mint()
    for scheme in ("Bearer", "bearer", "BEARER"):
        found = await callers.authenticate({"authorization": f"{scheme} {token}"})
        assert (found.kind, found.scopes) == (CallerKind.STAFF, DEFAULT_SCOPES)
    assert await callers.authenticate({"authorization": f"Bearer {KEY}"}) is ACME
    assert await callers.authenticate({"x-api-key": KEY}) is ACME
    assert await callers.authenticate({"x-api-key": f" {KEY} "}) is ACME


async def test_a_caller_is_known_only_after_its_token_was_verified_and_until_issuers_change(
    callers: Authenticator, tokens: DevTokens
) -> None:
    headers = {"authorization": f"Bearer {tokens.mint()}"}
    assert callers.known(headers) is None
    found = await callers.authenticate(headers)
    assert callers.known(headers) is found
    assert callers.known({**headers, "x-api-key": KEY}) is None, "two kinds of credentials"
    assert callers.known({"authorization": f"Bearer {tokens.mint()}x"}) is None
    assert callers.known({"authorization": f"Bearer {KEY}"}) is None
    assert callers.known({}) is None
    callers.accept_tokens(None, {})
    assert callers.known(headers) is None


async def test_a_repeated_head_is_recognised_only_while_its_token_is_known(tokens: DevTokens) -> None:
    now = time.time()
    issuers = [TrustedIssuer(ISSUER, (AUDIENCE,), FileKeys(tokens.jwks_path))]
    verifier = TokenVerifier(issuers, remember_s=60, clock=lambda: now)
    callers = Authenticator(OneKey(), verifier, {"": ClaimRules()})  # type: ignore[arg-type]
    raw = [(b"authorization", f"Bearer {tokens.mint()}".encode())]
    connection = ClientConnection(lambda caller: True, lambda: None)
    scope = {"headers": raw, "state": {"connection": connection}}
    head = head_of(scope)
    assert callers.recognise(head) is None
    found = await callers.authenticate(head.headers)
    assert [callers.recognise(head_of(scope)) for _ in range(3)] == [found] * 3
    assert head_of(scope) is head
    other = head_of({**scope, "headers": [*raw, (b"x-request-id", b"12345678")]})
    assert (other is head, callers.recognise(other)) == (False, found), "the same credentials in another head"
    for credentials in [*raw, (b"x-api-key", KEY.encode())], [(b"authorization", b"Bearer another")], []:
        head_of(scope)
        assert callers.recognise(head_of({**scope, "headers": credentials})) is None
    head = head_of(scope)
    now += 61
    assert callers.recognise(head) is None, "verified too long ago"
    await callers.authenticate(head.headers)
    assert callers.recognise(head) == found
    callers.accept_tokens(TokenVerifier(issuers), {"": ClaimRules()})
    assert callers.recognise(head) is None, "the issuers may have changed"


async def test_another_head_of_a_connection_is_read_anew() -> None:
    connection = ClientConnection(lambda caller: True, lambda: None)
    for value in (b"1", b"2"):
        head = head_of({"headers": [(b"accept", b"a/b"), (b"n", value)], "state": {"connection": connection}})
        assert head.headers == {"accept": "a/b", "n": value.decode()}
    assert head_of({"headers": [(b"host", b"a"), (b"host", b"b")]}).repeated == "host"


async def test_one_kind_of_credentials_is_enough(callers: Authenticator, tokens: DevTokens) -> None:
    with pytest.raises(RequestRefused) as refused:
        await callers.authenticate({"authorization": f"Bearer {tokens.mint()}", "x-api-key": KEY})
    assert (refused.value.code, refused.value.status) == ("UNAUTHENTICATED", 401)
    assert refused.value.headers == {"www-authenticate": 'Bearer realm="vaultgraph"'}


@pytest.mark.parametrize("name", ["authorization", "Authorization", "AUTHORIZATION"])
async def test_connection_init_has_credentials_as_authorization(
    callers: Authenticator, tokens: DevTokens, name: str
) -> None:
    token = tokens.mint({"explore"}, "cus_a")
    for value in (f"Bearer {token}", f"bearer {token}", token):
        found = await callers.authenticate_payload({name: value, "other": 1})
        assert (found.kind, found.acting_customer, found.scopes) == (CallerKind.END_USER, "cus_a", {"explore"})
    assert await callers.authenticate_payload({name: KEY}) is ACME


async def test_equal_credentials_sent_twice_are_accepted(callers: Authenticator) -> None:
    """GraphiQL merges the connection's parameters with the headers of its tab, whatever their case."""
    for payload in (
        {"authorization": f"Bearer {KEY}", "Authorization": f"Bearer {KEY}"},
        {"Authorization": KEY, "authorization": f"Bearer {KEY}", "AUTHORIZATION": f"Bearer {KEY}"},
    ):
        assert await callers.authenticate_payload(payload) is ACME


@pytest.mark.parametrize(
    "payload",
    [
        None, {}, [], "text", 5, {"token": "x"}, {"authorization": None}, {"authorization": 5}, {"authorization": ""},
        {"authorization": ["Bearer x"]}, {"authorization": "Basic dTpw"}, {"headers": {"authorization": "Bearer x"}},
        {"authorization": KEY, "Authorization": f"{KEY}x"}, {"authorization": f"Bearer {KEY} {KEY}"},
        {"authorization": KEY, "Authorization": None}, {"authorization": KEY, "Authorization": ""},
        {"authorization": "Bearer " + "x" * 100_000}, {"authorization": "Bearer \ud800"}, {5: KEY},
    ],
)  # fmt: skip
async def test_any_other_first_message_is_refused(callers: Authenticator, payload: Any) -> None:
    with pytest.raises(RequestRefused) as refused:
        await callers.authenticate_payload(payload)
    assert refused.value.code == "UNAUTHENTICATED"


async def test_rights_end_with_the_token_and_with_the_partner(
    callers: Authenticator, tokens: DevTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    staff = await callers.authenticate({"authorization": f"Bearer {tokens.mint()}"})
    assert await callers.revalidate(staff) is staff
    assert staff.expires_at is not None
    monkeypatch.setattr("app.api.auth.authentication.time.time", lambda: (staff.expires_at or 0) + 1)
    assert await callers.revalidate(staff) is None
    assert await callers.revalidate(ACME) is ACME
    assert await callers.revalidate(Caller(name="gone", scopes=frozenset(), kind=CallerKind.PARTNER)) is None


def test_a_data_directory_keeps_its_key_private(tmp_path: Path) -> None:
    first = DevTokens.open(tmp_path)
    again = DevTokens.open(tmp_path)
    assert first.key.private_numbers() == again.key.private_numbers()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([KEY_FILE, JWKS_FILE]), "nothing is left behind"
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o077 == 0
    assert '"d"' not in (tmp_path / JWKS_FILE).read_text("utf-8")
    assert "pan:write" not in DEFAULT_SCOPES
    assert DEFAULT_SCOPES | {"pan:write"} == ALL_SCOPES
