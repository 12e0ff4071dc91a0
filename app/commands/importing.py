"""`vaultgraph import` and `vaultgraph link`: existing vault customers and processor tokens, from a file or one by one.

A file is read in batches, each of which is one operation of the journal under a key made of the file's digest and the
batch's place: so a run that was cut short, however it was, goes on where it stopped and applies no row twice. What is
in memory is one batch.
"""

import asyncio
import csv
import json
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click
from ulid import ULID

from app.commands.working import OPERATOR, deadline_in, working_gateway
from app.errors import VaultgraphError
from app.pan import looks_like_card_number
from app.store.records import ImportRecord, OperationState
from app.vault.model import Expiry
from app.vault.names import CardBrand, CustomerRef, ProviderName
from app.vault.provider import Call
from app.vault.rules.text import tidy
from app.vault.secret import Secret
from app.wallet.commands import ImportedLook, ImportMethods, ImportRow, LinkCustomer, WriteResult

if TYPE_CHECKING:
    from app.main import Gateway

BATCH: Final = 200
_WITHIN_S: Final = 600.0
_UNDECIDED_S: Final = 60.0
_UNDECIDED: Final = frozenset({OperationState.PENDING, OperationState.UNKNOWN})
COLUMNS: Final = (
    "external_id", "provider", "customer_ref", "caselle_processor_token", "last4", "expiry", "brand", "holder_name"
)  # fmt: skip
_REQUIRED: Final = COLUMNS[:3]
_CARD: Final = COLUMNS[4:]
_REJECTED: Final = ("row", "external_id", "provider", "customer_ref", "code", "message")
_LONGEST: Final = 4_096


class ImportRefused(VaultgraphError):
    """The file cannot be imported at all; the message says why."""


class Unreadable(ValueError):
    """One row cannot be understood; the message names the column and never its value."""

    def __init__(self, message: str, code: str = "INVALID_INPUT") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not imported, and why. It repeats the row's refs and never its token."""

    row: int
    values: Mapping[str, str]
    code: str
    message: str

    def columns(self) -> list[str]:
        shown = [self.values.get(name, "") for name in _REQUIRED]
        safe = ["" if looks_like_card_number(value) else value[:255] for value in shown]
        return [str(self.row), *safe, self.code, self.message]


def run_import(
    path: Path,
    *,
    dry_run: bool,
    create_customers: bool,
    rejects: Path | None,
    config_file: Path | None,
    data_dir: Path | None,
    sandbox_url: str | None,
) -> bool:
    """Import a file; True when every row is imported."""
    digest, total = _measured(path)
    target = rejects or path.with_name(f"{path.name}.rejects.csv")

    async def main() -> Counter[str]:
        async with working_gateway(config_file, data_dir, sandbox_url) as gateway:
            run = _Run(gateway, path, digest, dry_run=dry_run, create_customers=create_customers)
            return await run.all(total, target)

    counts = asyncio.run(main())
    told = [f"{count} {name}" for name, count in sorted(counts.items()) if count]
    click.echo(", ".join(told) or "nothing to import")
    if counts["rejected"] or counts["unknown"]:
        click.echo(f"The rows that were not imported, and why: {target}")
    return not (counts["rejected"] or counts["unknown"])


class _Run:
    """One file on its way."""

    def __init__(self, gateway: "Gateway", path: Path, digest: str, *, dry_run: bool, create_customers: bool) -> None:
        self._gateway = gateway
        self._path = path
        self._digest = digest
        self._dry_run = dry_run
        self._create = create_customers
        self._key = f"import:{digest[:32]}:{'dry' if dry_run else 'real'}:{'create' if create_customers else 'known'}"

    async def all(self, total: int, target: Path) -> Counter[str]:
        imports = self._gateway.store.imports
        key = f"{self._key}:{ULID()}" if self._dry_run else self._key  # a dry run begins anew each time
        record = await imports.start(key, content_digest=self._digest, started_by=OPERATOR.shown)
        counts: Counter[str] = Counter(record.counts)
        if record.finished_at is not None:
            click.echo("This file was imported before, to its end; nothing is sent again.")
            return counts
        if record.next_row:
            click.echo(f"Going on after row {record.next_row}.")
        _keep_rejects_up_to(target, record.next_row)
        with (
            closing(rows_of(self._path)) as rows,
            target.open("a", encoding="utf-8", newline="") as out,
            click.progressbar(length=total, label="Importing", show_pos=True) as bar,
        ):
            writer = csv.writer(out)
            bar.update(sum(1 for _ in islice(rows, record.next_row)))
            while batch := list(islice(rows, BATCH)):
                found = await self._batch(record.next_row, batch, counts)
                writer.writerows(reject.columns() for reject in found)
                out.flush()
                record = await self._progress(record, len(batch), counts)
                bar.update(len(batch))
        await imports.progress(record, next_row=record.next_row, counts=counts, is_finished=True)
        return counts

    async def _progress(self, record: ImportRecord, rows: int, counts: Mapping[str, int]) -> ImportRecord:
        moved = await self._gateway.store.imports.progress(record, next_row=record.next_row + rows, counts=counts)
        if moved is None:
            raise ImportRefused("another run is importing this file")
        return moved

    async def _batch(self, start: int, batch: list[dict[str, str]], counts: Counter[str]) -> list[Reject]:
        readable: list[tuple[int, ImportRow]] = []
        rejects: list[Reject] = []
        for number, values in enumerate(batch, start=start + 1):
            try:
                readable.append((number, row_from(values)))
            except Unreadable as fault:
                rejects.append(Reject(number, values, fault.code, str(fault)))
        counts.update(["rejected"] * len(rejects))
        if readable:
            rejects += await self._send(start, batch, readable, counts)
        return sorted(rejects, key=lambda reject: reject.row)

    async def _send(
        self, start: int, batch: list[dict[str, str]], readable: list[tuple[int, ImportRow]], counts: Counter[str]
    ) -> list[Reject]:
        command = ImportMethods(
            idempotency_key=f"{self._key}:{start}" if not self._dry_run else f"dry-run:{ULID()}",
            rows=tuple(row for _, row in readable),
            dry_run=self._dry_run,
            create_customers=self._create,
        )
        result = await self._decided(command)
        if result.operation is None:
            raise ImportRefused("; ".join(problem.message for problem in result.problems))
        page = await self._gateway.store.journal.results(result.operation.id, first=BATCH)
        rejects: list[Reject] = []
        for outcome in page.rows:
            number, _ = readable[outcome.row]
            if outcome.state is OperationState.SUCCEEDED:
                counts["checked" if self._dry_run else "imported"] += 1
                continue
            counts["unknown" if outcome.state is not OperationState.FAILED else "rejected"] += 1
            error = outcome.error or {}
            code, message = str(error.get("code", "OUTCOME_UNKNOWN")), str(error.get("message", ""))
            rejects.append(Reject(number, batch[number - start - 1], code, message))
        return rejects

    async def _decided(self, command: ImportMethods) -> WriteResult:
        """Ask again under the same key while it is not known what became of a row: a lost answer, a run cut short."""
        give_up_at = deadline_in(_UNDECIDED_S)
        while True:
            result = await self._gateway.writer.import_methods(command, OPERATOR, _call())
            waits = result.operation is not None and result.operation.state in _UNDECIDED
            if not waits or deadline_in(0) > give_up_at:
                return result
            await asyncio.sleep(1)


def run_link(
    customer: str,
    provider: str,
    customer_ref: str,
    *,
    config_file: Path | None,
    data_dir: Path | None,
    sandbox_url: str | None,
) -> None:
    """Link one of our customers (`cus_...` or an external id) to a vault's."""

    async def main() -> WriteResult:
        async with working_gateway(config_file, data_dir, sandbox_url) as gateway:
            directory = gateway.store.directory
            found = await directory.customer(customer) or await directory.customer_by_external_id(customer)
            if found is None:
                raise ImportRefused("there is no such customer")
            command = LinkCustomer(
                customer_id=found.id,
                idempotency_key=f"link:{ULID()}",
                provider=ProviderName(provider),
                customer_ref=CustomerRef(customer_ref),
            )
            return await gateway.writer.link_customer(command, OPERATOR, _call())

    result = asyncio.run(main())
    if result.problems:
        raise ImportRefused("; ".join(f"{problem.code.value}: {problem.message}" for problem in result.problems))
    click.echo("linked")


def rows_of(path: Path) -> Generator[dict[str, str], None, None]:
    """The rows of a CSV file with a header, or of newline-delimited JSON; one at a time. Raises ImportRefused."""
    with path.open(encoding="utf-8-sig", newline="", errors="strict") as file:
        try:
            yield from _json_rows(file) if path.suffix.lower() in (".ndjson", ".jsonl") else _csv_rows(file)
        except UnicodeDecodeError:
            raise ImportRefused("the file is not UTF-8") from None


def _csv_rows(file: IO[str]) -> Iterator[dict[str, str]]:
    reader = csv.DictReader(file, restkey="", restval="")
    _check_columns(reader.fieldnames or ())
    for row in reader:
        yield {name: value for name, value in row.items() if isinstance(value, str)}


def _json_rows(file: IO[str]) -> Iterator[dict[str, str]]:
    for line in file:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        yield {name: str(value) for name, value in row.items() if value is not None} if isinstance(row, dict) else {}


def _check_columns(names: Iterable[str]) -> None:
    found = list(names)
    if missing := [name for name in _REQUIRED if name not in found]:
        raise ImportRefused(f"the file lacks the columns: {', '.join(missing)}")
    if unknown := [name for name in found if name not in COLUMNS]:
        raise ImportRefused(f"columns that are not known: {len(unknown)}; there are {', '.join(COLUMNS)}")


def row_from(values: Mapping[str, str]) -> ImportRow:
    """Read one row. Raises Unreadable."""
    for name, value in values.items():
        if looks_like_card_number(name) or looks_like_card_number(value):
            place = name if name in COLUMNS else "another column"
            raise Unreadable(f"{place} holds a card number, which must not stand there", "PAN_NOT_ALLOWED")
        if name in COLUMNS and len(value) > _LONGEST:
            raise Unreadable(f"{name} is too long")
    for name in _REQUIRED:
        if not values.get(name, "").strip():
            raise Unreadable(f"{name} is missing")
    try:
        provider = ProviderName(values["provider"].strip().lower())
    except ValueError:
        raise Unreadable(f"provider is none of {', '.join(ProviderName)}") from None
    token = values.get("caselle_processor_token", "").strip()
    return ImportRow(
        external_id=values["external_id"].strip(),
        provider=provider,
        customer_ref=CustomerRef(values["customer_ref"].strip()),
        processor_token=Secret(token) if token else None,
        card=_card_from(values) if any(values.get(name, "").strip() for name in _CARD) else None,
    )


def _card_from(values: Mapping[str, str]) -> ImportedLook:
    last4, month = values.get("last4", "").strip(), values.get("expiry", "").strip()
    if not (len(last4) == 4 and last4.isascii() and last4.isdigit()):
        raise Unreadable("last4 is not four digits")
    year, _, number = month.partition("-")
    try:
        expiry = Expiry(int(year), int(number))
        brand = CardBrand(values.get("brand", "").strip().upper())
    except ValueError:
        raise Unreadable("expiry is not YYYY-MM, or brand is not known") from None
    return ImportedLook(last4=last4, expiry=expiry, brand=brand, holder_name=tidy(values.get("holder_name", "")))


def _measured(path: Path) -> tuple[str, int]:
    """The file's digest and how many rows it has, read once without keeping it."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest(), sum(1 for _ in rows_of(path))


def _keep_rejects_up_to(target: Path, row: int) -> None:
    """Rejects of a batch that was cut short are told again: drop them. The file is small: it holds rejects alone."""
    kept: list[list[str]] = []
    if row and target.exists():
        with target.open(encoding="utf-8", newline="") as file:
            kept = [line for line in csv.reader(file) if line and line[0].isdigit() and int(line[0]) <= row]
    with target.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([_REJECTED, *kept])


def _call() -> Call:
    return Call(deadline_at=deadline_in(_WITHIN_S), request_id=str(ULID()), client="import")
