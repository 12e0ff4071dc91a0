"""gzip for responses that are large enough and hold no secrets.

Compressing a secret together with attacker-chosen text reveals it through the length (BREACH). Only query responses are
compressed: browser credentials (hosted sessions, tokenization) occur in mutation responses, and no response repeats
request headers. Streams are not compressed. Starlette's middleware therefore wraps single responses, not the endpoint;
it costs 28 Python calls, also for clients without gzip.
"""

import re
from collections.abc import Sequence
from typing import Final

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.response import HttpResponse

Headers = Sequence[tuple[bytes, bytes]]

_LEVEL: Final = 4
_REFUSED: Final = re.compile(rb"gzip\s*;\s*q=0(\.0*)?\s*(,|$)", re.IGNORECASE)  # Starlette ignores qualities


async def send_compressed(
    answer: HttpResponse, extra: Headers, from_bytes: int, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send `answer`, compressed unless the client refuses gzip."""

    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        await answer.send(send, extra)

    app: ASGIApp = GZipMiddleware(plain, minimum_size=from_bytes, compresslevel=_LEVEL)
    if any(name == b"accept-encoding" and _REFUSED.search(value) for name, value in scope["headers"]):
        app = plain
    await app(scope, receive, send)
