"""LoanPro's error replies: mostly 409, 401 for headers, 404 only for unknown endpoints ("Response Codes")."""

from collections.abc import Sequence

from app.sandbox.base import Json


class LoanProRefusal(Exception):
    """Carries the HTTP reply. Raised before any change."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(f"refused with {status}")
        self.status = status
        self.body = body


def entity_error(text: str, status: int = 409, kind: str = "EntityException") -> LoanProRefusal:
    """The LMS error; `text` never quotes the request."""
    return LoanProRefusal(
        status, {"error": {"message": {"lang": "en-US", "value": text}, "type": kind, "code": status}}
    )


def transaction_warnings(warnings: Sequence[str]) -> LoanProRefusal:
    """Possible duplicates; `warnings` sits beside `error` (LoanPro, "Transaction Warnings")."""
    error = {"message": "Transaction warnings found.", "type": "TransactionWarningException", "code": 500}
    return LoanProRefusal(409, {"error": error, "warnings": list(warnings)})


def unauthorized(reason: str) -> LoanProRefusal:
    context = {"ip": "", "uri": "/authorize", "user_id": 1, "errors": [reason]}
    return LoanProRefusal(401, {"code": "401-CN0001", "message": "Unauthorized", "context": context})


def vault_error(status: int, message: str, *errors: str) -> LoanProRefusal:
    """Secure Payments' error: a context and a message."""
    return LoanProRefusal(status, {"message": message, "context": {"errors": list(errors) or [message]}})
