"""Maps Stripe's replies to writes and its refusals to typed outcomes. Pure. Source: API reference, "Errors"."""

import re
from typing import Any, Final

from app.errors import RejectReason, VaultError
from app.http.message import Effect, VaultReply
from app.providers.base import failed_reply
from app.providers.write_outcome import WriteAnswers
from vaultgraph_stripe.mapping import NAME

_CODE: Final = re.compile(r"[a-z][a-z0-9_]{1,63}")
_REFUSALS: Final = frozenset(("invalid_request_error", "card_error"))
_NAMELESS: Final = "Not Found"  # localstripe's 404 has no code; Stripe's 404 for an unknown path has another message


def _is_refusal(body: Any) -> bool:
    """``idempotency_error`` is no refusal: the key was used before, and the reply does not say with what result."""
    return body["error"]["type"] in _REFUSALS


def _is_attached(body: Any) -> bool:
    return body["object"] == "payment_method" and bool(body["id"]) and isinstance(body["customer"], str)


def _is_detached(body: Any) -> bool:
    return body["object"] == "payment_method" and bool(body["id"]) and body["customer"] is None


def _is_customer(body: Any) -> bool:
    return body["object"] == "customer" and bool(body["id"]) and "default_payment_method" in body["invoice_settings"]


_REFUSED: Final = dict.fromkeys((400, 402, 403, 404), _is_refusal)
"""409 is missing: it means another request with the same key, which may have been carried out."""
ATTACHED: Final = WriteAnswers(applied={200: _is_attached}, refused=_REFUSED)
"""``POST v1/payment_methods/{id}/attach``"""
DETACHED: Final = WriteAnswers(applied={200: _is_detached}, refused=_REFUSED)
"""``POST v1/payment_methods/{id}/detach``"""
CUSTOMER_WRITTEN: Final = WriteAnswers(applied={200: _is_customer}, refused=_REFUSED)
"""``POST v1/customers`` and ``POST v1/customers/{id}``"""


def is_challenge(reply: VaultReply) -> bool:
    """Whether a 401 is Stripe's own, of a key that it does not know."""
    return bool(_error_in(reply))


def refusal(reply: VaultReply, effect: Effect, missing: RejectReason) -> VaultError:
    """The error of a reply that is no success; `missing` is what "no such object" means for this call."""
    error = _error_in(reply)
    code = error.get("code")
    is_code = isinstance(code, str) and _CODE.fullmatch(code) is not None
    return failed_reply(NAME, reply, effect, _reason(reply.status, error, missing), code if is_code else None)


def _reason(status: int, error: dict[str, Any], missing: RejectReason) -> RejectReason:
    if _is_missing(status, error):
        return RejectReason.CUSTOMER_NOT_FOUND if error.get("param") == "customer" else missing
    if status == 402 or error.get("type") == "card_error":
        return RejectReason.DECLINED
    return RejectReason.INVALID_INPUT if status == 400 and error else RejectReason.CONTRACT


def _is_missing(status: int, error: dict[str, Any]) -> bool:
    if error.get("type") != "invalid_request_error":
        return False
    return error.get("code") == "resource_missing" or (status == 404 and error.get("message") == _NAMELESS)


def _error_in(reply: VaultReply) -> dict[str, Any]:
    """``error`` with a type; empty where there is none, as in any other server's replies."""
    try:
        body = reply.json()
    except ValueError:
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) and isinstance(error.get("type"), str) else {}
