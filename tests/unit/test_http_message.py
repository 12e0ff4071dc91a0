"""Headers that many requests share, and what one call adds to them."""

import pytest

from app.http.message import ExtendedHeaders, FixedHeaders
from app.http.transport import NotSent, refuse_unsafe_once


def test_own_headers_stand_beside_the_fixed_ones_and_never_twice() -> None:
    fixed = FixedHeaders({"accept": "application/json"})
    both = ExtendedHeaders(fixed, {"requestidentifier": "r-1"})
    assert dict(both) == {"accept": "application/json", "requestidentifier": "r-1"}
    assert dict(fixed) == {"accept": "application/json"}, "nobody changes what is shared"
    with pytest.raises(ValueError, match="twice"):
        ExtendedHeaders(fixed, {"accept": "text/plain"})


def test_fixed_headers_are_looked_at_once_and_own_ones_each_time() -> None:
    fixed = FixedHeaders({"accept": "application/json"})
    refuse_unsafe_once("GET", "http://vault/", ExtendedHeaders(fixed, {"x": "fine"}))
    assert fixed.is_safe
    with pytest.raises(NotSent):
        refuse_unsafe_once("GET", "http://vault/", ExtendedHeaders(fixed, {"x": "a\r\nhost: elsewhere"}))
    with pytest.raises(NotSent):
        refuse_unsafe_once("GET", "http://vault/ HTTP/1.1\r\nx: y", fixed)
    with pytest.raises(NotSent):
        refuse_unsafe_once("GET", "http://vault/", FixedHeaders({"x": "a\nb"}))
