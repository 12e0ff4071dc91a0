"""Signatures and secrets as Standard Webhooks define them (standardwebhooks.com), and the secrets' encryption."""

import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.vault.secret import Secret
from app.wallet.keys import KeyRing, derive_key

_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_PURPOSE: Final = "endpoints/secret"


def new_secret() -> Secret:
    """``whsec_`` and the base64 of 32 random bytes."""
    return Secret(_PREFIX + b64encode(os.urandom(_SECRET_BYTES)).decode())


def signed_headers(secrets: Iterable[Secret], message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """The three headers; one signature for each secret. `timestamp` is in seconds since 1970."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    signatures = [
        b64encode(hmac.digest(b64decode(one.reveal().removeprefix(_PREFIX)), signed, "sha256")).decode()
        for one in secrets
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{one}" for one in signatures),
    }


class SecretCipher:
    """AES-256-GCM with a key derived from one digest key, bound to the endpoint's id."""

    def __init__(self, key: bytes | str) -> None:
        self._cipher = AESGCM(derive_key(key, _PURPOSE))

    def seal(self, endpoint_id: str, secret: Secret) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        return b64encode(nonce + self._cipher.encrypt(nonce, secret.reveal().encode(), endpoint_id.encode())).decode()

    def open(self, endpoint_id: str, sealed: str) -> Secret:
        """Raises ValueError for what was not sealed with this key for this endpoint."""
        raw = b64decode(sealed)
        try:
            return Secret(self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], endpoint_id.encode()).decode())
        except InvalidTag:
            raise ValueError("an endpoint's secret cannot be decrypted") from None


SecretKeys = KeyRing[SecretCipher]
"""Made from the digest keys."""
