"""The lean transport's reply parser: at least as strict as llhttp, for any chunk boundaries."""

import asyncio
import gzip
import zlib
from collections import deque
from collections.abc import Iterable
from itertools import pairwise
from unittest.mock import Mock

import httptools
import pytest
from aiohttp import http_parser
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.http.transports.base import Cause
from app.http.transports.lean.reader import MAX_HEAD_BYTES, ReplyReader
from app.http.transports.refused import ReplyRefused

LIMIT = 10_000
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"

Found = tuple[int, bytes]


class Oracle:
    """Reference: plain httptools in its default (strict) mode; yields the first reply that is not a 1xx."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self.found: Found | None = None
        self.is_in_body = False

    def on_headers_complete(self) -> None:
        self.is_in_body = True

    def on_body(self, data: bytes) -> None:
        if self.found is None:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and self.found is None:
            self.found = (status, b"".join(self._parts))
        self.is_in_body = False

    def feed(self, data: bytes) -> bool:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return True


def read(pieces: Iterable[bytes], limit: int = LIMIT) -> tuple[Found | None, bytes]:
    """The reply, or None if it is incomplete, and the bytes consumed. Raises `ReplyRefused`."""
    reader, seen = ReplyReader(limit), b""
    for piece in pieces:
        seen += piece
        if reader.feed(piece):
            found = reader.reply()
            return (found.status, found.body), seen
    return None, seen


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


WHOLE: list[tuple[bytes, Found]] = [
    (OK + b"content-length: 5\r\n\r\nhello", (200, b"hello")),
    (OK + b"Content-Length:5 \t\r\nX-Empty:\r\n\r\nhello", (200, b"hello")),
    (OK + b"content-length: 0\r\n\r\n", (200, b"")),
    (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", (200, b"hello")),
    (CHUNKED + b"2;a=b\r\nhe\r\n003\r\nllo\r\n0\r\nX-Trailer: 1\r\ntransfer-encoding: x\r\n\r\n", (200, b"hello")),
    (OK + b"Transfer-Encoding: CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", (200, b"0123456789")),
    (b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nlink: x\r\n\r\n" + OK + b"content-length: 1\r\n\r\nx", (200, b"x")),
    (b"HTTP/1.0 404 No\r\ncontent-length: 2\r\n\r\n{}", (404, b"{}")),
    (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
    (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", (304, b"")),
    (b"HTTP/1.1 503 \r\nconnection: close\r\ncontent-length: 1\r\n\r\nx", (503, b"x")),
    (OK + b"content-encoding: gzip\r\ncontent-length: 25\r\n\r\n" + gzip.compress(b"hello", mtime=0), (200, b"hello")),
]  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), WHOLE)
def test_a_reply_is_the_same_for_any_chunk_boundaries(data: bytes, expected: Found) -> None:
    assert read([data]) == (expected, data)
    assert read(one_by_one(data)) == (expected, data)
    for at in range(1, len(data)):
        assert read([data[:at], data[at:]]) == (expected, data)
        assert read([data[:at]])[0] is None


REFUSED_BY_LLHTTP = [
    OK + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
    OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    OK + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    OK + b"transfer-encoding: identity\r\ncontent-length: 1\r\n\r\nx",
    OK + b"content-length: 5, 5\r\n\r\nhello",
    OK + b"content-length: -5\r\n\r\nhello",
    OK + b"content-length: +5\r\n\r\nhello",
    OK + b"content-length: 0x5\r\n\r\nhello",
    OK + b"content-length: 5 5\r\n\r\nhello",
    OK + b"content-length:\r\n\r\nhello",
    OK + b"content-length: 99999999999999999999999\r\n\r\nhello",
    OK + b"content-length : 5\r\n\r\nhello",
    OK + b"content-length\t: 5\r\n\r\nhello",
    OK + b"content length: 5\r\n\r\nhello",
    OK + b" content-length: 5\r\n\r\nhello",
    OK + b"x: a\r\n b\r\ncontent-length: 5\r\n\r\nhello",
    OK + b"x: a\r\n\tcontent-length: 9\r\ncontent-length: 5\r\n\r\nhello",
    OK + b"content-length: 5\r\n 0\r\n\r\nhello",
    b"HTTP/1.1 200 OK\ncontent-length: 5\n\nhello",
    OK + b"content-length: 5\n\r\nhello",
    OK + b"content-length: 5\r\n\nhello",
    OK + b"x: a\rcontent-length: 9\r\ncontent-length: 5\r\n\r\nhello",
    OK + b"x: a\x00b\r\ncontent-length: 5\r\n\r\nhello",
    OK + b"x\x00: a\r\ncontent-length: 5\r\n\r\nhello",
    OK + b": a\r\ncontent-length: 5\r\n\r\nhello",
    OK + b"no colon\r\ncontent-length: 5\r\n\r\nhello",
    CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n",
    CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"g\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"5\nhello\r\n0\r\n\r\n",
    CHUNKED + b"5\r\nhello0\r\n\r\n",
    CHUNKED + b"5\r\nhello\n0\r\n\r\n",
    CHUNKED + b"4\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"5\r\nhello\r\n0\r\nx : 1\r\n\r\n",
    b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 -20 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1  200 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/11 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"http/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    OK + b"transfer-encoding:\r\n\r\nx",
    b"HTTP/1.1 102 P\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + OK + b"content-length: 0\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


@pytest.mark.parametrize("data", REFUSED_BY_LLHTTP)
def test_what_llhttp_refuses_is_refused(data: bytes) -> None:
    assert not Oracle().feed(data), "the sample proves nothing: llhttp takes it"
    for pieces in ([data], one_by_one(data), [data[:20], data[20:]]):
        with pytest.raises(ReplyRefused) as caught:
            read(pieces)
        assert caught.value.cause is Cause.UNREADABLE


REFUSED_BY_US = [
    OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    OK + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    OK + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    OK + b"transfer-encoding: identity\r\n\r\nx",
    OK + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    OK + b"transfer-encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/0.9 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 103 E\r\ntransfer-encoding: chunked\r\n\r\n",
    b"HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\ncontent-length: 3\r\n\r\n" + OK + b"content-length: 0\r\n\r\n",
    b"\r\n" + OK + b"content-length: 0\r\n\r\n",
    b"ICE/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"RTSP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
]


@pytest.mark.parametrize("data", REFUSED_BY_US)
def test_ambiguous_replies_are_refused(data: bytes) -> None:
    assert Oracle().feed(data), "llhttp refuses it: it belongs in the list above"
    for pieces in ([data], one_by_one(data)):
        with pytest.raises(ReplyRefused):
            read(pieces)


@pytest.mark.parametrize("surplus", [b"x", OK, OK + b"content-length: 0\r\n\r\n", b"HTTP/1.1 100 C\r\n\r\n", b"\x00"])
def test_a_reply_with_surplus_data_is_refused(surplus: bytes) -> None:
    for data, _ in WHOLE:
        with pytest.raises(ReplyRefused):
            read([data + surplus])
        with pytest.raises(ReplyRefused):
            read([data[:-1], data[-1:] + surplus])


def test_a_reply_to_head_has_no_body_despite_its_headers() -> None:
    for head in (
        b"content-length: 5\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n",
        b"\r\n",
        b"content-length: 0\r\n\r\n",
    ):
        reader = ReplyReader(LIMIT)
        reader.expect(is_bodiless=True)
        assert reader.feed(b"HTTP/1.1 100 Continue\r\n\r\n") is False
        assert reader.feed(OK + head) is True
        assert (reader.reply().status, reader.reply().body, reader.may_keep) == (200, b"", False)
    reader = ReplyReader(LIMIT)
    reader.expect(is_bodiless=True)
    with pytest.raises(ReplyRefused):
        reader.feed(OK + b"content-length: 5\r\n\r\nhello")


def test_only_a_reply_without_a_length_ends_with_its_connection() -> None:
    for data, expected in (
        (OK + b"\r\nhel", True),
        (OK + b"content-length: 9\r\n\r\nhel", False),
        (CHUNKED + b"5\r\nhel", False),
        (OK + b"x: 1\r\n", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False),
    ):
        reader = ReplyReader(LIMIT)
        assert reader.feed(data) is False
        assert reader.ends_with_connection() is expected, data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (OK + b"content-length: 0\r\n\r\n", True),
        (OK + b"connection: close\r\ncontent-length: 0\r\n\r\n", False),
        (OK + b"connection: x, Close\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n", True),
        (b"HTTP/1.1 204 No\r\n\r\n", True),
    ],
)
def test_keep_alive(data: bytes, expected: bool) -> None:
    reader = ReplyReader(LIMIT)
    assert reader.feed(data)
    assert reader.may_keep is expected


def test_a_reader_is_reusable_for_further_replies() -> None:
    reader = ReplyReader(LIMIT)
    for data, expected in WHOLE * 2:
        reader.expect(is_bodiless=False)
        assert reader.feed(data)
        found = reader.reply()
        assert (found.status, found.body) == expected
        if not reader.may_keep:
            reader = ReplyReader(LIMIT)


def test_headers_are_lower_case_and_without_padding() -> None:
    reader = ReplyReader(LIMIT)
    reader.feed(OK + b"X-One: a \t\r\nx-two:  \xc3\xa9\xff\r\nX-ONE: b\r\ncontent-length: 0\r\n\r\n")
    assert reader.reply().headers == {"x-one": "b", "x-two": "\u00e9\udcff", "content-length": "0"}


BIG = b"a" * (MAX_HEAD_BYTES + 1)
HALF_A_HEAD = CHUNKED.removesuffix(b"\r\n") + b"x: " + b"a" * 40_000 + b"\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        OK + b"x: " + BIG + b"\r\ncontent-length: 0\r\n\r\n",
        OK + b"".join(b"x%d: 1\r\n" % number for number in range(9_000)) + b"content-length: 0\r\n\r\n",
        OK + BIG + b": 1\r\ncontent-length: 0\r\n\r\n",
        OK + b"x: 1\r\n" * 13_000 + b"content-length: 0\r\n\r\n",
        b"HTTP/1.1 103 E\r\nlink: 12345\r\n\r\n" * 9_000 + OK + b"content-length: 0\r\n\r\n",
        CHUNKED + b"1\r\nx\r\n0\r\nt: " + BIG + b"\r\n\r\n",
        CHUNKED + b"1\r\nx\r\n0\r\n" + b"t: 1234\r\n" * 9_000 + b"\r\n",
        HALF_A_HEAD + b"1\r\nx\r\n0\r\n" + b"t: 1234\r\n" * 4_500 + b"\r\n",
        b"HTTP/1.1 103 E\r\nlink: 12345\r\n\r\n" * 3_000 + HALF_A_HEAD + b"0\r\n\r\n",
    ],
)
def test_heads_and_trailers_are_limited_for_any_chunk_boundaries(data: bytes) -> None:
    for size in (len(data), 60_000, 1_000):
        with pytest.raises(ReplyRefused) as caught:
            read(data[at : at + size] for at in range(0, len(data), size))
        assert caught.value.cause is Cause.UNREADABLE


@pytest.mark.parametrize(
    "endless", [OK + b"x: ", b"HTTP/1.1 200 ", OK, CHUNKED + b"1;", CHUNKED + b"1\r\nx\r\n0\r\nt: "]
)
def test_endless_input_is_refused(endless: bytes) -> None:
    reader = ReplyReader(LIMIT)
    assert reader.feed(endless) is False
    with pytest.raises(ReplyRefused):
        deque(map(reader.feed, [b"a" * 1_000] * (MAX_HEAD_BYTES // 1_000 + 2)), maxlen=0)


@pytest.mark.parametrize(
    "data",
    [
        OK + b"content-length: 10001\r\n\r\n",
        OK + b"\r\n" + b"x" * 10_001,
        CHUNKED + b"2711\r\n" + b"x" * 10_001,
        CHUNKED + b"1\r\nx\r\n" * 10_001,
        OK + b"content-encoding: gzip\r\ncontent-length: 50000\r\n\r\n",
    ],
)
def test_bodies_are_limited(data: bytes) -> None:
    with pytest.raises(ReplyRefused) as caught:
        read([data])
    assert caught.value.cause is Cause.TOO_LARGE


def coded(coding: str, body: bytes) -> bytes:
    return OK + b"content-encoding: %s\r\ncontent-length: %d\r\n\r\n%s" % (coding.encode(), len(body), body)


def raw_deflate(text: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush()


TEXT = b'{"a": 1}' * 50


@pytest.mark.parametrize(
    ("coding", "body", "expected"),
    [
        ("gzip", gzip.compress(TEXT, mtime=0), TEXT),
        ("GZIP", gzip.compress(TEXT, mtime=0), TEXT),
        ("gzip", gzip.compress(TEXT, mtime=0) + gzip.compress(TEXT, mtime=0), TEXT * 2),
        ("gzip", b"", b""),
        ("gzip", gzip.compress(bytes(LIMIT), mtime=0), bytes(LIMIT)),
        ("deflate", zlib.compress(TEXT), TEXT),
        ("deflate", raw_deflate(TEXT), TEXT),
        ("identity", TEXT, TEXT),
        ("x-ours", TEXT, TEXT),
        ("gzip", gzip.compress(bytes(LIMIT + 1), mtime=0), Cause.TOO_LARGE),
        ("gzip", gzip.compress(bytes(6_000), mtime=0) * 2, Cause.TOO_LARGE),
        ("deflate", zlib.compress(bytes(50_000_000)), Cause.TOO_LARGE),
        ("gzip", gzip.compress(TEXT, mtime=0)[:-1], Cause.TRUNCATED),
        ("deflate", zlib.compress(TEXT)[:-1], Cause.TRUNCATED),
        ("gzip", gzip.compress(TEXT, mtime=0) + b"junk", Cause.TRUNCATED),
        ("gzip", TEXT, Cause.TRUNCATED),
        ("br", TEXT, Cause.UNREADABLE),
        ("zstd", TEXT, Cause.UNREADABLE),
    ],
)
def test_content_codings(coding: str, body: bytes, expected: bytes | Cause) -> None:
    if isinstance(expected, bytes):
        assert read([coded(coding, body)])[0] == (200, expected)
        return
    with pytest.raises(ReplyRefused) as caught:
        read([coded(coding, body)])
    assert caught.value.cause is expected


LINES = st.sampled_from(
    [
        b"content-length: 5\r\n", b"Content-Length: 3\r\n", b"content-length: 0\r\n", b"content-length: -1\r\n",
        b"transfer-encoding: chunked\r\n", b"transfer-encoding: gzip, chunked\r\n", b"connection: close\r\n",
        b"connection: upgrade\r\nupgrade: x\r\n", b"x: y\r\n", b"x : y\r\n", b" folded\r\n", b"x: a\n", b"x: a\r",
        b"\r\n", b"\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"3;e\r\nabc\r\n", b"hello", b"1\r\n", b"\x00", b"0",
        b"f" * 17, b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 N\r\n",
        b"HTTP/1.1 101 S\r\n", b"ICE/1.0 200 OK\r\n",
    ]
)  # fmt: skip
ANY_CUTS = st.lists(st.integers(0, 400), max_size=6)


@st.composite
def nearly_replies(draw: st.DrawFn) -> bytes:
    """Replies composed of significant fragments, or valid replies with some bytes changed."""
    if draw(st.booleans()):
        return draw(st.sampled_from([OK, OK, CHUNKED, b""])) + b"".join(draw(st.lists(LINES, max_size=8))) or b"H"
    data = bytearray(draw(st.sampled_from(WHOLE))[0])
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 2))] = draw(st.one_of(st.binary(max_size=2), LINES))
    return bytes(data) or b"H"


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(at for at in cuts if at < len(data))})
    return [data[start:end] for start, end in pairwise(edges)]


def as_sent(data: bytes) -> tuple[Found | None, bytes] | None:
    """`read` without content decoding; None if refused."""
    try:
        return read([data])
    except ReplyRefused:
        return None


@settings(max_examples=1_500, deadline=None)
@given(nearly_replies(), ANY_CUTS)
@example(CHUNKED + b"0\r\n\r\n", [len(CHUNKED)])
def test_nothing_is_accepted_that_strict_llhttp_refuses(data: bytes, cuts: list[int]) -> None:
    whole = as_sent(data)
    try:
        found, seen = read(cut(data, cuts))
    except ReplyRefused:
        assert whole is None, "the cuts decide"
        return
    oracle = Oracle()
    assert oracle.feed(seen)
    if found is None:
        assert oracle.found is None
        return
    assert whole in (None, (found, seen)), "refused only for what stands behind it"
    assert oracle.found is not None
    assert oracle.found[0] == found[0]
    if b"content-encoding" not in seen:
        assert oracle.found == found


@settings(max_examples=300, deadline=None)
@given(nearly_replies())
def test_aiohttp_agrees_on_accepted_replies(data: bytes) -> None:
    found = as_sent(data)
    if found is None or found[0] is None:
        return
    loop = asyncio.new_event_loop()
    try:
        parser = http_parser.HttpResponseParser(Mock(_reading_paused=False), loop, 2**16, read_until_eof=True)
        messages, _, _ = parser.feed_data(found[1])
        head, stream = next(pair for pair in messages if pair[0].code >= 200)
        body = b"".join(stream._buffer) if hasattr(stream, "_buffer") else b""
        assert (head.code, body) == found[0]
    finally:
        loop.close()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5))
def test_garbage_is_not_a_reply(pieces: list[bytes]) -> None:
    try:
        found, _ = read(pieces)
    except ReplyRefused:
        return
    assert found is None
