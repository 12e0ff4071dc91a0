"""Webhooks for tests: J.P. Morgan's, signed with a test key, and checks of their effect."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from tests.support.gateway import RunningGateway
from tests.support.issuer import key_set, listed

PrivateKey = EllipticCurvePrivateKey | RSAPrivateKey


def public_keys(folder: Path, key: PrivateKey) -> str:
    """A file with the public key, called ``k1``, as `jpmorgan.webhook_jwks_path` takes it."""
    file = folder / "jpmorgan-keys.json"
    file.write_bytes(key_set(listed(key, "k1", use="sig")))
    return str(file)


def notification(profile: str, notification_id: str) -> dict[str, Any]:
    """J.P. Morgan's notification that a profile has changed."""
    return {
        "notificationId": notification_id,
        "notificationType": "ConsumerProfileNotification",
        "messageCreateTimestamp": datetime.now(UTC).isoformat(),
        "merchantId": "m-1",
        "consumerProfileNotification": {"consumerProfileId": profile},
    }


def signature_of(key: PrivateKey, raw: bytes) -> str:
    """J.P. Morgan's signature of a body with this kind of key."""
    if isinstance(key, RSAPrivateKey):
        return b64encode(key.sign(raw, PKCS1v15(), SHA256())).decode()
    return b64encode(key.sign(raw, ECDSA(SHA256()))).decode()


def notify(gateway: RunningGateway, key: PrivateKey, name: str, body: Any, key_id: str = "k1") -> int:
    raw = json.dumps(body).encode()
    headers = {"key-id": key_id, "signature": signature_of(key, raw), "content-type": "application/json"}
    return gateway.request("POST", f"/webhooks/{name}", raw, headers).status
