"""Outgoing webhooks: queue, signature and retries. All assumed.

A delivery in the state: ``{id, account, body, signature, attempts, due_at}``. It is dropped after a 2xx reply or six
attempts.
"""

import asyncio
import hashlib
import hmac
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from app.sandbox.base import Emulator, Json
from app.sandbox.caselle.wallets import new_uid, stamp
from app.sandbox.control_guard import is_loopback_address

RETRY_AFTER: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720))
_TIMEOUT_S: Final = 10.0
Post = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]
"""Sends a POST and returns the status; 0 if there was no reply."""


def record(
    state: Json, account: Json, event_type: str, data: Json, now: datetime, *, copies: int = 1, signature: str = "good"
) -> Json | None:
    """Queue one event, `copies` times under one id; None if the account is not subscribed to it."""
    if not (account["webhook_enabled"] and account["callback_url"]) or event_type in account["unsubscribed"]:
        return None
    event = {
        "id": new_uid("evt"),
        "event_type": event_type,
        "created_at": stamp(now),
        "payment_account_uid": account["uid"],
        "data": data,
    }
    delivery = {
        "id": event["id"],
        "account": account["uid"],
        "body": orjson.dumps(event).decode(),
        "signature": signature,
        "attempts": 0,
        "due_at": now.isoformat(),
    }
    state["deliveries"].extend(dict(delivery) for _ in range(copies))
    return event


def signed_headers(delivery: Json, secret: str, now: datetime) -> dict[str, str]:
    """`X-Webhook-Signature` is HMAC-SHA256 over timestamp, a dot, and the raw body; `bad` uses another key."""
    timestamp = str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "X-Webhook-Id": delivery["id"],
        "X-Webhook-Timestamp": timestamp,
    }
    if delivery["signature"] != "none":
        key = secret if delivery["signature"] == "good" else secret + "-not"
        signed = hmac.new(key.encode(), f"{timestamp}.{delivery['body']}".encode(), hashlib.sha256)
        headers["X-Webhook-Signature"] = f"sha256={signed.hexdigest()}"
    return headers


async def deliver_due(emulator: Emulator, post: Post) -> int:
    """Try every delivery due by the sandbox clock, sequentially; returns the number accepted."""
    accepted = 0
    for delivery in list(emulator.state["deliveries"]):
        now = emulator.clock.now()
        account = emulator.state["accounts"].get(delivery["account"], {})
        if datetime.fromisoformat(delivery["due_at"]) > now or not is_loopback_address(
            account.get("callback_url") or ""
        ):
            continue
        headers = signed_headers(delivery, account["webhook_secret"], now)
        status = await post(account["callback_url"], headers, delivery["body"].encode())
        accepted += _settle(emulator, delivery, 200 <= status < 300)
    return accepted


def _settle(emulator: Emulator, delivery: Json, is_accepted: bool) -> bool:
    waiting: list[Any] = emulator.state["deliveries"]
    if not any(entry is delivery for entry in waiting):
        return is_accepted  # removed by a reset meanwhile
    delivery["attempts"] += 1
    if is_accepted or delivery["attempts"] > len(RETRY_AFTER):
        emulator.state["deliveries"] = [entry for entry in waiting if entry is not delivery]
    else:
        delivery["due_at"] = (emulator.clock.now() + RETRY_AFTER[delivery["attempts"] - 1]).isoformat()
    emulator.touch()
    return is_accepted


async def post_over_http(url: str, headers: Mapping[str, str], body: bytes) -> int:
    return await asyncio.to_thread(_post, url, headers, body)


def _post(url: str, headers: Mapping[str, str], body: bytes) -> int:
    request = urllib.request.Request(url, body, dict(headers), method="POST")  # noqa: S310 - http(s) only, see below
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:  # noqa: S310 - `set_callback` checks it
            return int(reply.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0
