"""Error replies.

Published: the body shapes, 400 `MP_REQ_001`, and 401's `adfsError` (Consumer Profile Management OpenAPI 2.4.2 and its
response-code page). All other codes and statuses are assumed, and defined only in this table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from app.sandbox.base import Json
from app.sandbox.json_api import SandboxRefusal


class Rule(Enum):
    """HTTP status, `responseCode`, `responseMessage`."""

    INVALID = (400, "MP_REQ_001", "Invalid request parameter")
    NO_SUCH_PROFILE = (404, "PROFILE_NOT_FOUND", "Consumer profile not found")
    NO_SUCH_METHOD = (404, "PAYMENT_METHOD_NOT_FOUND", "Payment method not found")
    NO_SUCH_ADDRESS = (404, "ADDRESS_NOT_FOUND", "Address not found")
    NO_SUCH_COMMUNICATION = (404, "COMMUNICATION_NOT_FOUND", "Communication not found")
    NO_AUTHENTICATION = (404, "AUTHENTICATION_NOT_FOUND", "No authentication for this payment method")
    NO_SUCH_FILE = (404, "FILE_NOT_FOUND", "File not found")
    NO_SUCH_PATH = (404, "NOT_FOUND", "Not found")
    WRONG_VERB = (405, "METHOD_NOT_ALLOWED", "Method not allowed")
    MERCHANT_NOT_ENTITLED = (403, "MERCHANT_NOT_ENTITLED", "Not entitled to this merchant")
    KIND_NOT_ENTITLED = (400, "NOT_ENTITLED", "The merchant is not entitled to this payment method")
    PROFILE_INACTIVE = (400, "PROFILE_INACTIVE", "The consumer profile is inactive")
    METHOD_INACTIVE = (400, "PAYMENT_METHOD_INACTIVE", "The payment method is inactive")
    CARDS_ONLY = (400, "CARDS_ONLY", "Authentication applies to cards only")
    ADDRESS_IN_USE = (400, "ADDRESS_IN_USE", "A payment method uses this address")


@dataclass(frozen=True, slots=True)
class ValidationFault:
    """One invalid field; `entity` is its path in the body, e.g. ``cardList[0].cardType``."""

    entity: str
    message: str


class JpMorganRefusal(SandboxRefusal):
    """The reply is a `messages` body; nothing is changed."""

    def __init__(self, rule: Rule, faults: Sequence[ValidationFault] = ()) -> None:
        status, code, message = rule.value
        body: Json = {"responseStatus": "ERROR", "responseCode": code, "responseMessage": message}
        if faults:
            body["validationErrors"] = [
                {"code": Rule.INVALID.value[1], "message": fault.message, "entity": fault.entity} for fault in faults
            ]
        super().__init__(status, body)


def check(faults: Sequence[ValidationFault]) -> None:
    if faults:
        raise JpMorganRefusal(Rule.INVALID, faults)


def invalid(entity: str, message: str) -> JpMorganRefusal:
    return JpMorganRefusal(Rule.INVALID, [ValidationFault(entity, message)])


ADFS_ERROR: Final[Json] = {
    "errorSource": "APG-EDGE",
    "errorCode": "EDG00012",
    "errorDescription": "the signature could not be verified",
}
