"""`vaultgraph move`: payment methods that moved to another vault take default, nickname and links with them."""

import asyncio
import csv
import os
import sys
from collections import Counter
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import Final

import click

from app.cli.import_file import measure, quoted, rows_of
from app.cli.import_rejects import Reject, RejectsFile
from app.cli.local_gateway import local_gateway
from app.cli.move_run import COLUMNS, SHAPE, MoveRun, Outcome
from app.cli.open_store import CommandFailed
from app.cli.options import CALLS_PER_S, SANDBOX_URL, ConfigLocation, source_options
from app.cli.output import JSON, print_json, progress

CHUNK: Final = 100
_STATES: Final = ("MOVED", "READY", "PENDING", "REJECTED")
_REPORT: Final = ("row", "state", "customer_id", "is_default", "code", "message")


@click.command(
    "move",
    help="Move the default, nickname and missing links from old payment methods to new ones in another vault, from a "
    ".csv or .ndjson file of pairs.\n\n"
    "Changes nothing without --apply, and never anything in a vault. The old method stays the default until a complete "
    "list of the new one's vault shows the new method; run the command again, or leave it to the gateway. "
    "Exit status 1: rows were rejected; 4: some are pending.",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--apply", "applies", is_flag=True, help="Move. Each row is in the audit trail.")
@click.option("--calls-per-s", type=CALLS_PER_S, default=5.0, help="Calls per second to each vault.")
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Write what became of each row to this CSV file; never overwrites an existing file.",
)
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="File for rows that were rejected; never overwrites an existing file. [default: FILE.rejects.csv]",
)
@SANDBOX_URL
@JSON
@source_options
def command(
    source: ConfigLocation,
    file: Path,
    applies: bool,
    calls_per_s: float,
    csv_file: Path | None,
    rejects: Path | None,
    sandbox_url: str | None,
    as_json: bool,
) -> None:
    _, total = measure(file, SHAPE)
    refused = RejectsFile.beside(file, rejects, is_repeat=True, columns=COLUMNS)
    counts: Counter[str] = Counter()

    async def main() -> None:
        with ExitStack() as opened:
            opened.callback(refused.close)
            report = opened.enter_context(_Report(csv_file)) if csv_file is not None else None
            rows = opened.enter_context(closing(rows_of(file, SHAPE)))
            async with local_gateway(source, sandbox_url) as gateway:
                run = MoveRun(gateway, applies=applies, calls_per_s=calls_per_s)
                advance = opened.enter_context(progress("Moving", total))
                start = 1
                while chunk := list(islice(rows, CHUNK)):
                    for values, one in zip(chunk, await run.chunk(start, chunk), strict=True):
                        counts[one.state] += 1
                        if one.state == "REJECTED":
                            refused.write([Reject(one.row, values, one.code, one.message)])
                        if report is not None:
                            report.write(one)
                    start += len(chunk)
                    advance(len(chunk))

    asyncio.run(main())
    if as_json:
        print_json(
            {
                "rows": total,
                "is_applied": applies,
                **{name.lower(): counts[name] for name in _STATES},
                "rejects_file": refused.written and str(refused.written),
            }
        )
    else:
        _print(counts, refused.written, applies=applies)
    sys.exit(1 if counts["REJECTED"] else 4 if counts["PENDING"] else 0)


def _print(counts: Counter[str], written: Path | None, *, applies: bool) -> None:
    click.echo(", ".join(f"{counts[name]} {name.lower()}" for name in _STATES if counts[name]) or "nothing to move")
    if written is not None:
        click.echo(f"Rows that were rejected, with reasons: {written}")
    if not applies:
        click.echo("Nothing was changed: see --apply.")
    elif counts["PENDING"]:
        click.echo("Pending pairs move once the new method is seen: run the command again, or wait.")


class _Report:
    """The CSV report, written row by row. Cells that a spreadsheet would take for a formula are quoted."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.fdopen(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline=""
            )
        except OSError as error:
            raise CommandFailed(f"{path}: {error.strerror}") from None
        self._rows = csv.writer(self._file)
        self._rows.writerow(_REPORT)

    def write(self, one: Outcome) -> None:
        is_default = "yes" if one.has_default else "no"
        self._rows.writerow([one.row, one.state, quoted(one.customer_id), is_default, one.code, quoted(one.message)])

    def __enter__(self) -> "_Report":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
