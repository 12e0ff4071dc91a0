"""Fault matching, and input validation of the control API."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.sandbox.calls import CallLog
from app.sandbox.control_input import BadControlInput, fault_from, new_time, token_fields, without_digits
from app.sandbox.faults import FaultKind, FaultRegistry, RewriteFault

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def book_of(*faults: dict[str, Any]) -> FaultRegistry:
    book = FaultRegistry()
    for fault in faults:
        book.add(fault_from({"provider": "loanpro", **fault}))
    return book


def met(book: FaultRegistry, method: str, path: str, *, provider: str = "loanpro", token: bool = False) -> str | None:
    _, fault = book.take(provider, method, path, is_token_route=token)
    return fault and fault.kind.value


def test_a_star_excludes_token_routes_and_a_prefix_does_not() -> None:
    book = book_of({"kind": "status"})
    assert met(book, "POST", "/oauth2/token", token=True) is None
    assert met(book, "POST", "/things") == "status"
    assert met(book_of({"kind": "hang", "path": "/oauth2"}), "POST", "/oauth2/token", token=True) == "hang"
    assert met(book_of({"kind": "hang", "path": "/"}), "POST", "/oauth2/token", token=True) == "hang"


def test_a_fault_is_for_its_provider_method_and_prefix() -> None:
    book = book_of({"kind": "garbage", "method": "get", "path": "/v1/Customers"})
    assert met(book, "GET", "/v1/Customers/7") == "garbage"
    assert met(book, "GET", "/V1/customers/7") == "garbage"
    assert met(book, "POST", "/v1/Customers/7") is None
    assert met(book, "GET", "/v1/Company") is None
    assert met(book, "GET", "/v1/Customers/7", provider="aloha") is None


@pytest.mark.parametrize("path", ["v1/things", "/v1/things*", "/v1/things"])
def test_equivalent_prefixes_match(path: str) -> None:
    assert met(book_of({"kind": "hang", "path": path}), "GET", "/v1/things/9") == "hang"


def test_times_are_used_up_in_the_order_in_which_faults_were_set() -> None:
    book = book_of({"kind": "status", "times": 2}, {"kind": "throttle", "times": 1})
    assert [met(book, "GET", "/a") for _ in range(4)] == ["status", "status", "throttle", None]
    assert book.shown() == []


def test_without_times_a_fault_stays_until_removed() -> None:
    book = book_of({"kind": "status"})
    assert [met(book, "GET", "/a") for _ in range(3)] == ["status"] * 3
    assert book.remove() == 1
    assert met(book, "GET", "/a") is None


def test_delays_add_up_and_combine_with_one_other_fault() -> None:
    book = book_of(
        {"kind": "delay", "delay_ms": 100},
        {"kind": "drop_after", "method": "POST", "delay_ms": 20, "times": 1},
        {"kind": "status", "times": 1},
        {"kind": "delay", "delay_ms": 3},
    )
    wait_s, fault = book.take("loanpro", "POST", "/a", is_token_route=False)
    assert (wait_s, fault and fault.kind) == (0.123, FaultKind.DROP_AFTER)
    wait_s, fault = book.take("loanpro", "POST", "/a", is_token_route=False)
    assert (wait_s, fault and fault.kind) == (0.103, FaultKind.STATUS)
    assert book.take("loanpro", "POST", "/a", is_token_route=False) == (0.103, None)


def test_default_fault_replies() -> None:
    (shown,) = book_of({"kind": "throttle"}).shown()
    assert shown == {
        "id": "fault_1",
        "provider": "loanpro",
        "method": "*",
        "path": "*",
        "kind": "throttle",
        "status": 500,
        "delay_ms": 0,
        "retry_after_s": 1,
        "times": None,
        "commit": False,
    }


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({}, "kind"),
        ({"kind": "explode"}, "kind"),
        ({"kind": ["hang"]}, "kind"),
        ({"kind": "delay"}, "delay_ms"),
        ({"kind": "delay", "delay_ms": -1}, "delay_ms"),
        ({"kind": "delay", "delay_ms": "10"}, "delay_ms"),
        ({"kind": "status", "status": 99}, "status"),
        ({"kind": "status", "status": True}, "status"),
        ({"kind": "status", "times": 0}, "times"),
        ({"kind": "status", "time": 1}, "time"),
        ({"kind": "throttle", "retry_after_s": float("nan")}, "retry_after_s"),
        ({"kind": "status", "commit": "yes"}, "commit"),
        ({"kind": "status", "path": ""}, "path"),
        ({"kind": "status", "method": 7}, "method"),
        ({"kind": "status", "set": {"/a": 1}}, "set"),
        ({"kind": "rewrite", "set": {"a": 1}}, "set"),
        ({"kind": "rewrite", "set": ["/a"]}, "set"),
        ({"kind": "rewrite", "remove": "/a"}, "remove"),
        ({"kind": "rewrite", "remove": ["a"]}, "remove"),
        ({"kind": "rewrite", "headers": {"x": 1}}, "headers"),
        ({"kind": "rewrite", "headers": {"x": "a\r\nb"}}, "headers"),
        ({"kind": "rewrite", "status": 600}, "status"),
    ],
)
def test_bad_faults_name_the_field(sent: dict[str, Any], field: str) -> None:
    with pytest.raises(BadControlInput) as refused:
        fault_from({"provider": "loanpro", **sent})
    assert refused.value.field == field


def rewritten(sent: dict[str, Any], body: bytes = b'{"a": [{"b": 1}, {"b": 2}], "c": {"d/e": 3}}') -> Any:
    fault = fault_from({"provider": "loanpro", "kind": "rewrite", **sent})
    assert isinstance(fault, RewriteFault)
    status, headers, changed = fault.apply(200, [(b"content-type", b"application/json"), (b"x", b"1")], body)
    return status, dict(headers), changed


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        ({}, b'{"a": [{"b": 1}, {"b": 2}], "c": {"d/e": 3}}'),
        ({"set": {"/a/0/b": None, "/new": []}}, b'{"a":[{"b":null},{"b":2}],"c":{"d/e":3},"new":[]}'),
        ({"set": {"/a/*/b": 7, "/a/-": 8}}, b'{"a":[{"b":7},{"b":7},8],"c":{"d/e":3}}'),
        ({"set": {"/a/9/b": 7, "/z/y": 1}}, b'{"a":[{"b":1},{"b":2}],"c":{"d/e":3}}'),
        ({"remove": ["/a/*/b", "/c/d~1e", "/z"]}, b'{"a":[{},{}],"c":{}}'),
        ({"remove": ["/a/*"]}, b'{"a":[],"c":{"d/e":3}}'),
        ({"set": {"": [1]}}, b"[1]"),
        ({"body": "<html>"}, b"<html>"),
        ({"body": [1, {"a": None}]}, b'[1,{"a":null}]'),
    ],
)
def test_a_rewrite_changes_the_body(sent: dict[str, Any], body: bytes) -> None:
    assert rewritten(sent) == (200, {b"content-type": b"application/json", b"x": b"1"}, body)


def test_a_rewrite_changes_status_and_headers() -> None:
    status, headers, _ = rewritten({"status": 202, "headers": {"X": None, "Content-Type": "text/html", "Y": "2"}})
    assert (status, headers) == (202, {b"content-type": b"text/html", b"y": b"2"})


def test_a_rewrite_leaves_a_body_that_is_not_json() -> None:
    assert rewritten({"set": {"/a": 1}}, b"<xml/>")[2] == b"<xml/>"


def test_the_clock_is_set_or_advanced() -> None:
    assert new_time({"now": "2031-01-01T00:00:00Z"}, NOW) == datetime(2031, 1, 1, tzinfo=UTC)
    assert new_time({"now": "2031-01-01T02:00:00+02:00"}, NOW) == datetime(2031, 1, 1, tzinfo=UTC)
    assert new_time({"now": "2031-01-01"}, NOW) == datetime(2031, 1, 1, tzinfo=UTC)
    assert new_time({"advance_s": 90.5}, NOW) - NOW == timedelta(seconds=90.5)
    assert new_time({"advance_s": -60}, NOW) - NOW == timedelta(minutes=-1)


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({}, "now"),
        ({"now": "2031-01-01", "advance_s": 1}, "now"),
        ({"now": "tomorrow"}, "now"),
        ({"now": "0001-01-01"}, "now"),
        ({"advance_s": "60"}, "advance_s"),
        ({"advance_s": float("inf")}, "advance_s"),
        ({"hours": 1}, "hours"),
    ],
)
def test_bad_times_name_the_field(sent: dict[str, Any], field: str) -> None:
    with pytest.raises(BadControlInput) as refused:
        new_time(sent, NOW)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "cash"}, "kind"),
        ({"number": 4111111111111111}, "number"),
        ({"number": "4111 1111"}, "number"),
        ({"exp_month": "May"}, "exp_month"),
        ({"exp_year": 0}, "exp_year"),
        ({"holder_name": ""}, "holder_name"),
    ],
)
def test_bad_token_fieldses_name_the_field(change: dict[str, Any], field: str) -> None:
    good = {"provider": "loanpro", "kind": "card", "number": "4111111111111111", "exp_month": 5, "exp_year": 2031}
    assert token_fields({**good, "exp_month": "05"})["exp_month"] == 5
    with pytest.raises(BadControlInput) as refused:
        token_fields({**good, **change})
    assert refused.value.field == field


def test_errors_have_no_long_numbers() -> None:
    assert without_digits("exp_year: 2031 is not for 4111111111111111") == "exp_year: 2031 is not for ..."


def test_the_call_log_drops_and_counts_the_oldest() -> None:
    log = CallLog(kept=2)
    for path in ("/a", "/b", "/c"):
        log.arrived("loanpro", "GET", path, is_token_route=False)
    assert [row["path"] for row in log.shown()] == ["/b", "/c"]
    assert log.forgotten == 1
    log.clear()
    assert (log.shown(), log.forgotten) == ([], 0)
