"""`POST /webhooks/caselle/{account}` and `/webhooks/jpmorgan`: verified on the raw bytes, stored, then acknowledged.

Nothing is done with a delivery here: `app.wallet.inbound` works stored ones off. What is stored is only what that
needs: ids and the event's type, never the whole body. Caselle's signature format is not published: HMAC-SHA256 over
timestamp, dot and body, as our sandbox sends it. J.P. Morgan signs the body with ECDSA over SHA-256 (Notifications).
"""

import hmac
import json
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from jwt import PyJWKSet
from starlette.types import Receive, Scope, Send

from app.errors import SettingsError
from app.gate.answers import Answer, encode
from app.gate.headers import connection_of
from app.store.records import NewReceipt

_LONGEST_BODY: Final = 256_000
_MOST_METHODS: Final = 1_000
_MOST_MONEY: Final = 10**12
_AMOUNTS: Final = {
    "base": "base_amount",
    "tax": "tax_amount",
    "fee": "processing_fee_amount",
    "total": "total_amount",
}
_CASELLE_WINDOW_S: Final = 300
_JPMORGAN_WINDOW_S: Final = 86_400  # the time stands in the body, so a repeated delivery keeps its first one

Keep = Callable[[NewReceipt], Awaitable[None]]
Headers = Mapping[str, str]


class _Rejected(Exception):
    def __init__(self, status: int, message: str, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class CaselleSender:
    """One payment account whose webhooks we take."""

    account: str
    secret: str

    def check(self, path: str, headers: Headers) -> None:
        """What can be refused before the body is read; raises _Rejected."""
        if path != self.account:
            raise _Rejected(404, "No such account.")
        if not headers.get("x-webhook-signature"):
            raise _Rejected(401, "The signature is missing.")
        stamp = headers.get("x-webhook-timestamp", "")
        if not (stamp.isdecimal() and abs(time.time() - int(stamp)) <= _CASELLE_WINDOW_S):
            raise _Rejected(401, "The delivery is too old.")

    def receipt(self, headers: Headers, raw: bytes) -> NewReceipt:
        stamp = headers.get("x-webhook-timestamp", "")
        signed = hmac.new(self.secret.encode(), stamp.encode("latin-1") + b"." + raw, sha256).hexdigest()
        given = headers.get("x-webhook-signature", "")
        if not hmac.compare_digest(f"sha256={signed}".encode(), given.encode("latin-1")):
            raise _Rejected(401, "The signature does not fit.")
        body = _object(raw)
        event_type, delivery = _text(body, "event_type"), _text(body, "id")
        data = body.get("data")
        kept = _caselle_facts(event_type, data if isinstance(data, dict) else {})
        lane = f"caselle:{kept.get('payment_uid') or next(iter(kept['saved_payment_method_ids']), delivery)}"
        return NewReceipt(
            source="caselle",
            account=self.account,
            delivery_id=delivery,
            event_type=event_type,
            lane=lane,
            body=kept,
        )


@dataclass(frozen=True, slots=True)
class JpMorganSender:
    """`keys` by key id, from the public-keys call of the Notifications API."""

    keys: Mapping[str, EllipticCurvePublicKey]

    @classmethod
    def from_file(cls, path: Path) -> "JpMorganSender":
        try:
            found = PyJWKSet.from_dict(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            raise SettingsError("jpmorgan.webhook_jwks_path: not a readable JSON Web Key Set") from None
        return cls({key.key_id or "": key.key for key in found.keys if isinstance(key.key, EllipticCurvePublicKey)})

    def check(self, path: str, headers: Headers) -> None:
        """See `CaselleSender.check`."""
        if path:
            raise _Rejected(404, "No such account.")
        if not headers.get("signature") or headers.get("key-id", "") not in self.keys:
            raise _Rejected(401, "The signature is missing, or its key is unknown.")

    def receipt(self, headers: Headers, raw: bytes) -> NewReceipt:
        key = self.keys[headers["key-id"]]
        try:
            key.verify(b64decode(headers.get("signature", ""), validate=True), raw, ECDSA(SHA256()))
        except (InvalidSignature, Base64Error, ValueError):
            raise _Rejected(401, "The signature does not fit.") from None
        body = _object(raw)
        if abs(time.time() - _instant(_text(body, "messageCreateTimestamp"))) > _JPMORGAN_WINDOW_S:
            raise _Rejected(401, "The delivery is too old.")
        about = body.get("consumerProfileNotification")
        profile = _text(about if isinstance(about, dict) else {}, "consumerProfileId")
        return NewReceipt(
            source="jpmorgan",
            account=str(body.get("merchantId", ""))[:64],
            delivery_id=_text(body, "notificationId"),
            event_type=_text(body, "notificationType"),
            lane=f"jpmorgan:{profile}",
            body={"consumer_profile_id": profile},
        )


class WebhookReceiver:
    """A pure ASGI application below ``/webhooks/``. `senders` by the first part of the path."""

    def __init__(self, senders: Mapping[str, CaselleSender | JpMorganSender], keep: Keep) -> None:
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
            headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
            sender.check(path, headers)  # a stranger's body is not even read
            receipt = sender.receipt(headers, await _body(receive, headers))
            if (connection := connection_of(scope)) is not None:
                connection.authenticated(f"webhooks:{name}")
            await self._keep(receipt)
        except _Rejected as rejected:
            answer = Answer(rejected.status, encode({"error": str(rejected)}), headers=rejected.headers)
        else:
            answer = Answer(200, encode({"received": True}))
        await answer.send(send)


def _caselle_facts(event_type: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Ids, and of a payment its amounts. What an event says of a payment is not published: the payment itself is read,
    and an event's own object that names or holds it."""
    listed = data.get("saved_payment_method_ids")
    refs = [ref for ref in listed if isinstance(ref, str)] if isinstance(listed, list) else []
    facts: dict[str, Any] = {"saved_payment_method_ids": refs[:_MOST_METHODS]}
    inner = data.get("payment")
    payment = inner if isinstance(inner, dict) else {}
    named = (data.get("payment_uid"), payment.get("uid"), data.get("payment_id"), data.get("uid"))
    uid = next((one for one in named if isinstance(one, str) and one), None)
    if uid is None:
        return facts
    facts["payment_uid"] = uid
    about = {**data, **payment}
    amounts = {name: about[theirs] for name, theirs in _AMOUNTS.items() if _is_amount(about.get(theirs))}
    if isinstance(about.get("currency"), str):
        amounts["currency"] = about["currency"][:16].upper()
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
    return value


def _instant(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise _Rejected(400, "The member messageCreateTimestamp is not a time.") from None


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
