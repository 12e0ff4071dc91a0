"""Problem documents. Only `insufficient_scope` is published; the rest is assumed."""

from collections.abc import Mapping
from enum import Enum
from typing import ClassVar
from uuid import uuid4

from app.sandbox.base import Json
from app.sandbox.json_api import SandboxRefusal


class CaselleProblem(Enum):
    """HTTP status, title, `code`, detail."""

    NO_BEARER = (401, "Unauthorized", "invalid_token", "The access token is missing, expired or unknown.")
    INSUFFICIENT_SCOPE = (403, "Forbidden", "insufficient_scope", "This credential cannot be used here.")
    NO_TENANT = (400, "Bad Request", "payment_account_required", "X-Payment-Account-Uid is required.")
    NO_SUCH_TENANT = (404, "Not Found", "payment_account_not_found", "No such payment account.")
    TENANT_INACTIVE = (403, "Forbidden", "payment_account_inactive", "The payment account is inactive.")
    NOT_JSON_TYPE = (415, "Unsupported Media Type", "unsupported_media_type", "The body must be application/json.")
    NOT_JSON = (400, "Bad Request", "invalid_json", "The body is not a JSON object.")
    UNKNOWN_PROPERTY = (400, "Bad Request", "unknown_property", "Unknown property")
    INVALID = (400, "Bad Request", "validation_failed", "One or more properties are invalid.")
    BAD_QUERY = (400, "Bad Request", "invalid_query", "The query cannot be read.")
    CUSTOMER_EXISTS = (409, "Conflict", "customer_exists", "reference_id already in use")
    NO_SUCH_CUSTOMER = (404, "Not Found", "customer_not_found", "No such customer.")
    NO_SUCH_METHOD = (404, "Not Found", "saved_payment_method_not_found", "No such saved payment method.")
    NO_SUCH_PAYMENT = (404, "Not Found", "payment_not_found", "No such payment.")
    NO_SUCH_SESSION = (404, "Not Found", "session_not_found", "No such hosted session.")
    NO_SUCH_PATH = (404, "Not Found", "not_found", "Not found.")
    WRONG_VERB = (405, "Method Not Allowed", "method_not_allowed", "Method not allowed.")
    TOKEN_EXPIRED = (422, "Unprocessable Content", "token_expired", "The token has expired.")
    TOKEN_INVALID = (422, "Unprocessable Content", "token_invalid", "The token is not valid here.")
    TYPE_DISABLED = (422, "Unprocessable Content", "payment_method_type_disabled", "Not enabled for this account.")
    AMOUNT_OUT_OF_RANGE = (422, "Unprocessable Content", "amount_out_of_range", "Outside the account's limits.")
    WRONG_WALLET_TYPE = (400, "Bad Request", "payment_method_type_mismatch", "The saved method is of another type.")
    PAYMENT_MISMATCH = (409, "Conflict", "payment_mismatch", "The capture does not repeat the validated payment.")
    PAYMENT_CLOSED = (409, "Conflict", "payment_not_capturable", "The payment was captured or failed before.")
    NOT_REFUNDABLE = (409, "Conflict", "payment_not_refundable", "Nothing that could be refunded.")
    DECLINED = (402, "Payment Required", "payment_declined", "The payment was declined.")
    SESSION_CLOSED = (409, "Conflict", "session_not_open", "The session was completed or expired.")
    TOO_MANY_ITEMS = (400, "Bad Request", "too_many_items", "At most 1000 items.")


class CaselleRefusal(SandboxRefusal):
    """The reply is a problem document; nothing is changed."""

    media_type: ClassVar[str] = "application/problem+json"

    def __init__(
        self, problem: CaselleProblem, detail: str = "", errors: Mapping[str, list[str]] | None = None
    ) -> None:
        status, title, self.code, usual = problem.value
        self.problem = problem
        self.detail = detail or usual
        self.errors = dict(errors or {})
        body: Json = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "code": self.code,
            "detail": self.detail,
            "trace_id": f"00-{uuid4().hex}-{uuid4().hex[:16]}-01",
            "errors": self.errors,
        }
        super().__init__(status, body)
