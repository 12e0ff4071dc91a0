"""Verifies JSON Web Tokens.

A token only chooses which configured key to use: ``jku``, ``x5u``, ``jwk`` and the like are ignored, and the key
determines the algorithm.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import jwt
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAudienceError,
    InvalidSignatureError,
    InvalidTokenError,
    MissingRequiredClaimError,
    PyJWTError,
)

from app.caching.lru import LruCache
from app.errors import VaultgraphError
from app.http.jwks import KeySource

ALGORITHMS: Final = ("RS256", "ES256")
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})  # access tokens only, not for example dpop+jwt
_REQUIRED: Final = ("exp", "iss", "aud", "sub")
_LONGEST_NAME: Final = 200


class TokenFault(StrEnum):
    """Why a token is refused, for logs."""

    MALFORMED = "malformed"
    UNKNOWN_ISSUER = "unknown_issuer"
    ALGORITHM = "algorithm"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    AUDIENCE = "audience"
    CLAIMS = "claims"


_FAULTS: Final = (
    (InvalidSignatureError, TokenFault.SIGNATURE),
    (ExpiredSignatureError, TokenFault.EXPIRED),
    (ImmatureSignatureError, TokenFault.NOT_YET_VALID),
    (InvalidAudienceError, TokenFault.AUDIENCE),
    (MissingRequiredClaimError, TokenFault.CLAIMS),
    (InvalidTokenError, TokenFault.MALFORMED),
)


class BadToken(VaultgraphError):
    """The token is invalid. The message states the reason for logs; clients get one response for all."""

    def __init__(self, message: str, fault: TokenFault = TokenFault.CLAIMS) -> None:
        super().__init__(message)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """Requirements for the tokens of one issuer. `name` is the issuer's in the settings, empty for the one of the
    section itself. `leeway_s` is the accepted clock skew.
    """

    issuer: str
    audience: Sequence[str]
    keys: KeySource
    name: str = ""
    algorithms: Sequence[str] = ALGORITHMS
    leeway_s: float = 30.0


class VerifiedToken:
    """A token's claims, its issuer and, cached in `caller`, what they were mapped to. It is valid `until` then, on the
    clock of `verifier`.
    """

    __slots__ = ("caller", "claims", "issuer", "until", "verifier")

    def __init__(
        self, claims: Mapping[str, Any], issuer: TrustedIssuer, until: float, verifier: "TokenVerifier"
    ) -> None:
        self.verifier = verifier
        self.claims = claims
        self.issuer = issuer
        self.until = until
        self.caller: Any = None


class TokenVerifier:
    """Verifies tokens, each by the rules of the issuer that it names.

    Results are cached by hash until the token expires, at most `remember_s`.
    """

    def __init__(
        self,
        issuers: Iterable[TrustedIssuer],
        *,
        max_bytes: int = 8_192,
        remember: int = 10_000,
        remember_s: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuers = {one.issuer: one for one in issuers}
        self._max_bytes = max_bytes
        self._remember_s = remember_s
        self.clock = clock
        self._known: LruCache[bytes, VerifiedToken] = LruCache(remember)

    def known(self, token: str) -> VerifiedToken | None:
        """The result for a token that was verified before, while it is cached."""
        found = self._known.get(_digest(token))
        return found if found is not None and self.clock() < found.until else None

    async def checked(self, token: str) -> VerifiedToken:
        """The verified token. Raises BadToken or KeysUnavailable."""
        if len(token) > self._max_bytes or not token.isascii():
            raise BadToken("too long, or not ASCII", TokenFault.MALFORMED)
        known = self.known(token)
        if known is not None:
            return known
        claims, issuer = await self._verified(token)
        made = VerifiedToken(claims, issuer, min(float(claims["exp"]), self.clock() + self._remember_s), self)
        self._known.put(_digest(token), made)
        return made

    async def _verified(self, token: str) -> tuple[Mapping[str, Any], TrustedIssuer]:
        try:
            unverified = jwt.decode_complete(token, options={"verify_signature": False})
            key_id, algorithm = _trustworthy(unverified["header"])
            named = unverified["payload"].get("iss")
            issuer = self._issuers.get(named) if isinstance(named, str) else None
            if issuer is None:
                raise BadToken("the token's issuer is none of the configured ones", TokenFault.UNKNOWN_ISSUER)
            if algorithm not in issuer.algorithms:
                raise BadToken("algorithm not allowed for this issuer", TokenFault.ALGORITHM)
            key = await issuer.keys.find(key_id, algorithm)
            if key is None:
                raise BadToken("no such key", TokenFault.UNKNOWN_KEY)
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=issuer.issuer,
                audience=list(issuer.audience),
                leeway=issuer.leeway_s,
                options={"require": list(_REQUIRED), "enforce_minimum_key_length": True},
            )
        except (PyJWTError, ValueError, TypeError, RecursionError, OverflowError) as error:
            fault = next((fault for kind, fault in _FAULTS if isinstance(error, kind)), TokenFault.MALFORMED)
            raise BadToken(type(error).__name__, fault) from None
        if not _is_instant(claims["exp"]) or not _is_name(claims["sub"]):
            raise BadToken("exp or sub has an invalid value")
        return claims, issuer


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _trustworthy(header: Mapping[str, Any]) -> tuple[str | None, str]:
    """Key id and algorithm from the header; raises BadToken."""
    algorithm, kind, key_id = header.get("alg"), header.get("typ", "JWT"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise BadToken("algorithm not allowed", TokenFault.ALGORITHM)
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise BadToken("not an access token", TokenFault.MALFORMED)
    if "crit" in header or "b64" in header or "zip" in header:
        raise BadToken("critical extensions are not understood", TokenFault.MALFORMED)
    if key_id is not None and not isinstance(key_id, str):
        raise BadToken("key id is not text", TokenFault.MALFORMED)
    return key_id, str(algorithm)


def _is_instant(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value < 2**53


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()
