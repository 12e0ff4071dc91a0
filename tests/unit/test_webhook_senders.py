"""Accepted deliveries: signatures, keys, header spellings, notification types. The receiver, in process."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from app.api.webhooks import WebhookReceiver
from app.errors import SettingsError
from app.http.jwks import FetchedKeys, FileKeys
from app.providers.caselle.webhooks import CaselleSender
from app.providers.jpmorgan.webhooks import JpMorganSender
from app.settings.model import load_settings
from app.store.records import NewDelivery
from app.vault.secret import Secret, Secrets
from app.vault.webhooks import WebhookSender
from tests.support.asgi import Reply, call
from tests.support.issuer import ec_key, key_set, listed, rsa_key
from tests.support.webhooks import notification, signature_of

EC, RSA = ec_key("webhooks"), rsa_key("webhooks")
NOC = {"id": "evt_1", "event_type": "provider.noc", "data": {"saved_payment_method_ids": ["spm_1"]}}


class Kept(list[NewDelivery]):
    async def keep(self, receipt: NewDelivery) -> None:
        self.append(receipt)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def router(senders: Mapping[str, WebhookSender], kept: Kept) -> Router:
    return Router([WebhookReceiver(senders, kept.keep).route()])


@pytest.fixture
def receiver(kept: Kept, tmp_path: Path) -> Router:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(listed(EC, "e"), listed(RSA, "r")))
    caselle = CaselleSender("pa_1", [Secret("the new one"), Secret("the old one")])
    return router({"caselle": caselle, "jpmorgan": JpMorganSender(FileKeys(path))}, kept)


async def notify(receiver: Router, body: Any, key: Any = EC, **headers: str) -> Reply:
    raw = json.dumps(body).encode()
    sent = {"signature": signature_of(key, raw), "key-id": "e" if key is EC else "r"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return await call(receiver, "POST", "/webhooks/jpmorgan", body=raw, headers=sent)


# ---- J.P. Morgan ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [EC, RSA], ids=["EC", "RSA"])
async def test_both_kinds_of_keys_sign(receiver: Router, kept: Kept, key: Any) -> None:
    named = "ec" if key is EC else "Rsa"
    assert (await notify(receiver, notification("P1", "n-1"), key)).status == 200
    assert (await notify(receiver, notification("P1", "n-2"), key, signing_algorithm=named)).status == 200
    assert [(one.delivery_id, one.body) for one in kept] == [
        ("n-1", {"consumer_profile_id": "P1"}),
        ("n-2", {"consumer_profile_id": "P1"}),
    ]


@pytest.mark.parametrize(
    ("key", "algorithm"), [(EC, "RSA"), (EC, "RS256"), (RSA, "EC"), (EC, "none"), (EC, "HS256"), (RSA, "HS256")]
)
async def test_a_key_decides_its_algorithm(receiver: Router, kept: Kept, key: Any, algorithm: str) -> None:
    assert (await notify(receiver, notification("P1", "n-1"), key, signing_algorithm=algorithm)).status == 401
    assert kept == []


async def test_a_signature_of_another_key_or_body_is_refused(receiver: Router, kept: Kept) -> None:
    body = notification("P1", "n-1")
    other = signature_of(ec_key("other"), json.dumps(body).encode())
    for headers in ({"signature": other}, {"signature": signature_of(EC, b"{}")}, {"key-id": "unknown"}):
        assert (await notify(receiver, body, EC, **headers)).status == 401
    for signature in ("", "?", "AAAA", "A" * 86):
        assert (await notify(receiver, body, EC, signature=signature)).status == 401
    assert (await notify(receiver, body, RSA, **{"key-id": "e"})).status == 401
    assert kept == []


@pytest.mark.parametrize(
    "spelling", ["SubscriptionVerification", "subscriptionVerification", "SUBSCRIPTIONVERIFICATION"]
)
@pytest.mark.parametrize("key", [EC, RSA], ids=["EC", "RSA"])
async def test_the_handshake_of_a_subscription_is_answered(
    receiver: Router, kept: Kept, key: Any, spelling: str
) -> None:
    for body in (
        {"notificationType": spelling},
        {"notificationType": spelling, "notificationId": "n-1", "subscriptionId": "s-1"},
        {"notificationType": "Other", "notificationSubType": spelling},
    ):
        assert (await notify(receiver, body, key)).status == 200
        assert (await notify(receiver, body, key, signature=signature_of(key, b"{}"))).status == 401
    assert kept == []


@pytest.mark.parametrize(
    "kind", ["ConsumerProfileNotification", "consumerProfileNotification", "CONSUMERPROFILENOTIFICATION"]
)
async def test_types_are_compared_without_case_and_age_does_not_count(receiver: Router, kept: Kept, kind: str) -> None:
    about = {"consumerProfileCreated": {"consumerProfileId": "P2"}}
    for body in (
        {**notification("P1", "n-1"), "notificationType": kind, "messageCreateTimestamp": "2020-01-01T00:00:00Z"},
        {"notificationType": kind, "notificationId": "n-2", "ConsumerProfileNotification": about},
    ):
        assert (await notify(receiver, body)).status == 200
    assert [(one.event_type, one.body) for one in kept] == [
        ("ConsumerProfileNotification", {"consumer_profile_id": "P1"}),
        ("ConsumerProfileNotification", {"consumer_profile_id": "P2"}),
    ]


async def test_other_notifications_are_acknowledged_and_kept_without_content(receiver: Router, kept: Kept) -> None:
    bulk = {"bulkConsumerProfileUpdate": {"fileId": "f-1"}}
    for number, body in enumerate(
        (
            {"notificationType": "PaymentUpdateNotification", "paymentUpdateNotification": {"id": "4111111111111111"}},
            {"notificationType": "ConsumerProfileNotification", "consumerProfileNotification": bulk},
        )
    ):
        assert (await notify(receiver, {**body, "notificationId": f"n-{number}", "merchantId": 7})).status == 200
    assert [(one.account, one.body) for one in kept] == [("", {}), ("", {})]


async def test_the_spellings_of_headers(receiver: Router, kept: Kept) -> None:
    body = notification("P1", "n-1")
    raw = json.dumps(body).encode()
    numbers = decode_dss_signature(base64.b64decode(signature_of(EC, raw)))
    side_by_side = b"".join(number.to_bytes(32) for number in numbers)
    for headers in (
        {"Signature": signature_of(EC, raw), "Key-ID": "e", "Signing-Algorithm": "EC"},
        {"x-signature": signature_of(EC, raw), "x-key-id": "e"},
        {"signature": signature_of(EC, raw), "keyId": "e", "signingAlgorithm": "SHA256withECDSA"},
        {"signature": base64.urlsafe_b64encode(side_by_side).decode().rstrip("="), "key-id": "e"},
    ):
        assert (await call(receiver, "POST", "/webhooks/jpmorgan", body=raw, headers=headers)).status == 200
    assert len(kept) == 4


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("jpmorgan", "signature"),
        ("jpmorgan", "key-id"),
        ("jpmorgan", "x-key-id"),
        ("jpmorgan", "signing-algorithm"),
        ("caselle/pa_1", "x-webhook-signature"),
        ("caselle/pa_1", "x-webhook-timestamp"),
    ],
)
async def test_a_header_that_comes_twice_is_refused(receiver: Router, kept: Kept, path: str, name: str) -> None:
    raw = json.dumps(NOC if "caselle" in path else notification("P1", "n-1")).encode()
    stamp = str(int(time.time()))
    headers = {
        "signature": signature_of(EC, raw),
        "key-id": "e",
        "signing-algorithm": "EC",
        "x-webhook-timestamp": stamp,
        "x-webhook-signature": hmac_of("the new one", stamp, raw),
    }

    async def twice(scope: Scope, receive: Receive, send: Send) -> None:
        value = headers[name.removeprefix("x-") if path == "jpmorgan" else name]
        await receiver({**scope, "headers": [*scope["headers"], (name.encode(), value.encode())]}, receive, send)

    assert (await call(twice, "POST", f"/webhooks/{path}", body=raw, headers=headers)).status == 400
    assert kept == []
    assert (await call(receiver, "POST", f"/webhooks/{path}", body=raw, headers=headers)).status == 200


async def test_keys_behind_an_address_are_read_again_for_a_new_key_and_at_a_bounded_pace(kept: Kept) -> None:
    now, fetches, document = [1_000.0], 0, [b"no key set"]

    async def fetch() -> bytes:
        nonlocal fetches
        fetches += 1
        return document[0]

    keys = FetchedKeys(fetch, clock=lambda: now[0], setting="jpmorgan.webhook_jwks_url")
    receiver = router({"jpmorgan": JpMorganSender(keys)}, kept)
    reply = await notify(receiver, notification("P1", "n-1"))
    assert (reply.status, reply.headers["retry-after"]) == (503, "30")
    document[0] = key_set(listed(EC, "e"))
    now[0] += 10
    assert [(await notify(receiver, notification("P1", f"n-{n}"))).status for n in range(5)] == [200] * 5
    assert fetches == 2
    document[0] = key_set(listed(RSA, "r"))
    assert [(await notify(receiver, notification("P1", "n-6"), RSA)).status for _ in range(5)] == [401] * 5
    now[0] += 10
    assert [(await notify(receiver, notification("P1", "n-6"), RSA)).status for _ in range(5)] == [200] * 5
    assert fetches == 3


# ---- Caselle ----------------------------------------------------------------------------------------------


def hmac_of(secret: str, stamp: str, raw: bytes) -> str:
    return hmac.new(secret.encode(), stamp.encode() + b"." + raw, hashlib.sha256).hexdigest()


async def deliver(receiver: Router, signature: str, stamp: str | None = None) -> int:
    """In `signature`, NEW, OLD and BAD stand for the signatures by those secrets, NEW64 for one in base64."""
    raw, stamp = json.dumps(NOC).encode(), stamp or str(int(time.time()))
    new = hmac_of("the new one", stamp, raw)
    for word, value in (
        ("NEW64", base64.b64encode(bytes.fromhex(new)).decode()),
        ("NEW", new),
        ("OLD", hmac_of("the old one", stamp, raw)),
        ("BAD", hmac_of("a stranger's", stamp, raw)),
        ("UPPER", new.upper()),
    ):
        signature = signature.replace(word, value)
    headers = {"x-webhook-signature": signature, "x-webhook-timestamp": stamp}
    return (await call(receiver, "POST", "/webhooks/caselle/pa_1", body=raw, headers=headers)).status


@pytest.mark.parametrize(
    "signature",
    [
        "sha256=NEW",
        "sha256=OLD",
        "NEW",
        "sha256=UPPER",
        "SHA256=UPPER",
        "v1=OLD",
        "sha256=BAD,sha256=OLD",
        "sha256=NEW, sha256=BAD",
        "v1=BAD v1=NEW",
        "t=1700000000,v1=BAD,v1=OLD",
        "v1,NEW64",
        "sha256=NEW64",
    ],
)
async def test_any_signature_by_any_secret_counts(receiver: Router, kept: Kept, signature: str) -> None:
    assert await deliver(receiver, signature) == 200
    assert [one.delivery_id for one in kept] == ["evt_1"]


@pytest.mark.parametrize(
    "signature", ["", "sha256=", "sha256=BAD", "BAD,BAD", "sha256=NEW00", "sha256=NE", "v1,", "," * 5_000, "é"]
)
async def test_what_no_secret_signed_is_refused(receiver: Router, kept: Kept, signature: str) -> None:
    assert await deliver(receiver, signature) == 401
    assert kept == []


@pytest.mark.parametrize("stamp", ["0", "9" * 5_000, "-1", "1e9", "\u00b2"])
async def test_a_timestamp_that_is_none_is_refused(receiver: Router, kept: Kept, stamp: str) -> None:
    assert await deliver(receiver, "sha256=NEW", stamp) == 401
    assert kept == []


def test_the_settings_of_webhooks() -> None:
    environ = {"VAULTGRAPH_CASELLE__WEBHOOK_SECRET": "one, two"}
    assert load_settings(None, environ).caselle.webhook_secret == Secrets("one", "two")
    for empty in ("", " "):
        with pytest.raises(SettingsError, match=r"caselle.webhook_secret: Expected no empty entry"):
            load_settings(None, {}, caselle={"webhook_secret": ["one", empty]})
    both = {"webhook_jwks_url": "https://keys.test/", "webhook_jwks_path": "keys.json"}
    with pytest.raises(SettingsError, match=r"jpmorgan.*not both"):
        load_settings(None, {}, jpmorgan=both)


def test_secrets_may_stand_in_a_file_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text("one\ntwo\n")
    file.chmod(0o600)
    found = load_settings(None, {"VAULTGRAPH_CASELLE__WEBHOOK_SECRET_FILE": str(file)}).caselle.webhook_secret
    assert found == Secrets("one", "two")


async def test_ids_that_no_store_can_hold_are_left_out(receiver: Router, kept: Kept) -> None:
    ids = ["spm_1", "a\x00b", "", "x" * 300, 5, None, {"id": "spm_2"}]
    data = {"saved_payment_method_ids": ids, "payment_uid": "pay\x00", "currency": "U\x00"}
    raw, stamp = json.dumps({**NOC, "data": data}).encode(), str(int(time.time()))
    headers = {"x-webhook-signature": hmac_of("the new one", stamp, raw), "x-webhook-timestamp": stamp}
    assert (await call(receiver, "POST", "/webhooks/caselle/pa_1", body=raw, headers=headers)).status == 200
    assert [one.body for one in kept] == [{"saved_payment_method_ids": ["spm_1"]}]
