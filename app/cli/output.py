"""What commands print: JSON with --json, a table on a terminal, tab-separated lines elsewhere; progress bars."""

import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click
import orjson

JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def fields_of(record: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


async def all_pages(read: Callable[..., Awaitable[Sequence[Any]]], *args: Any) -> list[Any]:
    """Every record of a list whose pages begin after an id."""
    found: list[Any] = []
    while page := await read(*args, after=found[-1].id if found else ""):
        found += page
    return found


def print_json(value: Any) -> None:
    """Times are printed in ISO 8601, enums by value."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))


def print_rows(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """JSON has every member of a row; tables and lines have `columns` only."""
    if as_json:
        print_json(rows)
    elif sys.stdout.isatty():
        _print_table(columns, rows)
    else:
        for row in rows:
            click.echo("\t".join(_text(row[name]) for name in columns))


def _print_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name.replace("_", " ").upper(), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(row[name])) for name in columns))
    Console().print(table if rows else "none")


def _text(value: Any) -> str:
    """One line without control characters, which clients may have sent."""
    if value is None:
        return ""
    if isinstance(value, list):
        return " ".join(map(str, value))
    if hasattr(value, "isoformat"):
        return str(value.isoformat(timespec="seconds"))
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in str(value))


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Yields a function that advances a bar on standard error; where that is no terminal, nothing is printed."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)
