"""Numeric options of every command: bounded, so that no number ends in a traceback."""

from collections.abc import Iterator

import click
import pytest

from app.cli.main import COMMANDS, load

NUMBERS = (click.FLOAT.__class__, click.INT.__class__)


def options(command: click.Command, path: str) -> Iterator[tuple[str, click.Parameter]]:
    for one in command.params:
        if isinstance(one.type, NUMBERS):
            yield f"{path} {one.name}", one
    for name, below in getattr(command, "commands", {}).items():
        yield from options(below, f"{path} {name}")


FOUND = dict(found for name in COMMANDS for found in options(load(name), name))


@pytest.mark.parametrize("name", FOUND)
def test_a_number_out_of_range_is_refused_with_the_range(name: str) -> None:
    option = FOUND[name]
    words = ["-1", "nan", "inf", "-inf", "1e300", "9" * 5_000]
    for word in words:
        with pytest.raises(click.BadParameter):
            option.type.convert(word, option, None)
    with pytest.raises(click.BadParameter, match=r"range|from 0"):
        option.type.convert("-1", option, None)


def test_hours_and_rates_are_among_them() -> None:
    assert {
        "endpoints rotate-secret old_valid_for_h",
        "partner rotate old_valid_for_h",
        "reconcile calls_per_s",
    } <= set(FOUND)
