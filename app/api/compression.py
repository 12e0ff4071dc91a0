"""gzip for responses that are large enough and hold no secrets.

Compressing a secret together with attacker-chosen text reveals it through the length (BREACH). Only query responses are
compressed: browser credentials (hosted sessions, tokenization) occur in mutation responses, and no response repeats
request headers. Streams are not compressed.
"""

import asyncio
import zlib
from dataclasses import replace
from typing import Final

from app.api.response import HttpResponse

_LEVEL: Final = 4
_BESIDE_FROM: Final = 128_000  # larger bodies take milliseconds, so a thread compresses them


def takes_gzip(accept_encoding: str) -> bool:
    """True if the header accepts gzip (or any coding) with a quality above zero."""
    if "gzip" not in accept_encoding and "*" not in accept_encoding:
        return False
    qualities: dict[str, bool] = {}
    for part in accept_encoding.lower().split(","):
        coding, _, parameter = part.partition(";")
        quality = parameter.replace(" ", "")
        qualities[coding.strip()] = not (quality.startswith("q=0") and not quality.strip("q=0."))
    return qualities.get("gzip", qualities.get("*", False))


async def compressed(answer: HttpResponse, accept_encoding: str, from_bytes: int) -> HttpResponse:
    """The response as it should be sent. `from_bytes` 0 disables compression."""
    if not answer.is_open or not from_bytes or len(answer.body) < from_bytes or not takes_gzip(accept_encoding):
        return answer
    if len(answer.body) >= _BESIDE_FROM:
        body = await asyncio.to_thread(_gzip, answer.body)
    else:
        body = _gzip(answer.body)
    return replace(answer, body=body, headers={**answer.headers, "content-encoding": "gzip"})


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()
