"""Maps Caselle's refusals to typed outcomes. No error body is published: every plausible shape is read."""

import re
from collections.abc import Iterator
from typing import Any, Final

from app.errors import FieldFault, RejectReason, VaultError, VaultRefusedUs, VaultTimeout
from app.http.message import Effect, VaultReply
from app.providers.base import body_of, failed_reply, fault, request_id_of
from app.providers.caselle.mapping import NAME, customer_ref_of, default_in, saved_ref_of
from app.providers.write_outcome import Shape, WriteAnswers

_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{1,63}")
_REASON: Final = {
    400: RejectReason.INVALID_INPUT,
    409: RejectReason.CONFLICT,
    422: RejectReason.INVALID_INPUT,
}
_REASON_OF_CODE: Final = (
    (re.compile(r"token|fingerprint"), RejectReason.TOKEN_INVALID),
    (re.compile(r"not_enabled|disabled"), RejectReason.NOT_ENABLED),
    (re.compile(r"unknown_property|unmapped"), RejectReason.CONTRACT),
    (re.compile(r"declined"), RejectReason.DECLINED),
)
_OUR_ACCOUNT: Final = re.compile(r"payment_?account")
_CUSTOMER: Final = re.compile(r"\bcustomer\b", re.I)  # as a whole word: some servers repeat the path
_MAY_STAND: Final = re.compile(r"already|exist|duplicate|conflict|captur|complete|paid|closed|process|pending|progress")
_PATH_OF_LEAF: Final[dict[str, tuple[str, ...]]] = {
    "fingerprint": ("secret",),
    "last4": ("last4",),
    "account_suffix": ("last4",),
    "exp_month": ("expiry",),
    "exp_year": ("expiry",),
    "bin": ("bin",),
    "card_brand": ("brand",),
    "holder_name": ("holder_name",),
    "routing_number": ("routing_number",),
    "account_type": ("account_type",),
    "reference_id": ("external_id",),
    "name": ("name",),
    "email": ("email",),
}


def _is_refusal(body: Any) -> bool:
    """An error with a code, unless the code means that it may exist already: no error body is published."""
    code = code_in(body)
    return code is not None and _MAY_STAND.search(code.lower()) is None


def _is_customer(body: Any) -> bool:
    return bool(customer_ref_of(body))


def _shows_default(body: Any) -> bool:
    return _is_customer(body) and default_in(body) is not None


def _is_saved(body: Any) -> bool:
    return bool(saved_ref_of(body))


def _has(*names: str) -> Shape:
    def has(body: Any) -> bool:
        return isinstance(body, dict) and all(name in body for name in names)

    return has


def _refused_with(*statuses: int) -> dict[int, Shape]:
    return dict.fromkeys(statuses, _is_refusal)


CUSTOMER_CREATED: Final = WriteAnswers(
    applied=dict.fromkeys((200, 201), _is_customer), refused=_refused_with(400, 403, 404, 422)
)
"""``POST /api/customers``. A conflict means that the customer exists, to be fetched: page "Customers & wallets"."""
METHOD_SAVED: Final = WriteAnswers(
    applied=dict.fromkeys((200, 201), _is_saved), refused=_refused_with(400, 403, 404, 422)
)
DEFAULT_SET: Final = WriteAnswers(applied={200: _shows_default}, refused=_refused_with(400, 403, 404, 422))
"""``PUT .../default-payment-method``. Its reply is not published: one without the customer is decided by the list."""
METHOD_DELETED: Final = WriteAnswers(applied={}, refused=_refused_with(400, 403), over=frozenset({404}))
"""``DELETE .../payment-methods/{uid}``. No reply is published, so the list decides; after a 404, conclusively."""
QUOTED: Final = WriteAnswers(
    applied=dict.fromkeys((200, 201), _has("uid", "processing_fee_amount", "total_amount")),
    refused=_refused_with(400, 403, 404, 422),
    over=frozenset(range(100, 600)),
)
"""``POST /api/payments``. It moves no money, so there is nothing to wait for."""
CAPTURED: Final = WriteAnswers(
    applied=dict.fromkeys((200, 201, 202), _has("status")), refused=_refused_with(400, 402, 403, 404, 422)
)
"""``POST /api/payments/{uid}/capture``. A conflict is no refusal: the payment may have been captured before."""
SESSION_CREATED: Final = WriteAnswers(
    applied=dict.fromkeys((200, 201), _has("session_id", "hosted_url")), refused=_refused_with(400, 403, 404, 422)
)
IMPORTED: Final = WriteAnswers(applied={200: _has("results")}, refused=_refused_with(400, 403, 404, 422))


def is_challenge(reply: VaultReply) -> bool:
    """Caselle's 401 has a code; that of an AWS gateway, which issues its tokens, has one of two messages."""
    body = body_of(reply)
    message = body.get("message") if isinstance(body, dict) else None
    return code_in(body) is not None or message in ("Unauthorized", "The incoming token has expired")


def refusal(reply: VaultReply, effect: Effect, missing: RejectReason) -> VaultError:
    """The error for an unsuccessful reply; `missing` is what a 404 means for this operation.

    A READ treats its customer as unknown only if the 404 names the customer: another server at the address, and a path
    that Caselle lacks, return 404 too.
    """
    body = body_of(reply)
    code = code_in(body)
    if reply.status == 408 and effect is Effect.READ:
        return VaultTimeout(NAME, provider_code=code)
    if names_our_account(reply):
        return VaultRefusedUs(NAME, provider_code=code, provider_request_id=request_id_of(reply))
    reason = _missing(code, missing) if reply.status == 404 else reason_of(reply.status, code)
    if effect is Effect.READ and reason is RejectReason.CUSTOMER_NOT_FOUND and not _names_customer(body, code):
        reason = RejectReason.CONTRACT
    return failed_reply(NAME, reply, effect, reason, code, faults_in(body))


def names_our_account(reply: VaultReply) -> bool:
    """True if the payment account in the settings does not exist, whatever was requested."""
    return reply.status == 404 and _OUR_ACCOUNT.search((code_in(body_of(reply)) or "").lower()) is not None


def code_in(body: Any) -> str | None:
    """The error's code: `code`, or `error` as a code or an object with one. Free text is no code."""
    if not isinstance(body, dict):
        return None
    inner = body.get("error")
    found = body.get("code") or (inner.get("code") if isinstance(inner, dict) else inner)
    return found if isinstance(found, str) and _CODE.fullmatch(found) else None


def faults_in(body: Any) -> list[FieldFault]:
    """`errors` with this model's field names, each once. The vault's texts may quote values and are not repeated."""
    paths = (_PATH_OF_LEAF.get(re.split(r"[.\]]", name)[-1]) for name in _fields_in(body))
    return [fault(*path, message="Caselle refuses this field.") for path in dict.fromkeys(p for p in paths if p)]


def _names_customer(body: Any, code: str | None) -> bool:
    """Decided by the error's code, or by its text if the code is unknown."""
    if code is not None and "customer" in code.lower():
        return True
    inner = body.get("error") if isinstance(body, dict) else None
    errors = [one for one in (body, inner) if isinstance(one, dict)]
    texts = [one.get(key) for one in errors for key in ("title", "detail", "message")]
    return any(isinstance(words, str) and _CUSTOMER.search(words) for words in [inner, *texts])


def _missing(code: str | None, missing: RejectReason) -> RejectReason:
    """The record that a 404 refers to, if its code says so, for calls that name a customer and a method."""
    if code and "customer" in code.lower():
        return RejectReason.CUSTOMER_NOT_FOUND
    return missing


def reason_of(status: int, code: str | None) -> RejectReason:
    """The reason for a status and a code. A code more specific than its status wins, except over 402."""
    if status == 402:
        return RejectReason.DECLINED
    spelled = (code or "").lower()
    for shape, reason in _REASON_OF_CODE:
        if shape.search(spelled):
            return reason
    return _REASON.get(status, RejectReason.CONTRACT)


def _fields_in(body: Any) -> Iterator[str]:
    """Names in `errors`: an object keyed by field, or a list of objects with `field`, `property` or `path`."""
    errors = body.get("errors") if isinstance(body, dict) else None
    if isinstance(errors, dict):
        yield from (name for name in errors if isinstance(name, str))
    elif isinstance(errors, list):
        for error in errors:
            named = (error.get(key) for key in ("field", "property", "path")) if isinstance(error, dict) else ()
            yield from (name for name in named if isinstance(name, str))
