"""A token issuer for tests: keys of several kinds, key sets, and tokens with any claims."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.test/"
AUDIENCE = "vaultgraph"


@cache
def rsa_key(name: str = "rsa", bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(name: str = "ec", curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


def listed(key: PrivateKeyTypes, key_id: str | None = None, **more: Any) -> dict[str, Any]:
    """The public half as a JSON Web Key."""
    if isinstance(key, rsa.RSAPrivateKey):
        found = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    else:
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        found = json.loads(ECAlgorithm.to_jwk(key.public_key()))
    found.pop("key_ops", None)
    return {**found, **({} if key_id is None else {"kid": key_id}), **more}


def key_set(*keys: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def public_pem(key: PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def claims(**changes: Any) -> dict[str, Any]:
    """Claims of a staff token; a change to None removes the claim."""
    now = int(time.time())
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 600, "scope": "customers:read"}
    usual["vaultgraph_staff"] = True
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def token(key: Any, algorithm: str, said: Mapping[str, Any] | None = None, **header: Any) -> str:
    """A correctly signed token. A header of None is omitted."""
    sent = {name: value for name, value in header.items() if value is not None}
    return jwt.PyJWS().encode(json.dumps(dict(said or claims())).encode(), key, algorithm, sent)


def by_hand(header: Mapping[str, Any], said: Mapping[str, Any], secret: bytes | None = None) -> str:
    """A token that no library creates: any header, signed with HMAC-SHA256, or unsigned."""
    head = ".".join(_encoded(json.dumps(part).encode()) for part in (header, said))
    signature = b"" if secret is None else hmac.new(secret, head.encode(), hashlib.sha256).digest()
    return f"{head}.{_encoded(signature)}"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
