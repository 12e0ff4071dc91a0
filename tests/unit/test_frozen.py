"""Values are equal and hashed by their fields. The type checker rejects assignments to them."""

from dataclasses import replace

from tests.support.memory import card


def test_equal_values_are_one_key() -> None:
    one, same, other = card("1"), card("1"), card("2")
    assert one == same != other
    assert {one, same, other} == {one, other}
    assert replace(one, method_ref=other.method_ref) == other


def test_a_value_has_its_own_fields_alone() -> None:
    assert not hasattr(card("1"), "__dict__")
