"""Webhooks for tests: J.P. Morgan's, signed with a key of the test's own, and looking at what deliveries did."""

import json
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from jwt.algorithms import ECAlgorithm

from tests.support.gateway import RunningGateway


def eventually(look: Callable[[], Any], what: str, within_s: float = 20) -> Any:
    """What `look` answers once that is something."""
    give_up_at = time.monotonic() + within_s
    while time.monotonic() < give_up_at:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"never seen: {what}")


def public_keys(folder: Path, key: EllipticCurvePrivateKey) -> str:
    """A file with the public key, called ``k1``, as `jpmorgan.webhook_jwks_path` takes it."""
    public = {**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": "k1", "alg": "ES256", "use": "sig"}
    file = folder / "jpmorgan-keys.json"
    file.write_text(json.dumps({"keys": [public]}), "utf-8")
    return str(file)


def notification(profile: str, notification_id: str) -> dict[str, Any]:
    """J.P. Morgan's word that something about a profile has changed."""
    return {
        "notificationId": notification_id,
        "notificationType": "ConsumerProfileNotification",
        "messageCreateTimestamp": datetime.now(UTC).isoformat(),
        "merchantId": "m-1",
        "consumerProfileNotification": {"consumerProfileId": profile},
    }


def notify(gateway: RunningGateway, key: EllipticCurvePrivateKey, name: str, body: Any, key_id: str = "k1") -> int:
    raw = json.dumps(body).encode()
    signature = b64encode(key.sign(raw, ECDSA(SHA256()))).decode()
    headers = {"key-id": key_id, "signature": signature, "content-type": "application/json"}
    return gateway.request("POST", f"/webhooks/{name}", raw, headers).status
