"""The token endpoint: client secret (form body or HTTP Basic) and RS256 `private_key_jwt`."""

import hashlib
import time
from collections.abc import Mapping
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from app.sandbox.base import Emulator, Json
from app.sandbox.oauth import TokenRefused, basic_pair, same

CLIENT_ID: Final = "CC-SANDBOX-VAULTGRAPH"
CLIENT_SECRET: Final = "sandbox-jpmorgan-secret"  # noqa: S105 - opens the sandbox only
RESOURCE: Final = "JPMC:URI:RS-000000-00000-HelixAPIEntitlementsSANDBOX"
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class AssertionKey:
    """The demo client's RSA key. Created on first use and kept in the state, so that a data directory keeps its key."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._loaded: tuple[str, RSAPrivateKey] | None = None

    @property
    def private_pem(self) -> str:
        if "client_key" not in self._emulator.state:
            pem = generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
            self._emulator.state["client_key"] = pem.decode("ascii")
            self._emulator.touch()
        return str(self._emulator.state["client_key"])

    @property
    def private(self) -> RSAPrivateKey:
        pem = self.private_pem
        if self._loaded is None or self._loaded[0] != pem:
            key = load_pem_private_key(pem.encode("ascii"), password=None)
            if not isinstance(key, RSAPrivateKey):
                raise TypeError("the client key in the state is not RSA")
            self._loaded = (pem, key)
        return self._loaded[1]

    @property
    def key_id(self) -> str:
        """40 upper-case hex digits: SHA-1 of the public key, in place of the certificate's thumbprint."""
        public = self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha1(public, usedforsecurity=False).hexdigest().upper()


def authenticate(
    form: Mapping[str, str], authorization: str | None, *, key: AssertionKey, audience: str, used: dict[str, float]
) -> None:
    """Check a token request; raises TokenRefused. `used` remembers each assertion's `jti` until its `exp`."""
    if form.get("grant_type") != "client_credentials":
        raise TokenRefused(400, "unsupported_grant_type")
    if "client_assertion" in form or "client_assertion_type" in form:
        _check_assertion(form, key, audience, used)
        return
    user, password = basic_pair(authorization) or (form.get("client_id", ""), form.get("client_secret", ""))
    if not (same(user, CLIENT_ID) and same(password, CLIENT_SECRET)):
        raise TokenRefused(401, "invalid_client")


def _check_assertion(form: Mapping[str, str], key: AssertionKey, audience: str, used: dict[str, float]) -> None:
    assertion = form.get("client_assertion", "")
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise TokenRefused(400, "invalid_request", "client_assertion_type")
    if form.get("client_id") != CLIENT_ID:
        raise TokenRefused(400, "invalid_grant", "client_id")
    claims = _claims(assertion, key, audience)
    if not (claims["iss"] == claims["sub"] == CLIENT_ID):
        raise TokenRefused(400, "invalid_grant", "iss, sub")
    # The client signs by real time, not by the sandbox clock, so expiry is checked against real time.
    now = time.time()
    for known in [jti for jti, until in used.items() if until <= now]:
        del used[known]
    if claims["jti"] in used:
        raise TokenRefused(400, "invalid_grant", "jti was used before")
    used[claims["jti"]] = float(claims["exp"])


def _claims(assertion: str, key: AssertionKey, audience: str) -> Json:
    try:
        if jwt.get_unverified_header(assertion).get("kid") != key.key_id:
            raise TokenRefused(400, "invalid_grant", "kid")
        claims: Json = jwt.decode(
            assertion,
            key.private.public_key(),
            algorithms=["RS256"],
            audience=audience,
            options={"require": ["iss", "sub", "aud", "exp", "iat", "jti"]},
        )
    except jwt.InvalidTokenError as wrong:
        raise TokenRefused(400, "invalid_grant", type(wrong).__name__) from None
    return claims
