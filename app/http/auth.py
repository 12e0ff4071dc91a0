"""Credentials for vault calls: static headers, or OAuth tokens that are fetched once and shared."""

import asyncio
import base64
import ssl
import time
import uuid
from collections.abc import Mapping
from contextvars import Context
from typing import Any, Final, Literal, Protocol
from urllib.parse import quote_plus, urlencode, urlsplit

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from app.errors import SettingsError, VaultError, VaultRefusedUs, VaultTimeout, VaultUnavailable
from app.http.message import VaultReply
from app.http.retry import backoff_s
from app.http.transports.aiohttp_transport import AiohttpTransport
from app.http.transports.base import Transport, TransportError
from app.telemetry.dependency import Dependency
from app.telemetry.logs import LINES
from app.telemetry.redact import REDACTOR
from app.telemetry.request_id import new_request_id
from app.telemetry.tracing import SPANS

ClientAuth = Literal["client_secret_basic", "client_secret_post", "private_key_jwt"]

_SECRET_WORDS: Final = ("auth", "token", "secret", "key", "password", "signature")
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFE_S: Final = 300
_DEFAULT_LIFE_S: Final = 300.0  # a reply without `expires_in`
_MAX_REPLY_BYTES: Final = 100_000
_TRIES: Final = 2
_HOLD_S: Final = 0.25
_MAX_HOLD_S: Final = 5.0


class AuthHeaders:
    """Authentication headers, for example one access token. `repr` does not show them."""

    __slots__ = ("headers", "is_proven")

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers
        self.is_proven = False
        """A call with these headers received a status other than 401."""


class Credentials(Protocol):
    """How calls to one vault are authenticated."""

    def cached(self) -> AuthHeaders | None:
        """The cached headers, or None if they must be fetched first."""
        ...

    async def get(self, deadline_at: float) -> AuthHeaders:
        """The cached or newly fetched headers; raises `VaultUnavailable`, `VaultTimeout` or `VaultRefusedUs`."""
        ...

    def invalidate(self, auth: AuthHeaders) -> bool:
        """Record that a call with `auth` got a 401. True if the call should be retried with `get`."""
        ...

    async def close(self) -> None: ...


class StaticHeaders:
    """Fixed headers from settings. Values whose header name suggests a secret are registered with the redactor."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._current = AuthHeaders(dict(headers))
        for name, value in headers.items():
            if any(word in name.lower() for word in _SECRET_WORDS):
                REDACTOR.learn(value)
                REDACTOR.learn(value.partition(" ")[2])  # `Bearer x`: x alone is secret too

    def cached(self) -> AuthHeaders:
        return self._current

    async def get(self, deadline_at: float) -> AuthHeaders:
        return self._current

    def invalidate(self, auth: AuthHeaders) -> bool:
        return False

    async def close(self) -> None:
        return None


def basic(username: str, password: str) -> StaticHeaders:
    """HTTP Basic (RFC 7617), UTF-8."""
    REDACTOR.learn(password)
    pair = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
    return StaticHeaders({"Authorization": f"Basic {pair}"})


class OAuthClientCredentials:
    """OAuth 2 client credentials (RFC 6749 §4.4), one token shared by all calls to a vault.

    One background task (single-flight) renews the token before it expires; cancelling a caller does not cancel the
    task. `extra` is added to the token request's form (``resource``, ``audience``). With `private_key` (PEM, RS256)
    the client authenticates with an assertion (RFC 7523): `key_id` is its ``kid``, the token URL its ``aud``.
    """

    def __init__(
        self,
        provider: str,
        token_url: str,
        client_id: str,
        *,
        method: ClientAuth = "client_secret_basic",
        client_secret: str = "",
        private_key: str = "",
        key_id: str = "",
        scope: str = "",
        extra: Mapping[str, str] | None = None,
        timeout_s: float = 5.0,
        proxy: str = "",
        tls: ssl.SSLContext | None = None,
        transport: Transport | None = None,
    ) -> None:
        self._provider = provider
        self._token_url = token_url
        self._client_id = client_id
        self._method: ClientAuth = method
        self._client_secret = client_secret
        self._key = _rsa_key(provider, private_key) if method == "private_key_jwt" else None
        self._key_id = key_id
        self._form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {}) | dict(extra or {})
        self._timeout_s = timeout_s
        self._transport = transport or AiohttpTransport(
            connections=2, max_body_bytes=_MAX_REPLY_BYTES, proxy=proxy or None, tls=tls
        )
        self._current: AuthHeaders | None = None
        self._renew_at = self._expires_at = 0.0
        self._refresh: asyncio.Task[AuthHeaders] | None = None
        self._failure: VaultError | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._was_rejected = False
        self._doubtful_until = 0.0
        self._state = Dependency(f"access token of {provider}", "calls to the vault fail or use the old token")
        REDACTOR.learn(client_secret)

    def cached(self) -> AuthHeaders | None:
        auth = self._current
        if auth is None:
            return None
        now = time.monotonic()
        if now < self._renew_at:
            return auth
        if now < self._expires_at:
            if now >= self._retry_at:
                self._start_refresh()  # early, in the background; this call still uses the old token
            return auth
        return None

    async def get(self, deadline_at: float) -> AuthHeaders:
        auth = self.cached()
        if auth is not None:
            return auth
        if self._failure is not None and time.monotonic() < self._retry_at:
            raise _copy(self._failure)
        refresh = self._start_refresh()
        left = deadline_at - asyncio.get_running_loop().time()
        # `wait`, unlike `wait_for`, does not cancel the task when this caller times out or is cancelled.
        await asyncio.wait({refresh}, timeout=max(0.0, left))
        if not refresh.done():
            raise VaultTimeout(self._provider, "No access token in time; nothing was sent.")
        if refresh.cancelled():
            raise VaultUnavailable(self._provider, "No access token: closing down.")
        error = refresh.exception()
        if isinstance(error, VaultError):
            raise _copy(error)
        return refresh.result()

    def invalidate(self, auth: AuthHeaders) -> bool:
        if auth is not self._current:
            return True  # another call has renewed it, or is renewing it
        if not auth.is_proven and time.monotonic() < self._doubtful_until:
            return False  # the new token is rejected as well: do not fetch another one for every call
        self._current = None
        self._was_rejected = True
        return True

    async def close(self) -> None:
        if self._refresh is not None:
            self._refresh.cancel()
        await self._transport.close()

    def _start_refresh(self) -> "asyncio.Task[AuthHeaders]":
        if self._refresh is None or self._refresh.done():
            # An empty context: the task is shared and must not carry the first caller's request id.
            task = asyncio.get_running_loop().create_task(self._renew(), context=Context())
            task.add_done_callback(_retrieve_exception)
            self._refresh = task
        return self._refresh

    async def _renew(self) -> AuthHeaders:
        try:
            auth, life_s = await self._fetch_with_retry()
        except VaultError as error:
            self._state.failed(str(error))
            self._failures += 1
            self._failure = error
            self._retry_at = time.monotonic() + min(_MAX_HOLD_S, _HOLD_S * 2 ** (self._failures - 1))
            raise
        self._state.worked()
        now = time.monotonic()
        margin = min(30.0, life_s / 10)
        self._expires_at = now + life_s - margin
        self._renew_at = now + life_s - min(300.0, life_s / 5)
        self._failure, self._failures = None, 0
        self._retry_at = 0.0
        self._doubtful_until = now + _MAX_HOLD_S if self._was_rejected else 0.0
        self._was_rejected = False
        self._current = auth
        return auth

    async def _fetch_with_retry(self) -> tuple[AuthHeaders, float]:
        """Fetch a token, with one retry after a transport error or a 5xx; fetching is safe to repeat."""
        began_at = asyncio.get_running_loop().time()
        deadline_at, own = began_at + self._timeout_s, {"X-Request-Id": new_request_id()}
        status, outcome, attempt, trace, span = None, "cancelled", 1, None, None
        if SPANS.tracer is not None:
            trace, span = SPANS.tracer.begin_root_call(self._provider, self._token_url, "POST", "")
            own["traceparent"] = trace.traceparent
        try:
            while True:
                try:
                    reply = await self._request_token(deadline_at, own)
                except TransportError as error:
                    if attempt == _TRIES or asyncio.get_running_loop().time() >= deadline_at:
                        raise VaultUnavailable(self._provider, f"No access token: {error}.") from None
                else:
                    status = reply.status
                    if status < 500 or attempt == _TRIES:
                        token = self._parse_token(reply)
                        outcome = "ok"
                        return token
                await asyncio.sleep(backoff_s(attempt))
                attempt += 1
        except VaultError as error:
            outcome = "refused_us" if isinstance(error, VaultRefusedUs) else "unavailable"
            raise
        finally:
            if span is not None:
                span.end(status, outcome, attempt - 1)
            if LINES.debug is not None:
                LINES.debug(
                    "vault_call",
                    request_id=own["X-Request-Id"],
                    trace_id=None if trace is None else trace.trace_id,
                    vault=self._provider,
                    method="POST",
                    route=urlsplit(self._token_url).path.lstrip("/"),
                    status=status,
                    outcome=outcome,
                    retries=attempt - 1,
                    duration_ms=int((asyncio.get_running_loop().time() - began_at) * 100_000) / 100,
                )

    async def _request_token(self, deadline_at: float, own: Mapping[str, str]) -> VaultReply:
        form = dict(self._form)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json", **own}
        if self._method == "client_secret_basic":
            # RFC 6749 §2.3.1: both halves are form-encoded before they are joined.
            pair = f"{quote_plus(self._client_id)}:{quote_plus(self._client_secret)}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
        elif self._method == "client_secret_post":
            form |= {"client_id": self._client_id, "client_secret": self._client_secret}
        else:
            form |= {"client_id": self._client_id, "client_assertion_type": _ASSERTION_TYPE}
            form["client_assertion"] = self._assertion()
        body = urlencode(form).encode("ascii")
        return await self._transport.send("POST", self._token_url, headers, body, deadline_at)

    def _assertion(self) -> str:
        assert self._key is not None
        now = int(time.time())
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._token_url,
            "iat": now,
            "exp": now + _ASSERTION_LIFE_S,
            "jti": uuid.uuid4().hex,
        }
        headers = {"typ": "JWT"} | ({"kid": self._key_id} if self._key_id else {})
        return jwt.encode(claims, self._key, algorithm="RS256", headers=headers)

    def _parse_token(self, reply: VaultReply) -> tuple[AuthHeaders, float]:
        if reply.status == 429 or reply.status >= 500:
            raise VaultUnavailable(self._provider, f"No access token: the token endpoint answered {reply.status}.")
        if reply.status != 200:
            raise VaultRefusedUs(self._provider, f"The token endpoint refused our client ({reply.status}).")
        try:
            found: Any = reply.json()
            token = found["access_token"]
            life_s = float(found.get("expires_in") or _DEFAULT_LIFE_S)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
            raise VaultUnavailable(self._provider, "No access token: the token endpoint's reply is invalid.") from None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token or " " in token:
            raise VaultUnavailable(self._provider, "No access token: the token endpoint's reply is invalid.")
        REDACTOR.learn(token)
        return AuthHeaders({"Authorization": f"Bearer {token}"}), max(1.0, life_s)


def _rsa_key(provider: str, pem: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        raise SettingsError(f"{provider}.private_key is not a readable PEM key without a password") from None
    if not isinstance(key, RSAPrivateKey):
        raise SettingsError(f"{provider}.private_key is not an RSA key")
    return key


def _copy(error: VaultError) -> VaultError:
    """A copy of `error` for one caller: a shared exception would collect a traceback with each raise."""
    return type(error)(error.provider, str(error))


def _retrieve_exception(task: "asyncio.Task[AuthHeaders]") -> None:
    """Retrieve a failed background refresh, so that asyncio does not warn: the next caller gets `_failure`."""
    if not task.cancelled():
        task.exception()
