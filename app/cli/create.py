"""The option `--create`, which allows a command to create a missing embedded store."""

from typing import Final

import click

_KEY: Final = "vaultgraph.may_create_store"


def _note(context: click.Context, _option: click.Parameter, is_given: bool) -> None:
    context.meta[_KEY] = is_given


CREATE: Final = click.option(
    "--create",
    is_flag=True,
    expose_value=False,
    callback=_note,
    help="Create the embedded store if it does not exist.",
)


def may_create() -> bool:
    """True if the running command was called with --create."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_KEY, False))
