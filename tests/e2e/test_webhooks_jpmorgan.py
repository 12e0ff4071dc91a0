"""J.P. Morgan's notifications: signed with their key, stored once, and the profile is read again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from app.errors import SettingsError
from app.providers.jpmorgan.webhooks import sender_of
from app.settings.model import load_settings
from app.store.records import DeliveryState
from tests.security.test_auth_tokens import Issuer
from tests.support.gateways import StartGateway, upstream
from tests.support.issuer import key_set, listed, rsa_key
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually
from tests.support.webhooks import notification, notify, public_keys


def test_a_signed_notification_causes_one_read_of_the_profile(
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
    assert gateway.on_loop(gateway.gateway.store.deliveries.all()) == []
    sandbox.clear_calls()
    assert [notify(gateway, key, "jpmorgan", one) for one in (old, body)] == [200, 200]

    def done() -> Any:
        found = gateway.on_loop(gateway.gateway.store.deliveries.all())
        return found if all(one.state is DeliveryState.DONE for one in found) else None

    assert len(eventually(done, "the notification worked off")) == 1
    assert set(upstream(sandbox)) == {"JPMORGAN"}


def test_the_keys_may_be_at_a_url(start_gateway: StartGateway) -> None:
    with Issuer() as sender:
        sender.document = key_set(listed(rsa_key("jpmorgan"), "k1"))
        gateway = start_gateway(jpmorgan={"webhook_jwks_url": f"{sender.url}/jwks"})
        body = {"notificationType": "SubscriptionVerification"}
        assert [notify(gateway, rsa_key("jpmorgan"), "jpmorgan", body) for _ in range(3)] == [200] * 3
        assert notify(gateway, rsa_key("another"), "jpmorgan", body) == 401
        assert sender.paths == ["/jwks"]


def test_the_key_url_must_be_https() -> None:
    with pytest.raises(SettingsError, match=r"jpmorgan\.webhook_jwks_url must be an https address"):
        sender_of(load_settings(None, {}, jpmorgan={"webhook_jwks_url": "http://keys.example/jwks"}).jpmorgan)
