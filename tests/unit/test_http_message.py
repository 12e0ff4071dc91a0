"""Fixed headers, headers of one call, and JSON in replies."""

import pytest

from app.http.message import ExtendedHeaders, FixedHeaders, VaultReply
from app.http.transports.base import NotSent, refuse_unsafe_once


def test_own_headers_are_added_to_fixed_ones_and_must_not_repeat_them() -> None:
    fixed = FixedHeaders({"accept": "application/json"})
    both = ExtendedHeaders(fixed, {"requestidentifier": "r-1"})
    assert dict(both) == {"accept": "application/json", "requestidentifier": "r-1"}
    assert dict(fixed) == {"accept": "application/json"}, "fixed headers must not change"
    with pytest.raises(ValueError, match="twice"):
        ExtendedHeaders(fixed, {"accept": "text/plain"})


def test_fixed_headers_are_checked_once_and_own_ones_each_time() -> None:
    fixed = FixedHeaders({"accept": "application/json"})
    refuse_unsafe_once("GET", "http://vault/", ExtendedHeaders(fixed, {"x": "fine"}))
    assert fixed.is_safe
    with pytest.raises(NotSent):
        refuse_unsafe_once("GET", "http://vault/", ExtendedHeaders(fixed, {"x": "a\r\nhost: elsewhere"}))
    with pytest.raises(NotSent):
        refuse_unsafe_once("GET", "http://vault/ HTTP/1.1\r\nx: y", fixed)
    with pytest.raises(NotSent):
        refuse_unsafe_once("GET", "http://vault/", FixedHeaders({"x": "a\nb"}))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_is_read_with_a_byte_order_mark(encoding: str) -> None:
    assert VaultReply(200, {}, '{"name": "Zoë"}'.encode(encoding)).json() == {"name": "Zoë"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xef\xbb\xbf",
        b"\xff\xfe4\x001",
        b"\xff\xfe\x00\xd8",
        b"\xef\xbb\xbf\xef\xbb\xbf[]",
        b"{\xef\xbb\xbf}",
        b"\xef\xbb\xbf\xff",
    ],
)
def test_invalid_json_is_rejected_and_not_quoted(body: bytes) -> None:
    with pytest.raises(ValueError) as refused:
        VaultReply(200, {}, body).json()
    assert refused.value.__cause__ is None
    assert not isinstance(refused.value, UnicodeDecodeError), "it would hold the body"
