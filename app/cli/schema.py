"""`vaultgraph schema`: prints the schema; `schema check` tells whether it breaks published documents."""

from collections import defaultdict
from pathlib import Path

import click
from graphql import build_schema

from app.api.client_config import apollo_config
from app.api.documents.changes import Weight, compare, schema_from
from app.api.documents.formats import ManifestEntry, ManifestUnreadable, read
from app.cli.documents import SDL_FILE, installed_sdl
from app.cli.open_store import CommandFailed, run_with_store, store_settings
from app.cli.options import ConfigLocation, source_options
from app.cli.output import print_json
from app.store import Store

_MANIFESTS = ("persisted-documents.json", "persisted-query-manifest.json", "persisted-queries.json")


@click.group(
    "schema",
    invoke_without_command=True,
    help="Print the schema (SDL); `schema check` compares two, `schema settings` is of the settings file.",
)
@click.option(
    "--subgraph", is_flag=True, help="Include Apollo Federation directives, for composition into a supergraph."
)
@click.option(
    "--client", type=click.Choice(["apollo"]), help="Print possibleTypes and typePolicies for a client's cache as JSON."
)
@click.pass_context
def command(context: click.Context, subgraph: bool, client: str | None) -> None:
    if context.invoked_subcommand is not None:
        return
    from resolvers.schema import print_sdl, subgraph_sdl

    if client is not None:
        print_json(apollo_config(build_schema(print_sdl())))
    else:
        click.echo(subgraph_sdl() if subgraph else print_sdl(), nl=False)


@command.command(help="Print the JSON schema of the settings file, for editors, or the reference of all settings.")
@click.option("--markdown", is_flag=True, help="Print docs/configuration.md.")
def settings(markdown: bool) -> None:
    from app.settings.json_schema import settings_schema
    from app.settings.reference import settings_page

    if markdown:
        click.echo(settings_page(), nl=False)
    else:
        print_json(settings_schema())


@command.command(help="List every difference from the schema in service; fail if one breaks a published document.")
@click.option("--against", type=SDL_FILE, required=True, help="Schema file in service now.")
@click.option("--new", type=SDL_FILE, default=None, help="New schema file. [default: this version's]")
@click.option(
    "--partners",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Folder with one subfolder per partner.",
)
@click.option(
    "--store/--no-store", "with_store", default=False, help="Also check the documents published in the store."
)
@source_options
def check(source: ConfigLocation, against: Path, new: Path | None, partners: Path | None, with_store: bool) -> None:
    published: dict[str, list[ManifestEntry]] = defaultdict(list)
    if partners is not None:
        published.update(from_folder(partners))
    if with_store:
        for name, rows in run_with_store(store_settings(source), _published).items():
            published[name].extend(rows)
    old = schema_from(against.read_text("utf-8"), against.name)
    current = schema_from(new.read_text("utf-8") if new is not None else installed_sdl(), new.name if new else "schema")
    changes, broken = compare(old, current, published)
    for change in changes:
        used = f"  [{', '.join(change.used_by)}]" if change.used_by else ""
        click.echo(f"{change.weight.value:<10}{change.description}{used}")
    count = {weight: sum(change.weight is weight for change in changes) for weight in Weight}
    total = sum(len(rows) for rows in published.values())
    click.echo(
        f"{count[Weight.BREAKING]} breaking, {count[Weight.DANGEROUS]} dangerous, {count[Weight.SAFE]} safe; "
        f"{total} documents of {len(published)} partners checked."
    )
    for one in broken:
        click.echo(f"broken     {one.partner}: {one.operation}: {one.message}", err=True)
    if broken:
        count_broken = len({(one.partner, one.operation) for one in broken})
        raise CommandFailed(f"{count_broken} published documents break: keep what they use, or retire them")


def from_folder(folder: Path) -> dict[str, list[ManifestEntry]]:
    """One partner per subfolder: a manifest with a usual name anywhere in it, otherwise its .graphql files."""
    found: dict[str, list[ManifestEntry]] = {}
    for partner in sorted(path for path in folder.iterdir() if path.is_dir()):
        manifests = [
            path for name in _MANIFESTS for path in sorted(partner.rglob(name)) if "node_modules" not in path.parts
        ]
        documents: list[ManifestEntry] = []
        for path in manifests or [partner]:
            candidates, faults = read(path)
            if faults:
                raise ManifestUnreadable(str(faults[0]))
            documents.extend(candidates)
        found[partner.name] = documents
    if not found:
        raise ManifestUnreadable(f"{folder.name}: no partners in it")
    return found


async def _published(store: Store) -> dict[str, list[ManifestEntry]]:
    found: dict[str, list[ManifestEntry]] = defaultdict(list)
    for record in await store.documents.live():
        place = f"published version {record.version}"
        found[record.client].append(ManifestEntry(record.document_id, record.text, place, record.operation_name))
    return found
