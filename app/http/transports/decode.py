"""Decodes content codings of a whole body, with a limit on the decoded size."""

import zlib
from typing import Final

from app.http.transports.base import Cause
from app.http.transports.refused import ReplyRefused

_GZIP: Final = 16 + zlib.MAX_WBITS
_GZIP_NAMES: Final = frozenset({"gzip", "x-gzip"})  # RFC 9110 §8.4.1.3: the same coding
_UNDECODABLE: Final = frozenset({"br", "zstd"})
_MAX_CODINGS: Final = 3
_MAX_MEMBERS: Final = 1000
_WINDOW: Final = 65_536


def decoded(body: bytes, codings: str, limit: int) -> bytes:
    """`body` without its content codings; unknown codings are ignored.

    Raises `ReplyRefused`: TOO_LARGE above `limit` bytes, TRUNCATED for a corrupt or incomplete stream.
    """
    names = [name.strip().lower() for name in codings.split(",")]
    if len(names) > _MAX_CODINGS or not _UNDECODABLE.isdisjoint(names):
        raise ReplyRefused(Cause.UNREADABLE)
    for name in reversed(names):  # the last one was applied last: RFC 9110 §8.4
        if not body or (name != "deflate" and name not in _GZIP_NAMES):
            continue
        try:
            body = _inflated(body, _deflate_kind(body) if name == "deflate" else _GZIP, limit)
        except zlib.error:
            raise ReplyRefused(Cause.TRUNCATED) from None
    return body


def _deflate_kind(body: bytes) -> int:
    """zlib format (RFC 9110 §8.4.1.2), or raw deflate without its header (RFC 1950 §2.2), which some servers send."""
    is_zlib = body[0] & 0xF == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS


def _inflated(body: bytes, window: int, limit: int) -> bytes:
    """Decompress every member: a gzip body may have several (RFC 1952 §2.2), each padded with zeros as `gzip` allows.

    Works in pieces: zlib copies all input after a member's end, so whole-body input would be quadratic in members.
    """
    found = bytearray()
    member, members, is_between = zlib.decompressobj(window), 1, False
    for start in range(0, len(body), _WINDOW):
        piece = body[start : start + _WINDOW]
        while piece:
            if is_between:
                if not (piece := piece.lstrip(b"\0")):
                    break
                member, members, is_between = zlib.decompressobj(window), members + 1, False
                if members > _MAX_MEMBERS:
                    raise ReplyRefused(Cause.UNREADABLE)
            found += member.decompress(piece, limit + 1 - len(found))
            if len(found) > limit:
                raise ReplyRefused(Cause.TOO_LARGE)
            piece, is_between = member.unused_data, member.eof
    if not is_between:
        raise ReplyRefused(Cause.TRUNCATED)
    return bytes(found)
