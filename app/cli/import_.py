"""`vaultgraph import`: links existing vault customers and imports cards by processor token, from a file.

The file is checked first, then sent in batches. Each batch is one operation in the journal; its idempotency key is the
file's digest and the batch's position. A later run of the same file finds the outcome of each row, sends only rows not
yet sent or failed for a retryable reason, and applies no row twice. Memory holds one batch.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from ulid import ULID

from app.cli.import_file import ACCOUNT, CARD, REQUIRED, SHOWN, TOKENS, WITHHELD, ImportRefused, measure, rows_of
from app.cli.import_rejects import Reject, RejectsFile
from app.cli.local_gateway import OPERATOR, call_of_command, deadline_in, local_gateway
from app.cli.options import CREATE, SANDBOX_URL, ConfigLocation, source_options
from app.cli.output import JSON, print_json, progress
from app.providers.registry import import_token_field
from app.store.records import ImportRecord, OperationState
from app.vault.enums import BankAccountType, CardBrand, CustomerRef, ProviderName
from app.vault.model import Expiry
from app.vault.pan import looks_like_card_number
from app.vault.rules.text import tidy
from app.vault.secret import Secret
from app.wallet.commands import ImportedAccountLook, ImportedLook, ImportMethods, ImportRow, WriteResult
from app.wallet.writes.importing import ImportMethodsHandler, is_settled

if TYPE_CHECKING:
    from app.main import Gateway

BATCH: Final = 200
_RETRY_FOR_S: Final = 60.0
_RETRYABLE: Final = "retryable"
"""Counter of the rejected rows that another run retries."""
_OUTCOMES: Final = ("imported", "checked", "rejected", "unknown", _RETRYABLE)


class ImportFileUnreadable(ValueError):
    """A row cannot be understood; the message names the column and never its value."""

    def __init__(self, message: str, code: str = "INVALID_INPUT") -> None:
        super().__init__(message)
        self.code = code


@click.command(
    "import",
    help="Link existing vault customers and import cards by processor token, from a .csv or .ndjson file.\n\n"
    "The whole file is checked first. Another run resumes after an interruption and retries rows that failed for a "
    "retryable reason. Exit status 1 if a row was not imported.",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check every row without changing anything.")
@click.option("--create-customers", is_flag=True, help="Create customers that do not exist in the gateway.")
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="File for rows that were not imported; never overwrites an existing file. [default: FILE.rejects.csv]",
)
@CREATE
@SANDBOX_URL
@JSON
@source_options
def command(
    source: ConfigLocation,
    file: Path,
    dry_run: bool,
    create_customers: bool,
    rejects: Path | None,
    sandbox_url: str | None,
    as_json: bool,
) -> None:
    digest, total = measure(file)
    RejectsFile.beside(file, rejects, is_repeat=True)  # checks that need no store

    async def main() -> tuple[Counter[str], Path | None]:
        async with local_gateway(source, sandbox_url) as gateway:
            run = _Run(gateway, file, digest, dry_run=dry_run, create_customers=create_customers, is_quiet=as_json)
            return await run.all(total, rejects)

    counts, written = asyncio.run(main())
    if as_json:
        print_json({"rows": total, **dict.fromkeys(_OUTCOMES, 0), **counts, "rejects_file": written and str(written)})
    else:
        _print_result(counts, written, dry_run=dry_run)
    sys.exit(1 if counts["rejected"] or counts["unknown"] else 0)


def _print_result(counts: Counter[str], written: Path | None, *, dry_run: bool) -> None:
    parts = [f"{count} {name}" for name, count in sorted(counts.items()) if count and name != _RETRYABLE]
    click.echo(", ".join(parts) or "nothing to import")
    if written is not None:
        click.echo(f"Rows that were not imported, with reasons: {written}")
    if (again := counts[_RETRYABLE] + counts["unknown"]) and not dry_run:
        click.echo(f"{again} of them may be imported by running the same command again.")
    elif dry_run and counts["checked"]:
        click.echo("Nothing was changed: run the same command without --dry-run.")


class _Run:
    """One import run of one file."""

    def __init__(
        self,
        gateway: "Gateway",
        path: Path,
        digest: str,
        *,
        dry_run: bool,
        create_customers: bool,
        is_quiet: bool,
    ) -> None:
        self._gateway = gateway
        self._path = path
        self._digest = digest
        self._dry_run = dry_run
        self._create = create_customers
        self._is_quiet = is_quiet
        key = f"import:{digest[:32]}:{'dry' if dry_run else 'real'}:{'create' if create_customers else 'known'}"
        self._key = f"{key}:{ULID()}" if dry_run else key  # each dry run starts anew

    async def all(self, total: int, asked: Path | None) -> tuple[Counter[str], Path | None]:
        """The number of rows per outcome, and the path of the rejects file."""
        imports = self._gateway.store.imports
        is_repeat = await imports.find(self._key) is not None
        rejects = RejectsFile.beside(self._path, asked, is_repeat=is_repeat)
        record = await imports.start(self._key, content_digest=self._digest, started_by=OPERATOR.id)
        if record.finished_at is not None and not _has_retryable_rows(record.counts):
            self._say("This file was already imported completely; nothing is sent again.")
            return Counter(record.counts), None
        if record.finished_at is not None:
            self._say("This file was already imported: only rows that failed for a retryable reason are sent again.")
        elif record.next_row:
            self._say(f"Resuming after row {record.next_row}.")
        try:
            return await self._batches(record, total, rejects), rejects.written
        finally:
            rejects.close()

    def _say(self, text: str) -> None:
        if not self._is_quiet:
            click.echo(text)

    async def _batches(self, record: ImportRecord, total: int, rejects: RejectsFile) -> Counter[str]:
        """Every batch from the first on. The journal answers for completed batches without calling a vault."""
        imports, counts, start = self._gateway.store.imports, Counter[str](), 0
        with closing(rows_of(self._path)) as rows, progress("Importing", total) as advance:
            while batch := list(islice(rows, BATCH)):
                rejects.write(await self._batch(start, batch, counts, was_done=start < record.next_row))
                start += len(batch)
                if start > record.next_row:
                    record = await self._progress(record, start, counts)
                advance(len(batch))
        if record.finished_at is None:
            await imports.progress(record, next_row=record.next_row, counts=_known(counts), is_finished=True)
        else:
            await imports.recount(record.key, _known(counts))
        return counts

    async def _progress(self, record: ImportRecord, next_row: int, counts: Mapping[str, int]) -> ImportRecord:
        moved = await self._gateway.store.imports.progress(record, next_row=next_row, counts=counts)
        if moved is None:
            raise ImportRefused("another run is importing this file")
        return moved

    async def _batch(
        self, start: int, batch: list[dict[str, str]], counts: Counter[str], *, was_done: bool
    ) -> list[Reject]:
        readable: list[tuple[int, ImportRow]] = []
        rejects: list[Reject] = []
        for number, values in enumerate(batch, start=start + 1):
            try:
                readable.append((number, row_from(values)))
            except ImportFileUnreadable as fault:
                rejects.append(Reject(number, values, fault.code, str(fault)))
        counts.update(["rejected"] * len(rejects))
        if readable:
            rejects += await self._send(start, batch, readable, counts, was_done=was_done)
        return sorted(rejects, key=lambda reject: reject.row)

    async def _send(
        self,
        start: int,
        batch: list[dict[str, str]],
        readable: list[tuple[int, ImportRow]],
        counts: Counter[str],
        *,
        was_done: bool,
    ) -> list[Reject]:
        key = f"{self._key}:{start}"
        journal = self._gateway.store.journal
        if was_done and await journal.by_key(OPERATOR.id, ImportMethodsHandler.mutation, key) is None:
            raise ImportRefused(
                "this file was imported so long ago that the outcome of its rows is no longer stored; "
                "import the rows of its rejects file"
            )
        command = ImportMethods(
            idempotency_key=key,
            rows=tuple(row for _, row in readable),
            dry_run=self._dry_run,
            create_customers=self._create,
        )
        result = await self._retry_until_final(command)
        if result.operation is None:
            raise ImportRefused("; ".join(problem.message for problem in result.problems))
        page = await journal.results(result.operation.id, first=BATCH)
        rejects: list[Reject] = []
        for outcome in page.rows:
            number, _ = readable[outcome.row]
            if outcome.state is OperationState.SUCCEEDED:
                counts["checked" if self._dry_run else "imported"] += 1
                continue
            is_failed = outcome.state is OperationState.FAILED
            counts["rejected" if is_failed else "unknown"] += 1
            if is_failed and not is_settled(outcome):
                counts[_RETRYABLE] += 1
            error = outcome.error or {}
            code, message = str(error.get("code", "OUTCOME_UNKNOWN")), str(error.get("message", ""))
            rejects.append(Reject(number, batch[number - start - 1], code, message))
        return rejects

    async def _retry_until_final(self, command: ImportMethods) -> WriteResult:
        """Retry under the same idempotency key while a row's outcome is unknown and the vault can be asked again: after
        a lost reply or an interrupted run.
        """
        give_up_at = deadline_in(_RETRY_FOR_S)
        while True:
            result = await self._gateway.writer.run(command, OPERATOR, call_of_command())
            if not _is_retryable(result) or deadline_in(0) > give_up_at:
                return result
            await asyncio.sleep(1)


def _is_retryable(result: WriteResult) -> bool:
    operation = result.operation
    if operation is None or operation.state is not OperationState.UNKNOWN:
        return operation is not None and operation.state is OperationState.PENDING
    return operation.reconcile_at is not None


def _has_retryable_rows(counts: Mapping[str, int]) -> bool:
    """True if another run may import more. Imports by earlier versions did not count retryable rows."""
    return bool(counts.get("unknown") or counts.get(_RETRYABLE, counts.get("rejected")))


def _known(counts: Counter[str]) -> dict[str, int]:
    return {_RETRYABLE: 0, **counts}


def row_from(values: Mapping[str, str]) -> ImportRow:
    """Parse one row. Raises Unreadable."""
    for name, value in values.items():
        if looks_like_card_number(value):
            raise ImportFileUnreadable(f"{name} holds a card number, which is not allowed there", "PAN_NOT_ALLOWED")
    for name in REQUIRED:
        if not values.get(name, "").strip():
            raise ImportFileUnreadable(f"{name} is missing")
    try:
        provider = ProviderName(values["provider"].strip().lower())
    except ValueError:
        raise ImportFileUnreadable(f"provider is none of {', '.join(ProviderName)}") from None
    column = import_token_field(provider, [name for name in TOKENS if values.get(name, "").strip()])
    token = values.get(column, "").strip()
    if token == WITHHELD:
        raise ImportFileUnreadable(
            f"{column} is not in a rejects file: put the token back, or empty the cell to link alone"
        )
    is_account = _has_any(values, ACCOUNT)
    if is_account and _has_any(values, CARD):
        raise ImportFileUnreadable(f"a row is a card ({', '.join(CARD)}) or a bank account ({', '.join(ACCOUNT)})")
    is_card = not is_account and _has_any(values, (*CARD, *SHOWN))
    return ImportRow(
        external_id=values["external_id"].strip(),
        provider=provider,
        customer_ref=CustomerRef(values["customer_ref"].strip()),
        processor_token=Secret(token) if token else None,
        token_field=column,
        card=_card_from(values) if is_card else None,
        account=_account_from(values) if is_account else None,
    )


def _has_any(values: Mapping[str, str], names: Sequence[str]) -> bool:
    return any(values.get(name, "").strip() for name in names)


def _last4_of(values: Mapping[str, str]) -> str:
    last4 = values.get("last4", "").strip()
    if not (len(last4) == 4 and last4.isascii() and last4.isdigit()):
        raise ImportFileUnreadable("last4 is not four digits")
    return last4


def _account_from(values: Mapping[str, str]) -> ImportedAccountLook:
    last4 = _last4_of(values)
    try:
        kind = BankAccountType(values.get("account_type", "").strip().upper())
    except ValueError:
        raise ImportFileUnreadable("account_type is not known") from None
    return ImportedAccountLook(
        last4=last4,
        account_type=kind,
        holder_name=tidy(values.get("holder_name", "")),
        routing_number=values.get("routing_number", "").strip() or None,
    )


def _card_from(values: Mapping[str, str]) -> ImportedLook:
    last4, month = _last4_of(values), values.get("expiry", "").strip()
    year, _, number = month.partition("-")
    try:
        expiry = Expiry(int(year), int(number))
        brand = CardBrand(values.get("brand", "").strip().upper())
    except ValueError:
        raise ImportFileUnreadable("expiry is not YYYY-MM, or brand is not known") from None
    return ImportedLook(
        last4=last4,
        expiry=expiry,
        brand=brand,
        holder_name=tidy(values.get("holder_name", "")),
        bin=values.get("bin", "").strip() or None,
    )
