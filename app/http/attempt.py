"""One attempt at a vault call: what is sent, and what its failure means."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from app.errors import VaultError
from app.http.breaker import CallVerdict
from app.http.message import FixedHeaders, VaultReply

_REQUEST_ID_HEADERS: Final = ("x-request-id", "request-id", "x-amzn-requestid", "x-correlation-id")


class PreparedRequest(msgspec.Struct):
    """A request ready to send, shared by all attempts. `own`: the headers of this call; `fixed`: all others, if they
    are constant; else `headers` are all."""

    url: str
    headers: Mapping[str, str]
    body: bytes | None
    own: Mapping[str, str]
    fixed: FixedHeaders | None = None


class FailedAttempt(Exception):
    """One attempt's failure, and whether it may be retried. Never raised."""

    def __init__(self, error: VaultError, *, may_retry: bool) -> None:
        super().__init__()
        self.error = error
        self.may_retry = may_retry


def verdict_of(status: int) -> CallVerdict:
    if status >= 500:
        return CallVerdict.BAD
    return CallVerdict.GOOD if status != 429 else CallVerdict.NONE


def request_id_in(reply: VaultReply) -> str | None:
    headers: Mapping[str, Any] = reply.headers
    return next((headers[name][:128] for name in _REQUEST_ID_HEADERS if name in headers), None)
