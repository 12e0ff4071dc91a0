"""OAuth2 shared by the emulators: parsing token requests, and access tokens that expire by the sandbox clock."""

import base64
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl

import jwt

from app.sandbox.base import Emulator, Json, Switch

FORM_TYPE: Final = "application/x-www-form-urlencoded"
LIFETIME_SWITCH: Final = Switch(
    ("3600", "1", "2", "5", "10", "30", "60", "300", "86400"), "Lifetime of an access token in seconds."
)
REVOKE_SWITCH: Final = Switch(("no", "now"), "`now` revokes every access token issued so far, once.")


class TokenRefused(Exception):
    """A refused access token request. `error` is an OAuth error code."""

    def __init__(self, status: int, error: str, description: str = "") -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.description = description

    def body(self) -> Json:
        answer = {"error": self.error}
        return {**answer, "error_description": self.description} if self.description else answer


def read_form(content_type: str, body: bytes) -> dict[str, str]:
    """A token request's form. Raises TokenRefused if it is not a form, or has a duplicate field."""
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
    """User and password of an HTTP Basic header; None if it is absent or malformed."""
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


class TokenEndpoint:
    """Access tokens as signed JWTs: issuing one changes no state, and they survive a restart.

    ``state["oauth"]`` holds the signing secret and the generation, which is raised to revoke all tokens.
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
        """The client of a header's token; None if it is missing, malformed, foreign, expired or revoked."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        book = self._book()
        try:
            # The library checks expiry by real time; the sandbox clock decides below.
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
