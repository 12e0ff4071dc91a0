"""The lean transport's short way for ordinary replies: it reads nothing that the parser reads otherwise."""

from collections.abc import Mapping

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.http.message import VaultReply
from app.http.transports.lean.reader import ReplyReader, whole_reply
from tests.unit.test_lean_reader import LIMIT, LINES, OK, REFUSED_BY_LLHTTP, REFUSED_BY_US, nearly_replies

SIZED = OK + b"content-length: 5\r\n"


def test_the_ordinary_reply_needs_no_parser() -> None:
    data = OK + b"Server: x\r\nX-Two:  \xc3\xa9\xff \t\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello"
    found, reader = whole_reply(data, 5), ReplyReader(5)
    assert found is not None
    assert reader.feed(data)
    assert as_read(found) == as_read(reader.reply())
    assert found.headers == {
        "server": "x",
        "x-two": "\u00e9\udcff",
        "connection": "Keep-Alive",
        "content-length": "5",
    }


def as_read(reply: VaultReply) -> tuple[int, Mapping[str, str], bytes]:
    return reply.status, reply.headers, reply.body


@pytest.mark.parametrize(
    "data",
    [
        SIZED + b"\r\nhell",
        SIZED + b"\r\nhello!",
        OK + b"\r\nhello",
        OK + b"content-length: 6\r\n\r\nhello!",  # more than the limit
        OK + b"content-length: \xd9\xa5\r\n\r\nhello",  # an Arabic digit
        OK + b"content-length: 0000000000000005\r\n\r\nhello",
        SIZED + b"content-length: 5\r\n\r\nhello",
        SIZED + b"connection: close\r\n\r\nhello",
        SIZED + b"proxy-connection: close\r\n\r\nhello",
        SIZED + b"connection: keep-alive, upgrade\r\nupgrade: x\r\n\r\nhello",
        SIZED + b"content-encoding: identity\r\n\r\nhello",
        SIZED + b"transfer-encoding: chunked\r\n\r\nhello",
        b"http/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 201 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        *REFUSED_BY_LLHTTP,
        *REFUSED_BY_US,
    ],
)
def test_anything_unusual_is_left_to_the_parser(data: bytes) -> None:
    assert whole_reply(data, 5) is None


@st.composite
def nearly_ordinary_replies(draw: st.DrawFn) -> bytes:
    """Ordinary replies with other headers between theirs, and some bytes changed."""
    lines = [
        *draw(
            st.lists(
                st.one_of(LINES, st.sampled_from([b"X: 1\r\n", b"x:2 \r\n", b"Connection: Keep-Alive\r\n"])), max_size=4
            )
        ),
        draw(st.sampled_from([b"content-length: 5\r\n", b"Content-Length:5 \r\n"])),
    ]
    data = bytearray(OK + b"Server: x\r\n" + b"".join(draw(st.permutations(lines))) + b"\r\nhello")
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 2))] = draw(st.one_of(st.binary(max_size=2), LINES))
    return bytes(data)


@settings(max_examples=1_500, deadline=None)
@given(st.one_of(nearly_ordinary_replies(), nearly_replies()))
@example(SIZED + b"\r\nhello")
def test_what_needs_no_parser_is_read_as_the_parser_reads_it(data: bytes) -> None:
    found = whole_reply(data, LIMIT)
    if found is None:
        return
    reader = ReplyReader(LIMIT)
    assert reader.feed(data)
    assert reader.may_keep
    assert as_read(found) == as_read(reader.reply())
