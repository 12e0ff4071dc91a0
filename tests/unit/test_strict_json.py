"""Strict JSON parsing for any spelling; bodies as orjson writes them take a faster path."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.strict_json import NestedTooDeep, NotStrictJson, loads

LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.floats(allow_nan=False)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


def spelled(value: Any, more: bytes = b"") -> bytes:
    return orjson.dumps(value) if not more else orjson.dumps(value)[:-1] + b"," + more + b"}"


@given(VALUES)
def test_compact_and_spaced_are_read_alike(value: Any) -> None:
    compact = orjson.dumps(value)
    assert loads(compact, max_depth=50) == loads(json.dumps(orjson.loads(compact)).encode(), max_depth=50)


@given(st.dictionaries(st.text(), VALUES, min_size=1, max_size=4), st.data())
def test_key_that_stands_twice_is_refused(value: dict[str, Any], data: st.DataObject) -> None:
    again = data.draw(st.sampled_from(sorted(value)))
    twice = spelled(value, orjson.dumps(again) + b":" + orjson.dumps(data.draw(VALUES)))
    for raw in (twice, b'{"variables":' + twice + b"}", b"[" + twice + b"]"):
        with pytest.raises(NotStrictJson, match="duplicate"):
            loads(raw, max_depth=50)


@pytest.mark.parametrize(
    "raw", [b'{"a":1,"a":1}', b'{"a":1,"\\u0061":1}', b'{"a":{"b":1,"b":1}}', b'[{"a":[],"a":[]}]']
)
def test_even_the_same_value_twice_is_refused(raw: bytes) -> None:
    with pytest.raises(NotStrictJson, match="duplicate"):
        loads(raw, max_depth=50)


DEEP = b"[" * 9 + b"]" * 9


@pytest.mark.parametrize(
    "raw",
    [
        DEEP,
        b'{"a":' + DEEP + b"}",
        b'{"a":{"b":' + DEEP + b"}}",
        b'{"a":' + DEEP + b',"a":1}',
        b'{"a":{"b":' + DEEP + b',"b":1}}',
        b'{"a":' + DEEP + b",",
        b"[" * 100_000,
        b"[" * 500 + b"]" * 500,
        b'{"a":' + b"[" * 2_000 + b"]" * 2_000 + b',"a":1}',
    ],
)
def test_deep_nesting_is_refused_also_in_values_that_a_parser_drops(raw: bytes) -> None:
    with pytest.raises(NestedTooDeep):
        loads(raw, max_depth=8)


@pytest.mark.parametrize(
    "raw", [b'{"a":{"b":1}}', b'{"a": {"b": 1}}', b'[[{"a":1}]]', b'{"a":[[1]]}', b'{"a":{"b":[1]}}', b'"[[[["']
)
def test_the_limit_itself_is_accepted(raw: bytes) -> None:
    depth = {b'{"a":{"b":1}}': 2, b'{"a": {"b": 1}}': 2, b'"[[[["': 0}.get(raw, 3)
    assert loads(raw, max_depth=depth) == json.loads(raw)
    if depth:
        with pytest.raises(NestedTooDeep):
            loads(raw, max_depth=depth - 1)
