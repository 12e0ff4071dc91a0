"""Development tokens, signed by a P-256 key pair in the data directory and verified like any issuer's."""

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from jwt.algorithms import ECAlgorithm

from app.api.auth.claims import STAFF_CLAIM
from app.errors import SettingsError
from app.wallet.caller import ALL_SCOPES

ISSUER: Final = "vaultgraph-dev"
AUDIENCE: Final = "vaultgraph"
JWKS_FILE: Final = "dev-token-jwks.json"
KEY_FILE: Final = "dev-token-key.pem"
DEFAULT_SCOPES: Final = ALL_SCOPES - {"pan:write"}
VALID_FOR_S: Final = 30 * 86_400
_NAME: Final = "developer"


@dataclass(frozen=True, slots=True)
class DevTokens:
    """The key pair of one data directory."""

    key: EllipticCurvePrivateKey
    jwks_path: Path

    @classmethod
    def open(cls, folder: Path) -> "DevTokens":
        """Load the folder's key pair, or create it, readable only by its owner. Raises SettingsError."""
        path, public = folder / KEY_FILE, folder / JWKS_FILE
        try:
            if not path.exists():
                _create(path, _pem(generate_private_key(SECP256R1())))
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
            if not isinstance(key, EllipticCurvePrivateKey):
                raise ValueError("not an EC key")
            listed = json.loads(ECAlgorithm.to_jwk(key.public_key()))
            document = json.dumps({"keys": [{**listed, "kid": ISSUER, "use": "sig", "alg": "ES256"}]})
            if not public.exists() or public.read_text("utf-8") != document:
                _replace(public, document.encode())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a key of this program"
            raise SettingsError(f"{path} cannot be used ({reason}); choose another directory with --data-dir") from None
        return cls(key, public)

    def mint(
        self,
        scopes: Iterable[str] = DEFAULT_SCOPES,
        customer: str | None = None,
        *,
        name: str = _NAME,
        valid_for_s: float = VALID_FOR_S,
    ) -> str:
        """A token for staff, or for the end user `customer`."""
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": name,
            "iat": now,
            "exp": now + int(valid_for_s),
            "scope": " ".join(sorted(scopes)),
        }
        claims |= {STAFF_CLAIM: True} if customer is None else {"customer_id": customer}
        return jwt.encode(claims, self.key, algorithm="ES256", headers={"kid": ISSUER})


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _create(path: Path, content: bytes) -> None:
    """Create the file unless it exists; safe if two commands start at the same moment."""
    fresh = _write_beside(path, content)
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def _replace(path: Path, content: bytes) -> None:
    _write_beside(path, content).replace(path)


def _write_beside(path: Path, content: bytes) -> Path:
    fresh = path.with_suffix(f".{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    return fresh
