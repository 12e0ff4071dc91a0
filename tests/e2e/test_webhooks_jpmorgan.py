"""J.P. Morgan's notifications: signed with a key of theirs, kept once, and the profile read anew."""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from jwt.algorithms import ECAlgorithm

from app.store.records import ReceiptState
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, upstream
from tests.support.sandbox import RunningSandbox
from tests.support.webhooks import eventually


def deliver(gateway: RunningGateway, key: EllipticCurvePrivateKey, name: str, body: Any, key_id: str = "k1") -> int:
    raw = json.dumps(body).encode()
    signature = b64encode(key.sign(raw, ECDSA(SHA256()))).decode()
    headers = {"key-id": key_id, "signature": signature, "content-type": "application/json"}
    return gateway.request("POST", f"/webhooks/{name}", raw, headers).status


def test_a_signed_notification_has_the_profile_read_anew_once(
    start_gateway: StartGateway, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    key, other = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    public = {**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": "k1", "alg": "ES256", "use": "sig"}
    keys = tmp_path / "jpmorgan-keys.json"
    keys.write_text(json.dumps({"keys": [public]}), "utf-8")
    gateway = start_gateway(jpmorgan={"webhook_jwks_path": str(keys), "fresh_for_s": 60})
    asked = '{ customer(id: "cus_alex") { links { provider customerRef } } }'
    links = gateway.data(asked)["customer"]["links"]
    profile = next(one["customerRef"] for one in links if one["provider"] == "JPMORGAN")
    body = {
        "notificationId": "n-1",
        "notificationType": "ConsumerProfileNotification",
        "messageCreateTimestamp": datetime.now(UTC).isoformat(),
        "merchantId": "m-1",
        "consumerProfileNotification": {"consumerProfileId": profile},
    }
    old = {**body, "messageCreateTimestamp": (datetime.now(UTC) - timedelta(days=2)).isoformat()}
    assert deliver(gateway, other, "jpmorgan", body) == 401
    assert deliver(gateway, key, "jpmorgan", body, key_id="k2") == 401
    assert deliver(gateway, key, "jpmorgan", old) == 401
    assert deliver(gateway, key, "jpmorgan", {**body, "notificationId": None}) == 400
    assert gateway.on_loop(gateway.gateway.store.receipts.all()) == []
    sandbox.clear_calls()
    assert [deliver(gateway, key, "jpmorgan", body) for _ in range(2)] == [200, 200]

    def done() -> Any:
        found = gateway.on_loop(gateway.gateway.store.receipts.all())
        return found if all(one.state is ReceiptState.DONE for one in found) else None

    assert len(eventually(done, "the notification worked off")) == 1
    assert set(upstream(sandbox)) == {"JPMORGAN"}
