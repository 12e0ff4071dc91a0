"""Maps LoanPro's replies to writes and its refusals to typed outcomes. Pure."""

import re
from typing import Any, Final

from app.errors import FieldFault, RejectReason, VaultError
from app.http.message import Effect, VaultReply
from app.providers.base import body_of, failed_reply, fault
from app.providers.loanpro.mapping import NAME
from app.providers.write_outcome import WriteAnswers

_CODE: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_MISSING: Final = re.compile(r"not found|not exist|n't exist|unknown|no such|could ?n.t find|unable to find", re.I)
_FIELDS: Final = (
    ("e-?mail", ("email",)),
    ("address", ("address",)),
    ("phone", ("phone",)),
    ("first ?name", ("name", "first")),
    ("last ?name", ("name", "last")),
    ("title", ("title",)),
    ("account ?type", ("account_type",)),
)


def _is_record(body: Any) -> bool:
    """ "Success is 200 and a root `d`", which is the customer."""
    return isinstance(body["d"], dict) and bool(body["d"]) and "error" not in body["d"]


def _is_error(body: Any) -> bool:
    error = (body.get("d") or body)["error"]
    return isinstance(error, dict) and isinstance(error["message"], str | dict)


WRITTEN: Final = WriteAnswers(applied={200: _is_record, 201: _is_record}, refused={409: _is_error})
"""Every write is a POST or PUT of a customer. Sources: 'Response Codes', 'Transaction Warnings'."""


def is_challenge(reply: VaultReply) -> bool:
    """The 401 of its page 'Response Codes': ``{"code": "401-CN0001", "message": "Unauthorized", ...}``."""
    _, code = _read_error(reply)
    return code is not None and code.startswith("401-")


def refusal(reply: VaultReply, effect: Effect, *, missing: RejectReason | None = None) -> VaultError:
    """The error for an unsuccessful reply. LoanPro uses 409 for nearly everything, so its words decide.

    `missing` is the meaning of a 409 to a call that names one record by id: LoanPro has no 404 for records. Words are
    matched, never stored. Sources: 'Response Codes', 'Transaction Warnings'.
    """
    explanation, code = _read_error(reply)
    if reply.status != 409:
        return failed_reply(NAME, reply, effect, RejectReason.CONTRACT, code)
    if missing is not None:
        is_theirs = bool(explanation) or code is not None  # another server's 409 says nothing about the record
        return failed_reply(NAME, reply, effect, missing if is_theirs else RejectReason.CONTRACT, code)
    reason, faults = _judge(explanation, code)
    return failed_reply(NAME, reply, effect, reason, code, faults)


def _judge(explanation: str, code: str | None) -> tuple[RejectReason, list[FieldFault]]:
    if code == "TransactionWarningException" or "already found in the system" in explanation:
        return RejectReason.DUPLICATE_CUSTOMER, []
    words = explanation.lower()
    if "token" in words:
        return RejectReason.TOKEN_INVALID, [fault("secret", message="The vault does not accept this token.")]
    if _MISSING.search(explanation):
        is_profile = re.search("payment ?account|profile", words)
        return RejectReason.METHOD_NOT_FOUND if is_profile else RejectReason.CUSTOMER_NOT_FOUND, []
    if re.search(r"\b(primary|secondary)\b(?! ?address)", words):
        return RejectReason.CONFLICT, []
    named = next((path for pattern, path in _FIELDS if re.search(pattern, words)), None)
    faults = [fault(*named, message="The vault does not accept it.")] if named else []
    return RejectReason.INVALID_INPUT, faults


def _read_error(reply: VaultReply) -> tuple[str, str | None]:
    """The message and the stable code of an error body: `error.type`, or `code` of the header errors.

    `error.message` is text or `{value}`; the whole may be wrapped in `d`; `warnings` are next to `error`.
    """
    body = body_of(reply)
    body = body.get("d", body) if isinstance(body, dict) else {}
    error = body.get("error") if isinstance(body, dict) else None
    error = error if isinstance(error, dict) else body if isinstance(body, dict) else {}
    message = error.get("message")
    message = message.get("value") if isinstance(message, dict) else message
    warnings = body.get("warnings") if isinstance(body, dict) else None
    explanation = [message, *(warnings if isinstance(warnings, list) else [])]
    code = error.get("type") or error.get("code")
    is_code = isinstance(code, str) and _CODE.fullmatch(code)
    return " ".join(part for part in explanation if isinstance(part, str))[:2000], code if is_code else None
