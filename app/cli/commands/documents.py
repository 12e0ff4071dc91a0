"""`vaultgraph documents`: checks and publishes a partner's documents; lists published documents and their use."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from pathlib import Path

import click

from app.api.compose import limits_of
from app.api.documents.check import CheckedDocuments, Checker
from app.api.documents.formats import ManifestFault, read
from app.cli.commands.open_store import open_store, store_settings
from app.cli.commands.operator_log import note, some_of
from app.cli.commands.startup_errors import store_startup_errors
from app.errors import VaultgraphError
from app.settings.model import Settings
from app.store import Store
from app.store.errors import ClientUnknown, DocumentChanged
from app.store.records import ClientRecord, DocumentRecord
from resolvers.sensitive_rule import SecretsInVariablesOnly

_PROGRESS_FROM = 200  # documents; no progress bar below this
Work = Callable[[Store], Awaitable[None]]


class DocumentsRefused(VaultgraphError):
    """The file has faults, each already printed; no document was published."""


class DocumentsError(VaultgraphError):
    """The command failed; the message gives the reason."""


class DocumentsTarget:
    """Location of the documents: `--config` and `--data-dir`."""

    def __init__(self, config_file: Path | None, data_dir: Path | None) -> None:
        self.settings = store_settings(config_file, data_dir)

    def run(self, work: Work) -> None:
        async def main() -> None:
            async with open_store(self.settings) as store:
                with store_startup_errors():
                    await work(store)

        try:
            asyncio.run(main())
        except ClientUnknown:
            raise DocumentsError("there is no partner with this name: see `vaultgraph partner list`") from None


def installed_sdl() -> str:
    """The schema that this version serves."""
    return files("app").joinpath("schema.graphql").read_text("utf-8") if _is_installed() else _checkout_sdl()


def _is_installed() -> bool:
    return files("app").joinpath("schema.graphql").is_file()


def _checkout_sdl() -> str:
    from resolvers.schema import print_sdl

    return print_sdl()


def run_check(path: Path, *, schema_file: Path | None, scopes: frozenset[str] | None) -> None:
    """Check a file without store or settings, for a partner's CI."""
    sdl = schema_file.read_text("utf-8") if schema_file is not None else installed_sdl()
    checked = _checked(path, _checker(sdl, Settings()), scopes)
    for one in checked:
        shown = one.new.operation_name or one.new.document_id
        click.echo(f"{shown}: price {one.estimate.price}: {one.estimate.told}")
    click.echo(f"{len(checked)} documents can be published.")


def run_publish(place: DocumentsTarget, partner: str, path: Path, *, replace: bool) -> None:
    async def work(store: Store) -> None:
        client = await _client(store, partner)
        checker = _checker(installed_sdl(), place.settings)
        checked = _checked(path, checker, client.scopes)
        try:
            async with store.transaction() as tx:
                made = await store.documents.publish(partner, [one.new for one in checked], replace=replace, tx=tx)
                added, retired = some_of(made.added), some_of(made.retired)
                await note(
                    store, tx, "documents publish", partner=partner, version=made.version, added=added, retired=retired
                )
        except DocumentChanged as changed:
            for document_id in changed.document_ids:
                click.echo(f"{path.name}: {document_id}: is published with another text", err=True)
            raise DocumentsRefused("nothing was published; --replace replaces published documents") from None
        click.echo(
            f"Published for {partner}, version {made.version}: {len(made.added)} new, {len(made.unchanged)} unchanged, "
            f"{len(made.retired)} retired."
        )

    place.run(work)


def run_diff(place: DocumentsTarget, partner: str, path: Path) -> None:
    """Preview `publish --replace`: + new, ~ changed text, - retired."""

    async def work(store: Store) -> None:
        client = await _client(store, partner)
        checker = _checker(installed_sdl(), place.settings)
        wanted = {one.new.document_id: one.new for one in _checked(path, checker, client.scopes)}
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

    place.run(work)


def run_list(place: DocumentsTarget, partner: str | None, *, usage: bool, retired: bool) -> None:
    async def work(store: Store) -> None:
        partners = [partner] if partner is not None else [client.name for client in await store.clients.all()]
        for name in partners:
            await _client(store, name)
            rows = await (store.documents.all(name) if retired else store.documents.live(name))
            for record in rows:
                click.echo("  ".join(_columns(name, record, usage=usage)))

    place.run(work)


def run_retire(place: DocumentsTarget, partner: str, document_ids: Sequence[str]) -> None:
    async def work(store: Store) -> None:
        async with store.transaction() as tx:
            gone = await store.documents.retire(partner, document_ids, tx=tx)
            await note(store, tx, "documents retire", partner=partner, retired=some_of(gone))
        for document_id in gone:
            click.echo(f"retired {document_id}")
        missing = sorted(set(document_ids) - set(gone))
        if missing:
            raise DocumentsError(f"not published for {partner}: {', '.join(missing)}")

    place.run(work)


def _columns(partner: str, record: DocumentRecord, *, usage: bool) -> list[str]:
    columns = [
        partner,
        record.operation_name or "(unnamed)",
        record.operation_kind,
        f"cost {record.cost}",
        f"version {record.version}",
        record.document_id,
    ]
    if record.retired_at is not None:
        columns.append(f"retired {record.retired_at:%Y-%m-%d}")
    if usage:
        last = f"{record.last_used_at:%Y-%m-%d %H:%M}" if record.last_used_at else "never"
        columns.append(f"used {record.uses} times, last {last}")
    return columns


def _checker(sdl: str, settings: Settings) -> Checker:
    return Checker.from_sdl(sdl, limits_of(settings), [SecretsInVariablesOnly])


async def _client(store: Store, name: str) -> ClientRecord:
    client = await store.clients.client(name)
    if client is None:
        raise ClientUnknown("no such client")
    return client


def _checked(path: Path, checker: Checker, scopes: frozenset[str] | None) -> list[CheckedDocuments]:
    """Every document of the file. Prints one line per fault; raises DocumentsRefused if there are any."""
    candidates, early = read(path)
    if len(candidates) < _PROGRESS_FROM:
        checked, late = checker.check(candidates, partner_scopes=scopes)
    else:
        with click.progressbar(length=len(candidates), label="Checking", show_pos=True) as bar:
            checked, late = checker.check(candidates, partner_scopes=scopes, progress=bar.update)
    faults: list[ManifestFault] = [*early, *late]
    for fault in faults:
        click.echo(str(fault), err=True)
    if faults:
        raise DocumentsRefused(f"{len(faults)} faults: nothing was published")
    return checked
