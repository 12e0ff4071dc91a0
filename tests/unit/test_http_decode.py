"""Content codings of reply bodies: supported and refused ones."""

import gzip
import zlib
from typing import Final

import pytest

from app.http.transports.base import Cause
from app.http.transports.decode import decoded
from app.http.transports.refused import ReplyRefused

LIMIT: Final = 50_000
TEXT: Final = b'{"a": 1}' * 50


def packed(text: bytes) -> bytes:
    return gzip.compress(text, mtime=0)


def raw_deflate(text: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "body", "expected"),
    [
        ("x-gzip", packed(TEXT), TEXT),
        (" X-GZip ", packed(TEXT), TEXT),
        ("gzip", packed(TEXT) + bytes(9), TEXT),
        ("gzip", packed(TEXT) + bytes(200_000), TEXT),
        ("gzip", packed(TEXT) + bytes(9) + packed(TEXT) + bytes(1), TEXT * 2),
        ("gzip", packed(TEXT) + bytes(70_000) + packed(TEXT), TEXT * 2),
        ("gzip", packed(b"") * 999 + packed(TEXT), TEXT),
        ("identity, gzip", packed(TEXT), TEXT),
        ("deflate, gzip", packed(zlib.compress(TEXT)), TEXT),
        ("deflate", zlib.compress(TEXT) + bytes(9), TEXT),
        ("deflate", raw_deflate(b"\0" * 3), b"\0" * 3),
        (
            "deflate",
            b"\x08\x05\x00\xfa\xffhello\x01\x00\x00\xff\xff",
            b"hello",
        ),  # raw, starts like a zlib header
        ("gzip", bytes(9), Cause.TRUNCATED),
        ("gzip", packed(TEXT) + b"\0junk", Cause.TRUNCATED),
        ("gzip", packed(TEXT) + packed(TEXT)[:9], Cause.TRUNCATED),
        ("gzip", packed(bytes(LIMIT)) + packed(b"1"), Cause.TOO_LARGE),
        ("deflate, gzip", packed(zlib.compress(bytes(50_000_000))), Cause.TOO_LARGE),
        ("gzip", packed(b"") * 1_001, Cause.UNREADABLE),
        ("gzip,gzip,gzip,gzip", TEXT, Cause.UNREADABLE),
        ("gzip, br", TEXT, Cause.UNREADABLE),
    ],
)
def test_content_codings(coding: str, body: bytes, expected: bytes | Cause) -> None:
    if isinstance(expected, bytes):
        assert decoded(body, coding, LIMIT) == expected
        return
    with pytest.raises(ReplyRefused) as caught:
        decoded(body, coding, LIMIT)
    assert caught.value.cause is expected


@pytest.mark.parametrize("cut", range(1, 40))
def test_decoding_works_for_any_chunk_boundary(cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.http.transports.decode._WINDOW", cut)
    body = packed(TEXT) + bytes(7) + packed(TEXT) + bytes(3)
    assert decoded(body, "gzip", LIMIT) == TEXT * 2
    with pytest.raises(ReplyRefused):
        decoded(body[:-12], "gzip", LIMIT)
