"""Parses replies with llhttp in strict mode (httptools) and a few additional checks.

The ordinary reply, a complete 200 with a content length in one piece, is read by `whole_reply` instead, which accepts
less than llhttp does. It takes 5 calls where the parser and its callbacks take 40, and its headers are parsed only
when they are asked for.
"""

import re
from typing import Final

import httptools

from app.http.message import VaultReply
from app.http.transports.base import Cause
from app.http.transports.decode import decoded
from app.http.transports.refused import ReplyRefused

MAX_HEAD_BYTES: Final = 65_536
"""Total size of a reply's headers and trailers, including the headers of preceding 1xx replies."""

_VERSIONS: Final = ("1.1", "1.0")
_FIRST_BYTE: Final = b"H"  # llhttp also accepts RTSP/ and ICE/
_SWITCHING: Final = 101
_BLANKS: Final = b" \t"
_AROUND: Final = 4  # bytes per header besides name and value: colon, space, CRLF
_MAX_SPELLINGS: Final = 512
_VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*\r\n"
_OTHER_LINE: Final = (
    rb"(?!(?i:content-length|transfer-encoding|content-encoding|connection|proxy-connection|upgrade|trailer):)"
    rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:" + _VALUE
)
_LINES: Final = rb"(?:" + _OTHER_LINE + rb"|(?i:connection:[\t ]*keep-alive[\t ]*)\r\n)*"
_WHOLE: Final = re.compile(
    rb"HTTP/1\.1 200 " + _VALUE + _LINES + rb"(?i:content-length):[\t ]*([0-9]{1,15})[\t ]*\r\n" + _LINES + rb"\r\n"
).match
_spellings: dict[bytes, str] = {}


def _lower_name(name: bytes) -> str:
    """A header name in lower case, cached."""
    lower = name.decode("ascii").lower()
    if len(_spellings) < _MAX_SPELLINGS:
        _spellings[name] = lower
    return lower


def whole_reply(data: bytes, max_body_bytes: int) -> VaultReply | None:
    """The reply if `data` is exactly one ordinary reply that keeps the connection; None if `ReplyReader` must decide.

    Not ordinary are: other statuses than 200, and any header besides one Content-Length that affects the length or the
    coding of the body, or the connection.
    """
    found = _WHOLE(data, 0, MAX_HEAD_BYTES)
    if found is None:
        return None
    end = found.end()
    size = len(data) - end
    if size != int(found[1]) or size > max_body_bytes:
        return None
    return VaultReply(200, data[:end], data[end:])


class ReplyReader:
    """Reads the replies of one connection: call `expect`, `feed` until it returns True, then `reply`.

    After `ReplyRefused` neither the reader nor its connection may be used again. In addition to llhttp, it refuses
    versions other than 1.0 and 1.1, any transfer coding but chunked alone, chunked in HTTP/1.0, a body on a 1xx, 101,
    and anything but line ends after a reply. Two parsers could disagree on where such a reply ends.
    """

    __slots__ = (
        "_body", "_cause", "_fed", "_head_size", "_headers", "_is_bodiless", "_is_counted", "_max_body_bytes",
        "_parser", "_quiet", "_size", "_status", "has_head", "is_complete", "is_idle", "may_keep",
    )  # fmt: skip

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._parser = httptools.HttpResponseParser(self)
        self.expect(is_bodiless=False)

    def expect(self, *, is_bodiless: bool) -> None:
        """Reset for the next reply; `is_bodiless` if the request is a HEAD."""
        self.is_idle = not is_bodiless  # nothing of the reply has been read; `whole_reply` may be tried
        self._headers: dict[str, str] = {}
        self._body: bytes | bytearray = b""
        self._cause = Cause.UNREADABLE
        self._is_bodiless = is_bodiless
        self._status = self._size = self._fed = self._head_size = self._quiet = 0
        self.has_head = self.is_complete = self.may_keep = self._is_counted = False

    def feed(self, data: bytes) -> bool:
        """Parse `data`; True once the reply is complete. Raises `ReplyRefused`."""
        if not self._quiet and not self.has_head and not data.startswith(_FIRST_BYTE):
            raise ReplyRefused(Cause.UNREADABLE)
        had, self.is_idle = self._size, False
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise ReplyRefused(self._cause) from None
        if self.is_complete:
            return True
        # httptools buffers an unfinished header or trailer without a callback, so bytes without progress are counted.
        self._quiet = self._quiet + len(data) if self._size == had else 0
        if self._quiet > MAX_HEAD_BYTES:
            raise ReplyRefused(Cause.UNREADABLE)
        return False

    def ends_with_connection(self) -> bool:
        """Whether EOF ends this reply: its head gives no length."""
        headers = self._headers
        return self.has_head and "content-length" not in headers and "transfer-encoding" not in headers

    def reply(self) -> VaultReply:
        """The reply, decoded. Raises `ReplyRefused`."""
        headers, body = self._headers, bytes(self._body)
        if body and "content-encoding" in headers:
            body = decoded(body, headers["content-encoding"], self._max_body_bytes)
        return VaultReply(self._status, headers, body)

    # Parser callbacks. An exception raised here stops the parser; `feed` re-raises it as `ReplyRefused`.

    def on_message_begin(self) -> None:
        if self.is_complete:  # a second reply to one request
            raise ReplyRefused(Cause.UNREADABLE)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.has_head:  # a trailer: counted and dropped
            if not self._is_counted:
                self._count_head()
            self._count(name, value)
            return
        key = _spellings.get(name) or _lower_name(name)
        headers = self._headers
        if key in headers:
            self._count(name, value)  # it replaces the first value, so `_count_head` would miss one of the two
            if key == "transfer-encoding":
                raise ReplyRefused(Cause.UNREADABLE)
        if value and value[-1] in _BLANKS:
            value = value.rstrip(b" \t")
        headers[key] = value.decode("utf-8", "surrogateescape")

    def _count(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value) + _AROUND
        if self._head_size > MAX_HEAD_BYTES:
            raise ReplyRefused(Cause.UNREADABLE)

    def _count_head(self) -> None:
        headers, self._is_counted = self._headers, True
        self._head_size += sum(map(len, headers)) + sum(map(len, headers.values())) + _AROUND * len(headers)
        if self._head_size > MAX_HEAD_BYTES:
            raise ReplyRefused(Cause.UNREADABLE)

    def on_headers_complete(self) -> None:
        status, version, headers = self._parser.get_status_code(), self._parser.get_http_version(), self._headers
        self._status = status
        if self._fed > MAX_HEAD_BYTES or status < 200:  # otherwise the head is certainly smaller
            self._count_head()
        if status < 100 or status == _SWITCHING or version not in _VERSIONS:
            raise ReplyRefused(Cause.UNREADABLE)
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is not None and (coding.lower() != "chunked" or version == "1.0"):
            raise ReplyRefused(Cause.UNREADABLE)
        if status < 200 and (coding is not None or length not in (None, "0")):
            raise ReplyRefused(Cause.UNREADABLE)
        if self._is_bodiless:
            self.is_complete = status >= 200  # the parser still expects a body: `may_keep` stays False
        elif length is not None and int(length) > self._max_body_bytes:
            self._cause = Cause.TOO_LARGE
            raise ReplyRefused(Cause.TOO_LARGE)
        self.has_head = True

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._is_bodiless or self._size > self._max_body_bytes:
            self._cause = Cause.UNREADABLE if self._is_bodiless else Cause.TOO_LARGE
            raise ReplyRefused(self._cause)
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
