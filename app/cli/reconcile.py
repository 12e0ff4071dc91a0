"""`vaultgraph reconcile`: finds differences between the gateway and the vaults, over all links."""

import asyncio
import csv
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click
import orjson

from app.cli.import_file import quoted
from app.cli.local_gateway import settings_of_writes
from app.cli.open_store import CommandFailed, open_store
from app.cli.options import CALLS_PER_S, SANDBOX_URL, ConfigLocation, VaultName, source_options
from app.cli.output import JSON, print_rows, progress
from app.cli.reconcile_file import ProgressFile, Row
from app.cli.reconcile_run import Reconciliation, Totals
from app.cli.startup_errors import store_startup_errors
from app.providers.registry import build_providers, canonical_ref
from app.vault.enums import ProviderName, SourceState
from app.wallet.ids import Ids

_COLUMNS: Final = ("code", "customer_id", "vaults", "payment_method_ids", "message")
_MOST_ON_TERMINAL: Final = 1_000
_CHUNK: Final = 500
_APPLIED: Final = {True: "yes", False: "no", None: "unknown"}
_STATUS: Final = {(False, False): 0, (True, False): 3, (False, True): 4, (True, True): 5}
"""Exit status by whether there are findings, and links that could not be checked."""
_REASONS: Final[Mapping[str, str]] = {
    SourceState.DISABLED: "the vault is not enabled",
    SourceState.SKIPPED: "the vault had failed too often in a row",
    SourceState.PARTIAL: "the vault's list was not complete",
    SourceState.UNAUTHORIZED: "the vault does not accept the credentials",
    SourceState.THROTTLED: "the vault's rate limit was reached",
}


@click.command(
    "reconcile",
    help="Ask the vaults for every linked customer and list the differences: customers that are gone, payment methods "
    "that the gateway never observed or that are gone, look-alikes, and stored defaults that point nowhere.\n\n"
    "Changes nothing without --apply, and never anything in a vault. An interrupted run continues from its progress "
    "file. Exit status 0: all checked, no findings; 3: findings; 4: not all links could be checked; 5: both.",
)
@click.option(
    "--apply",
    "applies",
    is_flag=True,
    help="Store the lists of new and gone methods as observed, mark customers that are gone, and clear stored defaults "
    "that a second read does not find either. Each change is in the audit trail.",
)
@click.option("--vault", "only", type=VaultName(), multiple=True, help="Repeatable: check only these vaults' links.")
@click.option("--calls-per-s", type=CALLS_PER_S, default=5.0, help="Calls per second to each vault.")
@click.option("--concurrency", type=click.IntRange(1, 64), default=4, help="Calls at the same time to each vault.")
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Write the findings to this CSV file; never overwrites an existing file.",
)
@click.option(
    "--progress-file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("vaultgraph-reconcile.ndjson"),
    help="Where the run stores its progress until it is complete.",
)
@click.option("--restart", is_flag=True, help="Start anew, whatever the progress file contains.")
@SANDBOX_URL
@JSON
@source_options
def command(
    source: ConfigLocation,
    applies: bool,
    only: tuple[str, ...],
    calls_per_s: float,
    concurrency: int,
    csv_file: Path | None,
    progress_file: Path,
    restart: bool,
    sandbox_url: str | None,
    as_json: bool,
) -> None:
    if csv_file is not None and os.path.lexists(csv_file):
        raise CommandFailed(f"{csv_file} is there already: move it away, or name another file with --csv")
    vaults = sorted({ProviderName(one) for one in only} or set(ProviderName))
    options = {"apply": applies, "vaults": vaults}
    file = ProgressFile(progress_file, options, Totals().as_row(), restart=restart)
    try:
        if file.is_resumed:
            click.echo(f"Continuing the run of {progress_file}, after {file.after}.", err=True)
        totals = asyncio.run(_run(source, sandbox_url, vaults, file, calls_per_s, concurrency, applies=applies))
        columns = (*_COLUMNS, "applied") if applies else _COLUMNS
        counts = _counts(file.findings())
        if csv_file is not None:
            _write_csv(csv_file, columns, file.findings())
        if as_json:
            _print_json(totals, counts, file.findings(), columns)
        else:
            _print_findings(columns, file.findings())
            _print_totals(totals, counts, applies=applies)
        file.remove()
    finally:
        file.close()
    sys.exit(_STATUS[bool(counts), bool(totals.unread)])


async def _run(
    source: ConfigLocation,
    sandbox_url: str | None,
    only: Sequence[ProviderName],
    file: ProgressFile,
    calls_per_s: float,
    concurrency: int,
    *,
    applies: bool,
) -> Totals:
    settings = await settings_of_writes(source, sandbox_url)
    ids = Ids(settings.id_key.reveal(), canonical_ref=canonical_ref)
    most = {name: settings.provider(name.value).max_methods for name in ProviderName}
    async with open_store(settings) as store, AsyncExitStack() as opened:
        vaults = build_providers(settings)
        for vault in vaults.values():
            opened.push_async_callback(vault.close)
        run = Reconciliation(
            store,
            vaults,
            only,
            most,
            ids,
            file,
            calls_per_s=calls_per_s,
            concurrency=concurrency,
            applies=applies,
        )
        with store_startup_errors(), progress("Reconciling", await store.link_health.count()) as advance:
            advance(run.totals.checked + sum(sum(counts.values()) for counts in run.totals.unread.values()))
            await run.run(advance)
    return run.totals


def _counts(findings: Iterator[Row]) -> dict[str, int]:
    return dict(Counter(one["code"] for one in findings))


def _write_csv(path: Path, columns: Sequence[str], findings: Iterator[Row]) -> None:
    """Cells that a spreadsheet would take for a formula are quoted, as in an import's rejects file."""
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(made, "w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(columns)
            writer.writerows([quoted(_cell(one[name])) for name in columns] for one in findings)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from None


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(value)
    return value if isinstance(value, str) else _APPLIED[value]


def _print_json(totals: Totals, counts: Mapping[str, int], findings: Iterator[Row], columns: Sequence[str]) -> None:
    """One finding a line: the list is not held in memory."""
    head = {"checked": totals.checked, "is_complete": not totals.unread, "not_checked": totals.unread}
    click.echo(orjson.dumps({**head, "counts": counts})[:-1].decode() + ',"findings":[')
    is_first = True
    for one in findings:
        click.echo(("" if is_first else ",") + orjson.dumps({name: one[name] for name in columns}).decode())
        is_first = False
    click.echo("]}")


def _print_findings(columns: Sequence[str], findings: Iterator[Row]) -> None:
    if not sys.stdout.isatty():
        while chunk := list(islice(findings, _CHUNK)):
            print_rows(columns, [{**one, "applied": _cell(one["applied"])} for one in chunk], as_json=False)
        return
    shown = [{**one, "applied": _cell(one["applied"])} for one in islice(findings, _MOST_ON_TERMINAL)]
    print_rows(columns, shown, as_json=False)
    if left := sum(1 for _ in findings):
        click.echo(f"{left} more findings: --csv or --json has them all")


def _print_totals(totals: Totals, counts: Mapping[str, int], *, applies: bool) -> None:
    for provider, reasons in sorted(totals.unread.items()):
        for reason, count in sorted(reasons.items()):
            why = _REASONS.get(reason, f"the vault did not answer ({reason})")
            click.echo(f"{provider:<9} {count} links not checked: {why}")
    found = ", ".join(f"{count} {code}" for code, count in sorted(counts.items()))
    click.echo(f"{totals.checked} links checked; {found or 'no findings'}")
    if counts and not applies:
        click.echo("Nothing was changed: see --apply.")
