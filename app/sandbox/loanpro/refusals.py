"""LoanPro's error replies: mostly 409, 401 for headers, 404 only for unknown endpoints ("Response Codes")."""

from collections.abc import Sequence

from app.sandbox.json_api import SandboxRefusal


def entity_error(text: str, status: int = 409, kind: str = "EntityException") -> SandboxRefusal:
    """The LMS error; `text` never quotes the request."""
    return SandboxRefusal(
        status, {"error": {"message": {"lang": "en-US", "value": text}, "type": kind, "code": status}}
    )


def transaction_warnings(warnings: Sequence[str]) -> SandboxRefusal:
    """Possible duplicates; `warnings` sits beside `error` (LoanPro, "Transaction Warnings")."""
    error = {"message": "Transaction warnings found.", "type": "TransactionWarningException", "code": 500}
    return SandboxRefusal(409, {"error": error, "warnings": list(warnings)})


def unauthorized(reason: str) -> SandboxRefusal:
    context = {"ip": "", "uri": "/authorize", "user_id": 1, "errors": [reason]}
    return SandboxRefusal(401, {"code": "401-CN0001", "message": "Unauthorized", "context": context})


def vault_error(status: int, message: str, *errors: str) -> SandboxRefusal:
    """Secure Payments' error: a context and a message."""
    return SandboxRefusal(status, {"message": message, "context": {"errors": list(errors) or [message]}})
