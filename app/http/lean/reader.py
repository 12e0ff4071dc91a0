"""Bytes to replies: llhttp in strict mode, through httptools, and a few refusals of our own."""

from typing import Final

import httptools

from app.http.decode import decoded
from app.http.message import VaultReply
from app.http.refused import Refused
from app.http.transport import Cause

MAX_HEAD_BYTES: Final = 65_536
"""Names and values of a reply's headers, of those of 1xx replies before it, and of its trailers, together."""

_VERSIONS: Final = ("1.1", "1.0")
_FIRST_BYTE: Final = b"H"  # llhttp would also take RTSP/ and ICE/
_SWITCHING: Final = 101
_BLANKS: Final = b" \t"
_AROUND: Final = 4  # a colon, a blank and a line end around each name and value
_MAX_SPELLINGS: Final = 512
_spellings: dict[bytes, str] = {}


def _lower_name(name: bytes) -> str:
    """A header name in lower case; the few that vaults send are remembered."""
    lower = name.decode("ascii").lower()
    if len(_spellings) < _MAX_SPELLINGS:
        _spellings[name] = lower
    return lower


class ReplyReader:
    """Reads one reply after the other from one connection: `expect`, `feed` until it says True, `reply`.

    After `Refused` neither the reader nor its connection may be used again. Beyond what llhttp refuses, these are:
    versions other than 1.0 and 1.1, any transfer coding but chunked alone, chunked in HTTP/1.0, a body on a 1xx, 101,
    and anything but line ends behind a reply's end. Each would make two readers disagree on where a reply ends.
    """

    __slots__ = (
        "_body", "_cause", "_fed", "_head_size", "_headers", "_is_bodiless", "_is_counted", "_max_body_bytes",
        "_parser", "_quiet", "_size", "_status", "has_head", "is_complete", "may_keep",
    )  # fmt: skip

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._parser = httptools.HttpResponseParser(self)
        self.expect(is_bodiless=False)

    def expect(self, *, is_bodiless: bool) -> None:
        """Get ready for the next reply; `is_bodiless` when it answers a HEAD."""
        self._headers: dict[str, str] = {}
        self._body: bytes | bytearray = b""
        self._cause = Cause.UNREADABLE
        self._is_bodiless = is_bodiless
        self._status = self._size = self._fed = self._head_size = self._quiet = 0
        self.has_head = self.is_complete = self.may_keep = self._is_counted = False

    def feed(self, data: bytes) -> bool:
        """Whether the reply is whole now. Raises `Refused`."""
        if not self._quiet and not self.has_head and not data.startswith(_FIRST_BYTE):
            raise Refused(Cause.UNREADABLE)
        had = self._size
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise Refused(self._cause) from None
        if self.is_complete:
            return True
        # A header or trailer without an end is gathered below us, where no callback tells its size.
        self._quiet = self._quiet + len(data) if self._size == had else 0
        if self._quiet > MAX_HEAD_BYTES:
            raise Refused(Cause.UNREADABLE)
        return False

    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is the end of this reply, as it is when its head gives no length."""
        headers = self._headers
        return self.has_head and "content-length" not in headers and "transfer-encoding" not in headers

    def reply(self, latency_ms: int) -> VaultReply:
        """The reply, decoded. Raises `Refused`."""
        headers, body = self._headers, bytes(self._body)
        if body and "content-encoding" in headers:
            body = decoded(body, headers["content-encoding"], self._max_body_bytes)
        return VaultReply(self._status, headers, body, latency_ms)

    # What the parser calls. An exception from here ends its work; `feed` tells why.

    def on_message_begin(self) -> None:
        if self.is_complete:  # more than was asked for: whose reply was the first, then?
            raise Refused(Cause.UNREADABLE)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.has_head:  # a trailer: nothing of ours asks for one
            if not self._is_counted:
                self._count_head()
            self._count(name, value)
            return
        key = _spellings.get(name) or _lower_name(name)
        headers = self._headers
        if key in headers:
            self._count(name, value)  # it takes the other's place, and would not be counted with the rest
            if key == "transfer-encoding":
                raise Refused(Cause.UNREADABLE)
        if value and value[-1] in _BLANKS:
            value = value.rstrip(b" \t")
        headers[key] = value.decode("utf-8", "surrogateescape")

    def _count(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value) + _AROUND
        if self._head_size > MAX_HEAD_BYTES:
            raise Refused(Cause.UNREADABLE)

    def _count_head(self) -> None:
        headers, self._is_counted = self._headers, True
        self._head_size += sum(map(len, headers)) + sum(map(len, headers.values())) + _AROUND * len(headers)
        if self._head_size > MAX_HEAD_BYTES:
            raise Refused(Cause.UNREADABLE)

    def on_headers_complete(self) -> None:
        status, version, headers = self._parser.get_status_code(), self._parser.get_http_version(), self._headers
        self._status = status
        if self._fed > MAX_HEAD_BYTES or status < 200:  # else the head is smaller for certain, and more may never come
            self._count_head()
        if status < 100 or status == _SWITCHING or version not in _VERSIONS:
            raise Refused(Cause.UNREADABLE)
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is not None and (coding.lower() != "chunked" or version == "1.0"):
            raise Refused(Cause.UNREADABLE)
        if status < 200 and (coding is not None or length not in (None, "0")):
            raise Refused(Cause.UNREADABLE)
        if self._is_bodiless:
            self.is_complete = status >= 200  # and the parser, which does not know, is given up
        elif length is not None and int(length) > self._max_body_bytes:
            self._cause = Cause.TOO_LARGE
            raise Refused(Cause.TOO_LARGE)
        self.has_head = True

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._is_bodiless or self._size > self._max_body_bytes:
            self._cause = Cause.UNREADABLE if self._is_bodiless else Cause.TOO_LARGE
            raise Refused(self._cause)
        if not self._body:
            self._body = data
        elif isinstance(self._body, bytearray):
            self._body += data
        else:
            self._body = bytearray(self._body) + data

    def on_message_complete(self) -> None:
        if self._status < 200:
            self._headers, self.has_head, self._is_counted = {}, False, False
            return
        self.is_complete = True
        self.may_keep = not self._is_bodiless and self._parser.should_keep_alive()
