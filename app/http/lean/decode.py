"""Content codings of a whole body, with a limit on what comes out."""

import zlib
from typing import Final

from app.http.lean.refused import Refused
from app.http.transport import Cause

_GZIP: Final = 16 + zlib.MAX_WBITS
_UNDECODABLE: Final = frozenset({"br", "zstd"})


def decoded(body: bytes, coding: str, limit: int) -> bytes:
    """`body` without its content coding; codings nobody has heard of leave it as it is, as with aiohttp.

    Raises `Refused`: TOO_LARGE past `limit` bytes, TRUNCATED for a stream that is broken or ends early.
    """
    coding = coding.strip().lower()
    if coding in _UNDECODABLE:
        raise Refused(Cause.UNREADABLE)
    if not body or coding not in ("gzip", "deflate"):
        return body
    try:
        return _inflated(body, _GZIP if coding == "gzip" else _deflate_kind(body), limit)
    except zlib.error:
        raise Refused(Cause.TRUNCATED) from None


def _deflate_kind(body: bytes) -> int:
    """RFC 9110 §8.4.1.2 means zlib's format; some servers send raw deflate, which never starts like it."""
    return zlib.MAX_WBITS if body[0] & 0xF == 8 else -zlib.MAX_WBITS


def _inflated(body: bytes, window: int, limit: int) -> bytes:
    """Every member: a gzip body may have several (RFC 1952 §2.2)."""
    found = bytearray()
    while body:
        member = zlib.decompressobj(window)
        found += member.decompress(body, limit + 1 - len(found))
        if len(found) > limit:
            raise Refused(Cause.TOO_LARGE)
        if not member.eof:
            raise Refused(Cause.TRUNCATED)
        body = member.unused_data
    return bytes(found)
