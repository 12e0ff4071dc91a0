"""`vaultgraph documents`: checks and publishes a partner's documents; lists published documents and their use."""

import json
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import click

from app.api.compose import limits_of
from app.api.documents.check import CheckedDocuments, Checker
from app.api.documents.described import DescribedGraph
from app.api.documents.formats import ManifestFault, read
from app.api.documents.openapi import openapi
from app.cli.open_store import CommandFailed, run_with_store, store_settings
from app.cli.operator_log import note, some_of
from app.cli.options import CREATE, SCOPES, ConfigLocation, TakesScopes, checked_scopes, source_options
from app.cli.output import JSON, fields_of, print_rows, progress
from app.execution.documents import Document, DocumentCache
from app.settings.model import Settings
from app.store import Store, Transaction
from app.store.documents import publish_documents, retire_documents
from app.store.errors import ClientUnknown, DocumentChanged
from app.store.records import ClientRecord, DocumentRecord, NewDocument, Publication
from app.wallet.caller import ALL_CUSTOMERS_SCOPES
from resolvers.sensitive_rule import SecretsInVariablesOnly

SDL_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_FILE: Final = click.Path(exists=True, path_type=Path)
_PROGRESS_FROM: Final = 200  # documents; no progress bar below this
_COLUMNS: Final = ("partner", "operation", "kind", "cost", "version", "id")
command = click.Group("documents", help="Manage published documents, the only operations that a partner app can run.")


def installed_sdl() -> str:
    """The schema that this version serves."""
    installed = files("app").joinpath("schema.graphql")
    if installed.is_file():
        return installed.read_text("utf-8")
    from resolvers.schema import print_sdl  # in a checkout

    return print_sdl()


@command.command(
    cls=TakesScopes,
    help="Check a file against a schema, without store or settings. For a partner's CI.\n\n"
    "Without --scope, scopes are not checked.",
)
@click.argument("file", type=_FILE)
@click.option("--schema", "schema_file", type=SDL_FILE, default=None, help="Schema file. [default: this version's]")
@SCOPES
def check(file: Path, schema_file: Path | None, scopes: tuple[str, ...]) -> None:
    sdl = schema_file.read_text("utf-8") if schema_file is not None else installed_sdl()
    checked = _checked(file, _checker(sdl, Settings()), checked_scopes(scopes) if scopes else None)
    for one in checked:
        shown = one.new.operation_name or one.new.document_id
        click.echo(f"{shown}: price {one.estimate.price}: {one.estimate.summary}")
    click.echo(f"{len(checked)} documents can be published.")


@command.command(help="Publish a manifest or a folder of .graphql files, all or nothing.")
@click.argument("partner")
@click.argument("file", type=_FILE)
@CREATE
@click.option("--replace", "retires_others", is_flag=True, help="Retire published documents that are not in the file.")
@click.option(
    "--agents",
    multiple=True,
    metavar="NAME",
    help="A mutation that agents may run as a tool, by operation name or id; repeatable. They may run every query.",
)
@source_options
def publish(source: ConfigLocation, partner: str, file: Path, retires_others: bool, agents: tuple[str, ...]) -> None:
    settings = store_settings(source)

    async def work(store: Store) -> None:
        client = await _client(store, partner)
        checker = _checker(installed_sdl(), settings)
        new = _for_agents(file.name, [one.new for one in _checked(file, checker, client.scopes)], agents)

        def save(tx: Transaction) -> Publication:
            made = publish_documents(tx, partner, new, replace=retires_others)
            added, retired = some_of(made.added), some_of(made.retired)
            shown = some_of([one.document_id for one in new if one.for_agents])
            note(
                tx, "documents publish",
                partner=partner, version=made.version, added=added, retired=retired, agents=shown,
            )  # fmt: skip
            return made

        try:
            made = await store.transaction(save)
        except DocumentChanged as changed:
            for document_id in changed.document_ids:
                click.echo(f"{file.name}: {document_id}: is published with another text", err=True)
            raise CommandFailed("nothing was published; --replace replaces published documents") from None
        click.echo(
            f"Published for {partner}, version {made.version}: {len(made.added)} new, {len(made.unchanged)} unchanged, "
            f"{len(made.retired)} retired."
        )

    run_with_store(settings, work)


@command.command(help="What `publish --replace` would change: + new, ~ changed text, - retired.")
@click.argument("partner")
@click.argument("file", type=_FILE)
@source_options
def diff(source: ConfigLocation, partner: str, file: Path) -> None:
    settings = store_settings(source)

    async def work(store: Store) -> None:
        client = await _client(store, partner)
        checker = _checker(installed_sdl(), settings)
        wanted = {one.new.document_id: one.new for one in _checked(file, checker, client.scopes)}
        live = {record.document_id: record for record in await store.documents.live(partner)}
        lines = [
            *(("+", key, new.operation_name) for key, new in wanted.items() if key not in live),
            *(
                ("~", key, new.operation_name)
                for key, new in wanted.items()
                if key in live and live[key].sha256 != new.sha256
            ),
            *(("-", key, record.operation_name) for key, record in live.items() if key not in wanted),
        ]
        for sign, key, name in sorted(lines, key=lambda line: (line[2] or "", line[1])):
            click.echo(f"{sign} {name or '(unnamed)'} {key}")
        click.echo(f"{len(lines)} differences, {len(live)} live.")

    run_with_store(settings, work)


@command.command("list", help="List documents.")
@click.argument("partner", required=False)
@click.option("--usage", is_flag=True, help="Show use count and time of last use.")
@click.option("--retired", is_flag=True, help="Retired ones too.")
@JSON
@source_options
def list_documents(source: ConfigLocation, partner: str | None, usage: bool, retired: bool, as_json: bool) -> None:
    async def work(store: Store) -> list[dict[str, Any]]:
        partners = [partner] if partner is not None else [client.name for client in await store.clients.all()]
        rows: list[dict[str, Any]] = []
        for name in partners:
            await _client(store, name)
            records = await (store.documents.all(name) if retired else store.documents.live(name))
            rows += [_row(name, record) for record in records]
        return rows

    usage_columns = ["uses", "last_used_at"] if usage else []
    columns = (*_COLUMNS, *(["retired_at"] if retired else []), *usage_columns, "agents")
    print_rows(columns, run_with_store(store_settings(source), work), as_json=as_json)


def _row(partner: str, record: DocumentRecord) -> dict[str, Any]:
    return {
        "partner": partner,
        "operation": record.operation_name,
        "kind": record.operation_kind,
        "id": record.document_id,
        "agents": record.operation_kind == "query" or record.for_agents,
        **fields_of(record, "cost", "version", "retired_at", "uses", "last_used_at"),
    }


@command.command("openapi", help="Print an OpenAPI 3.1 description of a partner's documents over plain HTTP.")
@click.argument("partner")
@click.option("--server", default="/", help="The gateway's address, for clients made from the file.")
@source_options
def print_openapi(source: ConfigLocation, partner: str, server: str) -> None:
    from resolvers.scalars import JSON_SCHEMAS

    async def work(store: Store) -> tuple[ClientRecord, list[DocumentRecord]]:
        return await _client(store, partner), await store.documents.live(partner)

    settings = store_settings(source)
    client, records = run_with_store(settings, work)
    graph = DescribedGraph(installed_sdl(), JSON_SCHEMAS)
    cache = DocumentCache(graph.schema, max_bytes=0, max_tokens=settings.gate.tokens, suggest=False)
    live = (_Live(one.document_id, one.version, one.for_agents, cache.prepare(one.text)) for one in records)
    documents = graph.describe(live)
    scopes = client.scopes if client.sees_all_customers else client.scopes - ALL_CUSTOMERS_SCOPES
    made = openapi(documents, scopes, title=f"Vaultgraph: {partner}", version=version("vaultgraph"), server=server)
    click.echo(json.dumps(made, indent=2))


@dataclass(frozen=True, slots=True)
class _Live:
    document_id: str
    version: int
    for_agents: bool
    document: Document


@command.command(help="Retire documents by id.")
@click.argument("partner")
@click.argument("ids", nargs=-1, required=True)
@source_options
def retire(source: ConfigLocation, partner: str, ids: tuple[str, ...]) -> None:
    def save(tx: Transaction) -> tuple[str, ...]:
        gone = retire_documents(tx, partner, ids)
        note(tx, "documents retire", partner=partner, retired=some_of(gone))
        return gone

    async def work(store: Store) -> None:
        gone = await store.transaction(save)
        for document_id in gone:
            click.echo(f"retired {document_id}")
        missing = sorted(set(ids) - set(gone))
        if missing:
            names = ", ".join(missing)
            raise CommandFailed(f"not published for {partner}: {names}; see `vaultgraph documents list {partner}`")

    run_with_store(store_settings(source), work)


def _for_agents(file: str, new: list[NewDocument], names: tuple[str, ...]) -> list[NewDocument]:
    """The documents, marked as `--agents` says. Raises CommandFailed after a line for each fault."""
    if not names:
        return new
    wanted = {name for text in names for name in text.split(",") if name}
    marked = [replace(one, for_agents=bool(wanted & {one.operation_name, one.document_id})) for one in new]
    chosen = [one for one in marked if one.for_agents]
    faults = [
        f"{file}: {name}: is not in the file"
        for name in sorted(wanted - {name for one in chosen for name in (one.operation_name, one.document_id)})
    ]
    faults += [
        f"{file}: {one.operation_name or one.document_id}: agents cannot subscribe"
        for one in chosen
        if one.operation_kind == "subscription"
    ]
    for fault in faults:
        click.echo(fault, err=True)
    if faults:
        raise CommandFailed(f"{len(faults)} faults: nothing was published")
    return marked


def _checker(sdl: str, settings: Settings) -> Checker:
    return Checker.from_sdl(sdl, limits_of(settings), [SecretsInVariablesOnly])


async def _client(store: Store, name: str) -> ClientRecord:
    client = await store.clients.client(name)
    if client is None:
        raise ClientUnknown("no such client")
    return client


def _checked(path: Path, checker: Checker, scopes: frozenset[str] | None) -> list[CheckedDocuments]:
    """Every document of the file. Prints one line per fault; raises CommandFailed if there are any."""
    candidates, early = read(path)
    if len(candidates) < _PROGRESS_FROM:
        checked, late = checker.check(candidates, partner_scopes=scopes)
    else:
        with progress("Checking", len(candidates)) as advance:
            checked, late = checker.check(candidates, partner_scopes=scopes, progress=advance)
    faults: list[ManifestFault] = [*early, *late]
    for fault in faults:
        click.echo(str(fault), err=True)
    if faults:
        raise CommandFailed(f"{len(faults)} faults: nothing was published")
    return checked
