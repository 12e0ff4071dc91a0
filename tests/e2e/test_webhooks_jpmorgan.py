"""J.P. Morgan's notifications: signed with a key of theirs, kept once, and the profile read anew."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from app.store.records import ReceiptState
from tests.support.gateways import StartGateway, upstream
from tests.support.sandbox import RunningSandbox
from tests.support.webhooks import eventually, notification, notify, public_keys


def test_a_signed_notification_has_the_profile_read_anew_once(
    start_gateway: StartGateway, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    key, other = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    gateway = start_gateway(jpmorgan={"webhook_jwks_path": public_keys(tmp_path, key), "fresh_for_s": 60})
    asked = '{ customer(id: "cus_alex") { links { provider customerRef } } }'
    links = gateway.data(asked)["customer"]["links"]
    profile = next(one["customerRef"] for one in links if one["provider"] == "JPMORGAN")
    body = notification(profile, "n-1")
    handshake = {"notificationType": "SubscriptionVerification", "subscriptionId": "s-1"}
    old = {**body, "messageCreateTimestamp": (datetime.now(UTC) - timedelta(days=20)).isoformat()}
    old["notificationType"] = "consumerProfileNotification"
    assert notify(gateway, other, "jpmorgan", body) == 401
    assert notify(gateway, key, "jpmorgan", body, key_id="k2") == 401
    assert notify(gateway, other, "jpmorgan", handshake) == 401
    assert notify(gateway, key, "jpmorgan", handshake) == 200
    assert notify(gateway, key, "jpmorgan", {**body, "notificationId": None}) == 400
    assert gateway.on_loop(gateway.gateway.store.receipts.all()) == []
    sandbox.clear_calls()
    assert [notify(gateway, key, "jpmorgan", one) for one in (old, body)] == [200, 200]

    def done() -> Any:
        found = gateway.on_loop(gateway.gateway.store.receipts.all())
        return found if all(one.state is ReceiptState.DONE for one in found) else None

    assert len(eventually(done, "the notification worked off")) == 1
    assert set(upstream(sandbox)) == {"JPMORGAN"}
