"""Payment accounts beyond the list: the browser tokenizer's configuration, and webhook subscriptions."""

import secrets
from datetime import datetime, timedelta
from typing import Final

from app.sandbox.base import Json
from app.sandbox.caselle.problems import CaselleProblem, CaselleRefusal
from app.sandbox.caselle.shapes import Rows, Shape, fit
from app.sandbox.caselle.wallets import stamp
from app.sandbox.checks import boolean, one_of

EVENT_TYPES: Final = (
    "payment.completed",
    "payment.failed",
    "payment.refunded",
    "checkout_session.completed",
    "provider.chargeback",
    "provider.nsf",
    "provider.noc",
    "provider.reversal",
    "provider.bankbillpay",
    "ivr.completed",
)
_CONFIG_LIFETIME: Final = timedelta(minutes=30)
_SUBSCRIPTION: Final = Shape({"event_type": one_of(*EVENT_TYPES), "enabled": boolean}, ("event_type", "enabled"))
_SUBSCRIPTIONS: Final = Shape({"subscriptions": Rows(_SUBSCRIPTION)}, ("subscriptions",))
_SECRET_FIELDS: Final = frozenset({"webhook_secret", "unsubscribed"})


def show(account: Json) -> Json:
    return {name: value for name, value in account.items() if name not in _SECRET_FIELDS}


def client_config(state: Json, uid: str, now: datetime) -> Json:
    """The browser SDK's start configuration; needs no authentication. Its credentials are unused: `mint_token` replaces
    the SDK.
    """
    account = state["accounts"].get(uid)
    if account is None or not account["active"]:
        raise CaselleRefusal(CaselleProblem.NO_SUCH_TENANT)
    methods = (("credit", account["enable_credit_card"]), ("ach", account["enable_ach"]), ("apple_pay", True))
    return {
        "processor": account["processor"],
        "config": {
            "account_id": account["external_account_id"],
            "api_key": f"sandbox-{account['external_merchant_id']}",
            "temporary_password": secrets.token_urlsafe(12),
            "expiration_date": stamp(now + _CONFIG_LIFETIME),
        },
        "supported_methods": [name for name, is_enabled in methods if is_enabled],
    }


def subscribe(account: Json, body: Json) -> Json:
    """Turn event types on and off; others keep their setting (assumed). All are on at first."""
    for entry in fit(body, _SUBSCRIPTIONS)["subscriptions"]:
        silent = set(account["unsubscribed"]) - {entry["event_type"]}
        account["unsubscribed"] = sorted(silent if entry["enabled"] else {*silent, entry["event_type"]})
    return subscriptions(account)


def subscriptions(account: Json) -> Json:
    return {
        "subscriptions": [
            {"event_type": event_type, "enabled": event_type not in account["unsubscribed"]}
            for event_type in EVENT_TYPES
        ]
    }
