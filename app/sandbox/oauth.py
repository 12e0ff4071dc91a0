"""What the vaults behind OAuth2 share: reading a token request, and access tokens that the sandbox clock expires."""

import base64
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl

import jwt

from app.sandbox.kit import Emulator, Json, Switch

FORM_TYPE: Final = "application/x-www-form-urlencoded"
LIFETIME_SWITCH: Final = Switch(
    ("3600", "1", "2", "5", "10", "30", "60", "300", "86400"), "Seconds that a handed-out access token lives."
)
REVOKE_SWITCH: Final = Switch(("no", "now"), "`now` ends every access token handed out so far; it acts once.")


class TokenRefused(Exception):
    """An access token request that gets no token. `error` is OAuth's own word."""

    def __init__(self, status: int, error: str, description: str = "") -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.description = description

    def body(self) -> Json:
        answer = {"error": self.error}
        return {**answer, "error_description": self.description} if self.description else answer


def read_form(content_type: str, body: bytes) -> dict[str, str]:
    """A token request's form. Raises TokenRefused when it is none, or names a field twice."""
    if content_type.partition(";")[0].strip().lower() != FORM_TYPE:
        raise TokenRefused(400, "invalid_request", "the body must be form-encoded")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body))
    except ValueError:
        raise TokenRefused(400, "invalid_request", "the form cannot be read") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise TokenRefused(400, "invalid_request", "a field is given twice")
    return form


def basic_pair(authorization: str | None) -> tuple[str, str] | None:
    """User and password of an HTTP Basic header; None when it is absent or garbled."""
    scheme, _, coded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(coded.strip(), validate=True).decode().partition(":")
    except ValueError:  # not base64, or not UTF-8
        return None
    return (user, password) if colon else None


def same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


@dataclass(frozen=True, slots=True)
class Bearer:
    client_id: str
    scope: str


class TokenDesk:
    """Access tokens as signed JWTs, so that handing one out changes no state and a restart ends none.

    The signing secret and the generation (raised to revoke all) live in ``state["oauth"]``.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def mint(self, client_id: str, scope: str, lifetime_s: int) -> str:
        book = self._book()
        issued = int(self._emulator.clock.now().timestamp())
        claims = {
            "iss": self._emulator.name,
            "sub": client_id,
            "scope": scope,
            "iat": issued,
            "exp": issued + lifetime_s,
            "jti": secrets.token_hex(8),
            "generation": book["generation"],
        }
        return jwt.encode(claims, book["secret"], algorithm="HS256")

    def check(self, authorization: str | None) -> Bearer | None:
        """Whose token a header carries; None when it is missing, garbled, foreign, expired or revoked."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        book = self._book()
        try:
            # The library knows the real time only; the sandbox clock decides below.
            claims = jwt.decode(
                token.strip(),
                book["secret"],
                algorithms=["HS256"],
                issuer=self._emulator.name,
                options={"verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            return None
        if claims.get("generation") != book["generation"] or claims["exp"] <= self._now().timestamp():
            return None
        return Bearer(claims["sub"], claims["scope"])

    def revoke_all(self) -> None:
        self._book()["generation"] += 1
        self._emulator.touch()

    def _now(self) -> datetime:
        return self._emulator.clock.now()

    def _book(self) -> Json:
        book: Json = self._emulator.state.setdefault("oauth", {})
        if "secret" not in book:
            book.update(secret=secrets.token_hex(32), generation=1)
            self._emulator.touch()
        return book


def bearer_headers(token: str, tenant: Mapping[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **tenant}
