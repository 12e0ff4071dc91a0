"""Hosted checkout sessions: one payment attempt each, completed once, on a page served by the emulator.

A session in the state: ``{account, secret, asked, expires_at, status}``; ``secret`` is a digest.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from html import escape
from typing import Final

from app.sandbox.base import Json
from app.sandbox.caselle import events, tokenizer
from app.sandbox.caselle.payments import fee_for
from app.sandbox.caselle.problems import CaselleProblem, CaselleRefusal
from app.sandbox.caselle.shapes import CURRENCY, Shape, fit, flat_object, integer, words
from app.sandbox.caselle.wallets import check_enabled, customer_of, keep, method_of, new_uid, stamp
from app.sandbox.checks import email, one_of, text, web_address

_SESSION: Final = Shape(
    {
        "amount": integer(1),
        "currency": CURRENCY,
        "description": text(1000),
        "customer_id": text(100, shortest=1),
        "customer_email": email,
        "success_url": web_address,
        "cancel_url": web_address,
        "layout": text(40),
        "allowed_methods": words("card", "ach", "apple_pay"),
        "setup_future_usage": one_of("off", "on_session", "off_session"),
        "expires_in_seconds": integer(1, 86_400),
        "required_avs_fields": words("cardholder", "zip"),
        "metadata": flat_object,
    },
    ("amount", "currency", "success_url", "cancel_url"),
)
_PLACEHOLDER: Final = "{CHECKOUT_SESSION_ID}"
_USUAL_LIFETIME_S: Final = 1800


def create(state: Json, account: Json, body: Json, base: str, now: datetime) -> Json:
    order = fit(body, _SESSION)
    if "customer_id" in order:
        customer_of(state, account["uid"], order["customer_id"])
    session_id = new_uid("cs")
    secret = f"{session_id}_secret_{secrets.token_urlsafe(18)}"
    expires_at = now + timedelta(seconds=order.get("expires_in_seconds", _USUAL_LIFETIME_S))
    state["sessions"][session_id] = {
        "account": account["uid"],
        "secret": tokenizer.digest(secret),
        "asked": order,
        "expires_at": expires_at.isoformat(),
        "status": "open",
    }
    return {
        "session_id": session_id,
        "client_secret": secret,
        "expires_at": stamp(expires_at),
        "hosted_url": f"{base}/checkout/{session_id}",
    }


def has_secret(state: Json, token: str) -> bool:
    """True if a bearer is a session's browser credential."""
    session = state["sessions"].get(token.partition("_secret_")[0])
    return session is not None and hmac.compare_digest(session["secret"], tokenizer.digest(token))


def open_session(state: Json, session_id: str, now: datetime) -> Json:
    session: Json | None = state["sessions"].get(session_id)
    if session is None:
        raise CaselleRefusal(CaselleProblem.NO_SUCH_SESSION)
    if session["status"] != "open" or datetime.fromisoformat(session["expires_at"]) <= now:
        raise CaselleRefusal(CaselleProblem.SESSION_CLOSED)
    return session


def complete(state: Json, session_id: str, form: Mapping[str, str], now: datetime) -> str:
    """Pay with a saved method of the customer or a new card; returns the redirect URL.

    `off` never saves; the other two save a new card to the customer. Raises CaselleRefusal, and
    ValueError for a bad card.
    """
    session = open_session(state, session_id, now)
    account, order = state["accounts"][session["account"]], session["asked"]
    customer = state["customers"].get(order.get("customer_id"))
    if form.get("saved_payment_method_uid"):
        if customer is None:
            raise CaselleRefusal(CaselleProblem.NO_SUCH_METHOD)
        method = method_of(customer, form["saved_payment_method_uid"])
        kind, saved = method["payment_method"]["payment_method_type"], method["uid"]
        check_enabled(account, kind)
    else:
        check_enabled(account, "credit")
        kind, saved = "credit", None
        face = _new_card(state, account, form, now)
        if customer is not None and order.get("setup_future_usage", "off") != "off":
            saved = keep(customer, kind, face, now)["uid"]
    session["status"] = "completed"
    amount = order["amount"]
    data = {
        "session_id": session_id,
        "amount": amount,
        "processing_fee_amount": fee_for(kind, amount),
        "currency": order["currency"],
        "customer_id": order.get("customer_id"),
        "saved_payment_method_uid": saved,
        "metadata": order.get("metadata", {}),
    }
    events.record(state, account, "checkout_session.completed", data, now)
    return _signed_return(order["success_url"], session_id, account["webhook_secret"])


def _new_card(state: Json, account: Json, form: Mapping[str, str], now: datetime) -> Json:
    dates = {name: int(form[name]) for name in ("exp_month", "exp_year") if form.get(name, "").isdecimal()}
    card = {"kind": "card", "number": form.get("number", ""), **dates}
    seen = tokenizer.mint(state, card, account["uid"], now)
    face = {"last4": seen["last4"], **dates, "bin": seen["bin"], "card_brand": seen["brand"]}
    return {**face, "holder_name": form.get("holder_name", "")}


def _signed_return(url: str, session_id: str, key: str) -> str:
    address = url.replace(_PLACEHOLDER, session_id)
    signature = hmac.new(key.encode(), session_id.encode(), hashlib.sha256).hexdigest()
    return f"{address}{'&' if '?' in address else '?'}signature={signature}"


def page(state: Json, session_id: str, now: datetime) -> str:
    """The checkout page: the customer's wallet as brand and last4, and a form for a new test card."""
    session = open_session(state, session_id, now)
    order = session["asked"]
    customer = state["customers"].get(order.get("customer_id")) or {"methods": []}
    choices = "".join(
        f'<p><button name="saved_payment_method_uid" value="{escape(method["uid"])}">{escape(_label(method))}</button>'
        for method in customer["methods"]
    )
    fields = "".join(
        f'<p><label>{label} <input name="{name}"></label>'
        for name, label in (
            ("number", "Test card number"),
            ("exp_month", "Month"),
            ("exp_year", "Year"),
            ("holder_name", "Name"),
        )
    )
    amount = f"{order['amount']} {escape(order['currency'])} (minor units)"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Checkout sandbox</title>'
        f'<h1>Pay {amount}</h1><form method="post">{choices}{fields}<p><button>Pay with the new card</button></form>'
        f'<p><a href="{escape(order["cancel_url"].replace(_PLACEHOLDER, session_id))}">Cancel</a></html>'
    )


def _label(method: Json) -> str:
    kind = method["payment_method"]["payment_method_type"]
    face = method["payment_method"][kind]
    if kind == "credit":
        return f"{face.get('card_brand', 'Card')} {face['last4']}"
    return f"Bank account {face['account_suffix']}"
