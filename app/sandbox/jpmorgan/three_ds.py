"""3-D Secure results of cards: the `.../status` reply, and setting a result by challenge or test."""

from collections.abc import Mapping
from html import escape
from typing import Final
from uuid import uuid4

from app.sandbox.base import Json
from app.sandbox.jpmorgan.answers import JpMorganRefusal, Rule
from app.sandbox.jpmorgan.methods import method_of

OUTCOMES: Final = ("SUCCESS", "DENIED", "ERROR")
_ACCOUNT_STATUS: Final = {"SUCCESS": "ACTIVE", "DENIED": "VERIFICATION_FAILED", "ERROR": "ERRORED"}
_WORDS: Final = {
    "SUCCESS": ("ACCEPTED", "Request Accepted", "Success"),
    "DENIED": ("AUTHENTICATION_DENIED", "Authentication denied", ""),
    "ERROR": ("HOST_ERROR", "Authentication could not be performed", ""),
}
"""`responseCode`, `responseMessage`, `hostMessage`. Only ACCEPTED is published; the other codes are assumed."""


def decide(method: Json, status: str, at: str) -> None:
    """Store a result. A card added with `authenticationRequest` also gets the account status it implies; an existing
    card keeps its status.
    """
    known = method.get("three_ds") or {"authenticationId": str(uuid4()), "is_awaited": False}
    if status == "NONE":
        method["three_ds"] = None
        return
    method["three_ds"] = {**known, "status": status, "transactionIdentifier": str(uuid4()), "transactionDate": at}
    if known["is_awaited"]:
        method["wire"]["accountStatus"] = _ACCOUNT_STATUS[status]


def status_of(profile: Json, method_id: str, headers: Mapping[str, str]) -> Json:
    """The status reply. 404 without an attempt; an uncompleted one has no `cardAuthenticationDetails` (assumed)."""
    method = method_of(profile, method_id)
    if method["kind"] != "card":
        raise JpMorganRefusal(Rule.CARDS_ONLY)
    result = method.get("three_ds")
    if result is None:
        raise JpMorganRefusal(Rule.NO_AUTHENTICATION)
    answer: Json = {
        "requestId": headers.get("requestidentifier") or str(uuid4()),
        "consumerProfileId": profile["wire"]["consumerProfileId"],
        "responseMessage": "Request Accepted",
    }
    if result["status"] is not None:
        code, message, host = _WORDS[result["status"]]
        answer["cardAuthenticationDetails"] = {
            "transactionIdentifier": result["transactionIdentifier"],
            "responseStatus": result["status"],
            "responseCode": code,
            "responseMessage": message,
            "hostMessage": host,
            "transactionDate": result["transactionDate"],
            "authenticationId": result["authenticationId"],
        }
    return answer


def find(state: Json, *, method_id: str | None = None, authentication_id: str | None = None) -> Json | None:
    """The method with this id, or with this authentication id."""
    for profile in state["profiles"].values():
        for method in profile["methods"]:
            attempt = method.get("three_ds") or {}
            if method["wire"]["paymentMethodId"] == method_id or (
                authentication_id is not None and attempt.get("authenticationId") == authentication_id
            ):
                found: Json = method
                return found
    return None


def challenge_page(method: Json) -> str:
    last4 = escape(str(method["wire"].get("last4CardNumber", "")))
    status = (method.get("three_ds") or {}).get("status")
    if status is not None:
        return _page(f"<p>Card ending in {last4}: {escape(status)}.</p>")
    buttons = "".join(f'<button name="outcome" value="{word}">{word}</button> ' for word in OUTCOMES)
    return _page(f'<p>Sandbox challenge for the card ending in {last4}.</p><form method="post">{buttons}</form>')


def _page(body: str) -> str:
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>3-D Secure sandbox</title>{body}</html>'
