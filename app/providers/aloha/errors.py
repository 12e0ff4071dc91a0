"""Maps Aloha's replies to writes and its refusals to typed outcomes. Pure."""

import re
from typing import Any, Final

from app.errors import RejectReason, VaultError
from app.http.message import Effect, VaultReply
from app.providers.aloha.mapping import NAME, to_customer_ref, to_guid_answer
from app.providers.base import body_of, failed_reply, fault
from app.providers.write_outcome import WriteAnswers

_CODE: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_FIELDS: Final = {
    "customerid": (),
    "providertype": ("payment_provider",),
    "maskedcardnumber": ("masked_card_number",),
    "expirationdate": ("expiry",),
    "cardtoken": ("secret",),
    "cardtype": ("brand",),
    "accountnumber": ("secret",),
    "paymentmethodtype": ("brand",),
    "cardholdername": ("holder_name",),
    "email": ("email",),
    "firstname": ("name", "first"),
    "lastname": ("name", "last"),
    "voicephone": ("phone",),
}


def _is_guid(body: Any) -> bool:
    return bool(to_guid_answer(body))


def _is_customer(body: Any) -> bool:
    return bool(to_customer_ref(body))


_REFUSALS: Final = frozenset({"badrequest", "therequestisinvalid", "notfound", "duplicatekey"})
"""The names that mean a refusal, and ASP.NET's text for one. ``InternalServerError`` and ``Error`` say that Aloha
failed, whatever the status."""


def _is_error(body: Any) -> bool:
    """ASP.NET's error shape: the help pages give names of errors but no body. Named fields mean a refusal too."""
    state = body.get("ModelState")
    return _squeezed(body["Message"]) in _REFUSALS or (isinstance(state, dict) and bool(state))


def _squeezed(message: str) -> str:
    return re.sub(r"[\s.]", "", message).lower()


def _is_duplicate(body: Any) -> bool:
    return bool(body["Message"].strip() == "DuplicateKey")


TOKEN_ADDED: Final = WriteAnswers(applied={200: _is_guid, 201: _is_guid}, refused={400: _is_error})
"""``PUT v1/Customers/Payment/Token`` and ``POST v1/Customers/{customerId}/Payments``: a GUID, else BadRequest,
InternalServerError or Error."""
CUSTOMER_CREATED: Final = WriteAnswers(
    applied={200: _is_customer, 201: _is_customer}, refused={400: _is_error, 409: _is_duplicate}
)
"""``PUT v1/Customers``: ``CustomerResults``, else BadRequest or DuplicateKey."""


def refusal(reply: VaultReply, effect: Effect) -> VaultError:
    """The error for an unsuccessful reply. The body is unpublished; ASP.NET's `Message` and `ModelState` are read.

    Its words are matched, never stored: faults use this model's field names and messages.
    """
    message, fields, code = _read_error(reply)
    named = set(fields)
    faults = [
        fault(*_FIELDS[name], message="The vault does not accept it.")
        for name in dict.fromkeys(fields)
        if _FIELDS[name]
    ]
    reason = _reason(reply.status, message, named)
    return failed_reply(NAME, reply, effect, reason, code, faults if reason is not RejectReason.CONTRACT else ())


def _reason(status: int, message: str, named: set[str]) -> RejectReason:
    if "duplicatekey" in message and status in (400, 409):
        return RejectReason.DUPLICATE_CUSTOMER
    if (status == 404 and "notfound" in message) or (status == 400 and "customerid" in named):
        return RejectReason.CUSTOMER_NOT_FOUND
    if status == 409:
        return RejectReason.CONFLICT
    if status != 400:
        return RejectReason.CONTRACT
    if named == {"providertype"}:
        return RejectReason.NOT_ENABLED
    return RejectReason.TOKEN_INVALID if named == {"cardtoken"} else RejectReason.INVALID_INPUT


def _read_error(reply: VaultReply) -> tuple[str, list[str], str | None]:
    """`Message` without blanks in lower case, the known fields of `ModelState`, and a code if `Message` is one."""
    body = body_of(reply)
    if isinstance(body, str):
        body = {"Message": body}
    if not isinstance(body, dict):
        return "", [], None
    message, state = body.get("Message"), body.get("ModelState")
    message = message.strip() if isinstance(message, str) else ""
    leaves = [str(key).rsplit(".", 1)[-1].lower() for key in state] if isinstance(state, dict) else []
    code = message if _CODE.fullmatch(message) else None
    return re.sub(r"\s", "", message).lower(), [leaf for leaf in leaves if leaf in _FIELDS], code
