"""The option `--create`: of the commands that may make the embedded store where there is none."""

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
    help="Make the embedded store where there is none yet.",
)


def may_create() -> bool:
    """Whether the running command was called with --create."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_KEY, False))
