"""The option --scope: repeatable, and takes several values separated by commas or spaces."""

import re
from typing import Final

import click

_SCOPE: Final = "(?:explore|[a-z_]+:[a-z_]+)"
_SCOPE_WORD: Final = re.compile(f"{_SCOPE}(?:,{_SCOPE})*,?")
_OPTION: Final = "--scope"

SCOPES = click.option(
    _OPTION,
    "scopes",
    multiple=True,
    metavar="SCOPE...",
    help="Repeatable; takes several values, separated by commas or spaces.",
)


class TakesScopes(click.Command):
    """Repeats ``--scope`` before each further value, since Click options take a fixed number of values."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, one_by_one(args))


def one_by_one(args: list[str]) -> list[str]:
    """``--scope a:x b:y NAME`` becomes ``--scope a:x --scope b:y NAME``: only scopes contain a colon."""
    found: list[str] = []
    is_value = are_more = False
    for number, word in enumerate(args):
        if is_value:
            is_value, are_more = False, True
        elif word == "--":
            return [*found, *args[number:]]
        elif are_more and _SCOPE_WORD.fullmatch(word):
            found.append(_OPTION)
        else:
            is_value, are_more = word == _OPTION, word.startswith(f"{_OPTION}=")
        found.append(word)
    return found
