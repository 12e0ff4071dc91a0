"""gzip for clients that accept it, where it pays and gives nothing away.

Compressing a secret together with text that an attacker chooses lets the length tell the secret (BREACH). So only
answers to queries are compressed: browser credentials (hosted sessions, tokenization) are answers to mutations, and
no answer repeats what a request's headers said. Streams are not compressed.
"""

import asyncio
import zlib
from dataclasses import replace
from typing import Final

from app.gate.answers import Answer

_LEVEL: Final = 4
_BESIDE_FROM: Final = 128_000  # from here on it takes milliseconds: another thread's, not the loop's


def takes_gzip(accept_encoding: str) -> bool:
    """Whether the header names gzip, or anything, with a quality above zero."""
    if "gzip" not in accept_encoding and "*" not in accept_encoding:
        return False
    qualities: dict[str, bool] = {}
    for part in accept_encoding.lower().split(","):
        coding, _, parameter = part.partition(";")
        quality = parameter.replace(" ", "")
        qualities[coding.strip()] = not (quality.startswith("q=0") and not quality.strip("q=0."))
    return qualities.get("gzip", qualities.get("*", False))


async def compressed(answer: Answer, accept_encoding: str, from_bytes: int) -> Answer:
    """The answer as it should be sent. `from_bytes` 0 turns compression off."""
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
