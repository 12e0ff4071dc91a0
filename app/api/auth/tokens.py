"""Verifies JSON Web Tokens.

A token only chooses which configured key to use: ``jku``, ``x5u``, ``jwk`` and the like are ignored, and the key
determines the algorithm.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
from jwt.exceptions import PyJWTError

from app.caching.lru import LruCache
from app.errors import VaultgraphError
from app.http.jwks import KeySource

ALGORITHMS: Final = ("RS256", "ES256")
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})  # access tokens only, not for example dpop+jwt
_REQUIRED: Final = ("exp", "iss", "aud", "sub")
_LONGEST_NAME: Final = 200


class BadToken(VaultgraphError):
    """The token is invalid. The message states the reason for logs; clients get one response for all."""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """Requirements for a token. `leeway_s` is the accepted clock skew."""

    issuer: str
    audience: Sequence[str]
    leeway_s: float = 30.0
    max_bytes: int = 8_192


class VerifiedToken:
    """A token's claims and, cached in `caller`, what they were mapped to."""

    __slots__ = ("caller", "claims", "until")

    def __init__(self, claims: Mapping[str, Any], until: float) -> None:
        self.claims = claims
        self.until = until
        self.caller: Any = None


class TokenVerifier:
    """Verifies tokens. Results are cached by hash until the token expires, at most `remember_s`."""

    def __init__(
        self,
        keys: KeySource,
        rules: TokenRules,
        *,
        remember: int = 10_000,
        remember_s: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._rules = rules
        self._remember_s = remember_s
        self._clock = clock
        self._known: LruCache[bytes, VerifiedToken] = LruCache(remember)

    async def checked(self, token: str) -> VerifiedToken:
        """The verified token. Raises BadToken or KeysUnavailable."""
        if len(token) > self._rules.max_bytes or not token.isascii():
            raise BadToken("too long, or not ASCII")
        name = hashlib.sha256(token.encode()).digest()
        known = self._known.get(name)
        if known is not None and self._clock() < known.until:
            return known
        claims = await self._verified(token)
        made = VerifiedToken(claims, min(float(claims["exp"]), self._clock() + self._remember_s))
        self._known.put(name, made)
        return made

    async def _verified(self, token: str) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            key_id, algorithm = _trustworthy(header)
            key = await self._keys.find(key_id, algorithm)
            if key is None:
                raise BadToken("no such key")
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=self._rules.issuer,
                audience=list(self._rules.audience),
                leeway=self._rules.leeway_s,
                options={"require": list(_REQUIRED), "enforce_minimum_key_length": True},
            )
        except (PyJWTError, ValueError, TypeError, RecursionError, OverflowError) as error:
            raise BadToken(type(error).__name__) from None
        if not _is_instant(claims["exp"]) or not _is_name(claims["sub"]):
            raise BadToken("exp or sub has an invalid value")
        return claims


def _trustworthy(header: Mapping[str, Any]) -> tuple[str | None, str]:
    """Key id and algorithm from the header; raises BadToken."""
    algorithm, kind, key_id = header.get("alg"), header.get("typ", "JWT"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise BadToken("algorithm not allowed")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise BadToken("not an access token")
    if "crit" in header or "b64" in header or "zip" in header:
        raise BadToken("critical extensions are not understood")
    if key_id is not None and not isinstance(key_id, str):
        raise BadToken("key id is not text")
    return key_id, str(algorithm)


def _is_instant(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value < 2**53


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()
