"""Verifies and parses J.P. Morgan's notifications.

The body is signed with ECDSA or RSA over SHA-256; the spelling of the headers is not published.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from app.http.fetch import DocumentFetcher
from app.http.jwks import FetchedKeys, FileKeys, KeySource, KeysUnavailable, VerifyingKey
from app.providers.jpmorgan.settings import JpMorganSettings
from app.providers.webhooks import base64_bytes, is_plain, json_object, short_text
from app.vault.webhooks import Headers, ReadDelivery, RereadsCustomer, WebhookDelivery, WebhookEffect, WebhookRejected

_PROFILE: Final = "ConsumerProfileNotification"
_HANDSHAKE: Final = "subscriptionverification"
_SPELLINGS: Final = {
    "ES256": frozenset({"ec", "ecdsa", "es256", "sha256withecdsa", "ecdsawithsha256", "ecdsasha256"}),
    "RS256": frozenset({"rsa", "rs256", "sha256withrsa", "rsawithsha256", "rsasha256", "sha256rsa"}),
}
"""Accepted names of a signing algorithm, by the key's algorithm: lower case, letters and digits only."""
EFFECTS: Final[Mapping[str, WebhookEffect]] = {_PROFILE: RereadsCustomer("consumer_profile_id")}


def sender_of(settings: JpMorganSettings) -> "JpMorganSender | None":
    """None if no keys are configured. Raises SettingsError for unusable keys."""
    if url := settings.webhook_jwks_url:
        setting = "jpmorgan.webhook_jwks_url"
        return JpMorganSender(FetchedKeys(DocumentFetcher(url, setting=setting).fetch, setting=setting))
    if path := settings.webhook_jwks_path:
        return JpMorganSender(FileKeys(Path(path), setting="jpmorgan.webhook_jwks_path"))
    return None


@dataclass(frozen=True, slots=True)
class JpMorganSender:
    """`keys` are those of the public-keys call of the Notifications API. A key determines its algorithm.

    Deliveries are not refused for their age: a repeated delivery keeps the time of the first.
    """

    header_aliases: ClassVar[Mapping[str, str]] = {
        "x-signature": "signature",
        "x-key-id": "key-id",
        "keyid": "key-id",
        "key_id": "key-id",
        "x-signing-algorithm": "signing-algorithm",
        "signingalgorithm": "signing-algorithm",
        "signing_algorithm": "signing-algorithm",
        "signature-algorithm": "signing-algorithm",
    }
    single_headers: ClassVar[frozenset[str]] = frozenset({"signature", "key-id", "signing-algorithm"})

    keys: KeySource

    async def admit(self, path: str, headers: Headers) -> ReadDelivery:
        if path:
            raise WebhookRejected(404, "No such account.")
        signature = base64_bytes(headers.get("signature", ""))
        if not signature:
            raise WebhookRejected(401, "The signature is missing, or its key is unknown.")
        named = re.sub(r"[^a-z0-9]", "", headers.get("signing-algorithm", "").lower())
        algorithm = next((one for one, names in _SPELLINGS.items() if named in names), None)
        if named and algorithm is None:
            raise WebhookRejected(401, "The signing algorithm is not one of J.P. Morgan's.")
        try:
            key = await self.keys.find(headers.get("key-id", "").strip() or None, algorithm)
        except KeysUnavailable:
            raise WebhookRejected(503, "The sender's keys cannot be read now.", {"retry-after": "30"}) from None
        if key is None:
            raise WebhookRejected(401, "The signature is missing, or its key is unknown.")
        return partial(self._read, key, signature)

    def _read(self, key: VerifyingKey, signature: bytes, raw: bytes) -> WebhookDelivery | None:
        _verify(key, signature, raw)
        body = json_object(raw)
        if _is_handshake(body):
            return None
        kind, delivery = short_text(body, "notificationType"), short_text(body, "notificationId")
        is_about_profile = kind.lower() == _PROFILE.lower()
        profile = _profile_in(body) if is_about_profile else None
        merchant = body.get("merchantId")
        return WebhookDelivery(
            account=merchant[:64] if is_plain(merchant) else "",
            delivery_id=delivery,
            event_type=_PROFILE if is_about_profile else kind,
            facts={"consumer_profile_id": profile} if profile else {},
        )


def _verify(key: VerifyingKey, signature: bytes, raw: bytes) -> None:
    public = key.key
    try:
        if isinstance(public, RSAPublicKey):
            public.verify(signature, raw, PKCS1v15(), SHA256())
            return
        if len(signature) == 64:  # r and s concatenated, as in a JSON Web Signature, instead of DER
            signature = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        public.verify(signature, raw, ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        raise WebhookRejected(401, "The signature does not match.") from None


def _is_handshake(body: Mapping[str, Any]) -> bool:
    """The delivery by which J.P. Morgan verifies a new subscription; it may lack an id."""
    named = [body.get("notificationType"), body.get("notificationSubType"), *body]
    return any(isinstance(one, str) and one.lower() == _HANDSHAKE for one in named)


def _profile_in(body: Mapping[str, Any]) -> str | None:
    """The profile that a notification concerns; None for a bulk update, which names a file. Raises WebhookRejected."""
    about = next((value for name, value in body.items() if name.lower() == _PROFILE.lower()), None)
    about = about if isinstance(about, dict) else {}
    created = about.get("consumerProfileCreated")
    if "consumerProfileId" not in about and isinstance(created, dict):
        about = created
    if "consumerProfileId" not in about and "bulkConsumerProfileUpdate" in about:
        return None
    return short_text(about, "consumerProfileId")
