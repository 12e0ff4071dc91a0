"""`POST /webhooks/caselle/{account}` and `/webhooks/jpmorgan`: verified on the raw bytes, stored, then acknowledged.

`app.wallet.inbound` processes the stored deliveries. Only ids and the event's type are stored, never the whole body.
Caselle's signature format is not published: HMAC-SHA256 over timestamp, dot and body, as our sandbox sends it.
J.P. Morgan signs the body with ECDSA or RSA over SHA-256; the spelling of its headers is not published either.
"""

import hmac
import re
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, Final, Protocol, TypeGuard

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from starlette.types import Receive, Scope, Send

from app.gate.answers import Answer, encode
from app.gate.callers.keys import KeySource, KeysUnavailable, VerifyingKey
from app.gate.headers import connection_of
from app.pan import looks_like_card_number
from app.store.errors import StoreUnavailable
from app.store.records import NewReceipt
from app.vault.secret import Secret

_LONGEST_BODY: Final = 256_000
_MOST_METHODS: Final = 1_000
_MOST_MONEY: Final = 10**12
_MOST_SIGNATURES: Final = 16
_AMOUNTS: Final = {
    "base": "base_amount",
    "tax": "tax_amount",
    "fee": "processing_fee_amount",
    "total": "total_amount",
}
_CASELLE_WINDOW_S: Final = 300
_LONGEST_STAMP: Final = 15
_ONE_SIGNATURE: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9_-]{0,15}=)?(?:([0-9A-Fa-f]{64})|([A-Za-z0-9+/_-]{43}=?))")
_PROFILE: Final = "ConsumerProfileNotification"
_HANDSHAKE: Final = "subscriptionverification"
_ALIASES: Final = {
    "x-signature": "signature",
    "x-key-id": "key-id",
    "keyid": "key-id",
    "key_id": "key-id",
    "x-signing-algorithm": "signing-algorithm",
    "signingalgorithm": "signing-algorithm",
    "signing_algorithm": "signing-algorithm",
    "signature-algorithm": "signing-algorithm",
}
_ONCE_ONLY: Final = frozenset(
    {"signature", "key-id", "signing-algorithm", "x-webhook-id", "x-webhook-signature", "x-webhook-timestamp"}
)
_SPELLINGS: Final = {
    "ES256": frozenset({"ec", "ecdsa", "es256", "sha256withecdsa", "ecdsawithsha256", "ecdsasha256"}),
    "RS256": frozenset({"rsa", "rs256", "sha256withrsa", "rsawithsha256", "rsasha256", "sha256rsa"}),
}
"""How a signing algorithm may be called, by the algorithm of the key: lower case, letters and digits alone."""

Keep = Callable[[NewReceipt], Awaitable[None]]
Headers = Mapping[str, str]
ReadDelivery = Callable[[bytes], NewReceipt | None]
"""Verifies and reads a raw body; None where nothing has to be stored. Raises _Rejected."""


class _Rejected(Exception):
    def __init__(self, status: int, message: str, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class Sender(Protocol):
    async def admit(self, path: str, headers: Headers) -> ReadDelivery:
        """Check what can be checked before the body is read. `path` is below the sender's own. Raises _Rejected."""
        ...


@dataclass(frozen=True, slots=True)
class CaselleSender:
    """One payment account whose webhooks we take. A signature by any of `secrets` counts: while a secret is being
    changed there are two."""

    account: str
    secrets: Sequence[Secret]

    async def admit(self, path: str, headers: Headers) -> ReadDelivery:
        if path != self.account:
            raise _Rejected(404, "No such account.")
        signatures = _hmac_signatures(headers.get("x-webhook-signature", ""))
        if not signatures:
            raise _Rejected(401, "The signature is missing.")
        stamp = headers.get("x-webhook-timestamp", "")
        is_number = stamp.isdecimal() and len(stamp) <= _LONGEST_STAMP
        if not (is_number and abs(time.time() - int(stamp)) <= _CASELLE_WINDOW_S):
            raise _Rejected(401, "The delivery is too old.")
        return partial(self._read, stamp, signatures)

    def _read(self, stamp: str, signatures: Sequence[bytes], raw: bytes) -> NewReceipt:
        signed = stamp.encode() + b"." + raw
        if not _is_signed(signed, signatures, self.secrets):
            raise _Rejected(401, "The signature does not fit.")
        body = _object(raw)
        event_type, delivery = _text(body, "event_type"), _text(body, "id")
        data = body.get("data")
        kept = _caselle_facts(event_type, data if isinstance(data, dict) else {})
        return NewReceipt(
            source="caselle",
            account=self.account,
            delivery_id=delivery,
            event_type=event_type,
            lane=f"caselle:{kept.get('payment_uid', delivery)}",  # payments alone depend on the order
            body=kept,
        )


@dataclass(frozen=True, slots=True)
class JpMorganSender:
    """`keys` are those of the public-keys call of the Notifications API. A key decides its one algorithm.

    Deliveries are not refused for their age: the time in the body stays the first one's when a delivery is repeated.
    """

    keys: KeySource

    async def admit(self, path: str, headers: Headers) -> ReadDelivery:
        if path:
            raise _Rejected(404, "No such account.")
        signature = _base64(headers.get("signature", ""))
        if not signature:
            raise _Rejected(401, "The signature is missing, or its key is unknown.")
        named = re.sub(r"[^a-z0-9]", "", headers.get("signing-algorithm", "").lower())
        algorithm = next((one for one, names in _SPELLINGS.items() if named in names), None)
        if named and algorithm is None:
            raise _Rejected(401, "The signing algorithm is not one of J.P. Morgan's.")
        try:
            key = await self.keys.find(headers.get("key-id", "").strip() or None, algorithm)
        except KeysUnavailable:
            raise _Rejected(503, "The sender's keys cannot be read now.", {"retry-after": "30"}) from None
        if key is None:
            raise _Rejected(401, "The signature is missing, or its key is unknown.")
        return partial(self._read, key, signature)

    def _read(self, key: VerifyingKey, signature: bytes, raw: bytes) -> NewReceipt | None:
        _verify(key, signature, raw)
        body = _object(raw)
        if _is_handshake(body):
            return None
        kind, delivery = _text(body, "notificationType"), _text(body, "notificationId")
        is_about_profile = kind.lower() == _PROFILE.lower()
        profile = _profile_in(body) if is_about_profile else None
        merchant = body.get("merchantId")
        return NewReceipt(
            source="jpmorgan",
            account=merchant[:64] if _is_plain(merchant) and merchant.isprintable() else "",
            delivery_id=delivery,
            event_type=_PROFILE if is_about_profile else kind,
            lane=f"jpmorgan:{delivery}",
            body={"consumer_profile_id": profile} if profile else {},
        )


class WebhookReceiver:
    """A pure ASGI application below ``/webhooks/``. `senders` by the first part of the path."""

    def __init__(self, senders: Mapping[str, Sender], keep: Keep) -> None:
        self._senders = dict(senders)
        self._keep = keep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] != "http" or scope["method"] != "POST":
                raise _Rejected(405, "Webhooks are sent by POST.", {"allow": "POST"})
            name, _, path = scope["path"].removeprefix("/webhooks/").partition("/")
            sender = self._senders.get(name)
            if sender is None:
                raise _Rejected(404, "No such sender.")
            headers = _headers(scope["headers"])
            read = await sender.admit(path, headers)  # the body of an unknown sender is not read
            receipt = read(await _body(receive, headers))
            if (connection := connection_of(scope)) is not None:
                connection.authenticated(f"webhooks:{name}")
            if receipt is not None:
                await self._keep(receipt)
        except StoreUnavailable:  # the sender delivers it again
            answer = Answer(503, encode({"error": "Try again later."}), headers={"retry-after": "1"})
        except _Rejected as rejected:
            answer = Answer(rejected.status, encode({"error": str(rejected)}), headers=rejected.headers)
        else:
            answer = Answer(200, encode({"received": True}))
        await answer.send(send)


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """By lower-case name, in one spelling. Raises _Rejected where a header of the signature comes twice: which of the
    two counts is read differently by everybody."""
    found: dict[str, str] = {}
    for name_bytes, value in raw:
        name = name_bytes.decode("latin-1").lower()
        name = _ALIASES.get(name, name)
        if name in found and name in _ONCE_ONLY:
            raise _Rejected(400, f"The header {name} stands twice.")
        found[name] = value.decode("latin-1")
    return found


def _hmac_signatures(header: str) -> list[bytes]:
    """Every SHA-256 HMAC in a header: hex or base64, ``sha256=`` or ``v1=`` before it, commas or blanks between."""
    found: list[bytes] = []
    for part in re.split(r"[,;\s]+", header)[: 4 * _MOST_SIGNATURES]:
        if match := _ONE_SIGNATURE.fullmatch(part):
            found.append(bytes.fromhex(match[1]) if match[1] else _base64(match[2]))
    return found[:_MOST_SIGNATURES]


def _is_signed(signed: bytes, signatures: Sequence[bytes], secrets: Sequence[Secret]) -> bool:
    """Compares every signature with every secret's, in constant time."""
    is_signed = False
    for secret in secrets:
        expected = hmac.digest(secret.reveal().encode(), signed, sha256)
        for signature in signatures:
            is_signed |= hmac.compare_digest(expected, signature)
    return is_signed


def _base64(text: str) -> bytes:
    """Of either alphabet, with or without padding; empty where it is neither."""
    bare = text.strip().translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (Base64Error, ValueError):
        return b""


def _verify(key: VerifyingKey, signature: bytes, raw: bytes) -> None:
    public = key.key
    try:
        if isinstance(public, RSAPublicKey):
            public.verify(signature, raw, PKCS1v15(), SHA256())
            return
        if len(signature) == 64:  # both numbers side by side, as a JSON Web Signature has them, instead of DER
            signature = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        public.verify(signature, raw, ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        raise _Rejected(401, "The signature does not fit.") from None


def _is_handshake(body: Mapping[str, Any]) -> bool:
    """The delivery by which J.P. Morgan verifies a new subscription; it may lack an id."""
    named = [body.get("notificationType"), body.get("notificationSubType"), *body]
    return any(isinstance(one, str) and one.lower() == _HANDSHAKE for one in named)


def _profile_in(body: Mapping[str, Any]) -> str | None:
    """The profile that a notification is about; None for a bulk update, which names a file. Raises _Rejected."""
    about = next((value for name, value in body.items() if name.lower() == _PROFILE.lower()), None)
    about = about if isinstance(about, dict) else {}
    created = about.get("consumerProfileCreated")
    if "consumerProfileId" not in about and isinstance(created, dict):
        about = created
    if "consumerProfileId" not in about and "bulkConsumerProfileUpdate" in about:
        return None
    return _text(about, "consumerProfileId")


def _caselle_facts(event_type: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Ids, and of a payment its amounts. What an event says of a payment is not published: the payment itself is read,
    and an event's own object that names or holds it."""
    listed = data.get("saved_payment_method_ids")
    refs = [ref for ref in listed if _is_plain(ref)] if isinstance(listed, list) else []
    facts: dict[str, Any] = {"saved_payment_method_ids": refs[:_MOST_METHODS]}
    inner = data.get("payment")
    payment = inner if isinstance(inner, dict) else {}
    named = (data.get("payment_uid"), payment.get("uid"), data.get("payment_id"), data.get("uid"))
    uid = next((one for one in named if _is_plain(one) and one), None)
    if uid is None:
        return facts
    facts["payment_uid"] = uid
    about = {**data, **payment}
    amounts = {name: about[theirs] for name, theirs in _AMOUNTS.items() if _is_amount(about.get(theirs))}
    if _is_plain(currency := about.get("currency")):
        amounts["currency"] = currency[:16].upper()
    if event_type == "payment.completed" and amounts:
        facts["amounts"] = amounts
    if event_type == "payment.refunded":
        one = data.get("refund")
        parts = (data.get("refund_amount"), one.get("amount") if isinstance(one, dict) else None, data.get("amount"))
        part = next((found for found in parts if _is_amount(found)), None)
        refund = {"total": about.get("refunded_amount"), "part": part}
        facts["refund"] = {name: value for name, value in refund.items() if _is_amount(value)}
    return facts


def _is_amount(value: object) -> bool:
    """Minor units, within what anybody pays: longer numbers may be those of cards."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_MONEY


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise _Rejected(400, "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise _Rejected(400, "The body is not a JSON object.")
    return body


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not (isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()):
        raise _Rejected(400, f"The member {name} is missing or not a short string.")
    if not _is_plain(value):
        raise _Rejected(400, f"The member {name} holds a card number.")
    return value


def _is_plain(value: object) -> TypeGuard[str]:
    """Text that may be stored: no card number is, whoever signed it."""
    return isinstance(value, str) and not looks_like_card_number(value)


async def _body(receive: Receive, headers: Headers) -> bytes:
    declared = headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 15 or int(declared) > _LONGEST_BODY):
        raise _Rejected(413, "The body is too large.")
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _Rejected(400, "The sender went away.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > _LONGEST_BODY:
            raise _Rejected(413, "The body is too large.")
        if not message.get("more_body", False):
            return b"".join(chunks)
