"""`vaultgraph schema check`: checks whether this version's schema breaks published documents."""

import asyncio
from collections import defaultdict
from pathlib import Path

import click

from app.api.documents.changes import Weight, compare, schema_from
from app.api.documents.formats import ManifestEntry, ManifestUnreadable, read
from app.cli.commands.documents import installed_sdl
from app.cli.commands.open_store import open_store, store_settings
from app.errors import VaultgraphError

_MANIFESTS = ("persisted-documents.json", "persisted-query-manifest.json", "persisted-queries.json")


class SchemaBreaksDocuments(VaultgraphError):
    """The schema breaks published documents, each already printed."""


def run_schema_check(
    *,
    against: Path,
    new: Path | None,
    partners: Path | None,
    config_file: Path | None,
    data_dir: Path | None,
    with_store: bool,
) -> None:
    published: dict[str, list[ManifestEntry]] = defaultdict(list)
    if partners is not None:
        published.update(from_folder(partners))
    if with_store:
        for name, rows in asyncio.run(_from_store(config_file, data_dir)).items():
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
        raise SchemaBreaksDocuments(
            f"{len({(one.partner, one.operation) for one in broken})} published documents break"
        )


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


async def _from_store(config_file: Path | None, data_dir: Path | None) -> dict[str, list[ManifestEntry]]:
    found: dict[str, list[ManifestEntry]] = defaultdict(list)
    async with open_store(store_settings(config_file, data_dir)) as store:
        for record in await store.documents.live():
            place = f"published version {record.version}"
            found[record.client].append(ManifestEntry(record.document_id, record.text, place, record.operation_name))
    return found
