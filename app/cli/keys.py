"""`vaultgraph keys`: makes new id and digest keys, and shows which ones are still needed."""

import os
import secrets
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from app.cli.open_store import CommandFailed, run_with_store, store_settings
from app.cli.options import ConfigLocation, source_options
from app.cli.output import JSON, print_rows
from app.server.reload import ID_KEY, key_names
from app.settings.model import Settings
from app.store import Store
from app.store.records import KeyUse, LeaseRecord
from app.wallet.digest import DIGEST_KEY
from app.wallet.keys import key_name
from app.wallet.writes.lease import WorkerLease

_SETTINGS: Final = {"id": ID_KEY, "digest": DIGEST_KEY}
_COLUMNS: Final = (
    "setting",
    "key",
    "state",
    "api_keys",
    "operations",
    "endpoints",
    "last_used_at",
    "known_since",
    "processes",
)
_RANDOM_BYTES: Final = 48
_UNNAMED: Final = "unnamed"
command = click.Group("keys", help="Rotate the gateway's own keys: docs/operations/key-rotation.md.")


@command.command(help="Make a new key, in a file that only its owner can read, and print where it goes.")
@click.argument("which", type=click.Choice(list(_SETTINGS)))
@click.option("--to", "file", type=click.Path(dir_okay=False, path_type=Path), help="The new file for the key.")
@click.option("--stdout", "prints", is_flag=True, help="Print the key on standard output, and the rest on the other.")
@source_options
def rotate(source: ConfigLocation, which: str, file: Path | None, prints: bool) -> None:
    if prints == (file is not None):
        raise click.UsageError("say where the new key goes: --to FILE or --stdout")
    settings = source.settings()  # which need not hold any key yet
    made, setting = secrets.token_urlsafe(_RANDOM_BYTES), _SETTINGS[which]
    if file is not None:
        _write(file, made)
    current = key_names(settings).get(setting, [])
    for line in _steps(setting, current, key_name(made), file):
        click.echo(line, err=prints)
    if prints:
        click.echo(made)


def _write(file: Path, key: str) -> None:
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(f"{key}\n")
    except FileExistsError:
        raise CommandFailed(f"{file} exists: choose another file, keys are not overwritten") from None
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written ({error.strerror})") from None


def _steps(setting: str, current: list[str], made: str, file: Path | None) -> Iterable[str]:
    yield f"New key {made} for {setting}{f', in {file.absolute()}' if file else ''}."
    if not current:
        yield f"These settings have no {setting} yet: set it."
        return
    yield f"The settings have {', '.join(current)}."
    yield f"1. Add it to the end of the list {setting} of every process, and reload each (SIGHUP, or a restart)."
    yield "2. When `vaultgraph keys status` shows it in all processes: move it to the front of every list, and reload."
    yield "3. When `vaultgraph keys status` shows that an old key is not needed: take it out of every list, and reload."


@command.command(
    help="Show every key by name: its place in the list, how many rows need it, and when an old one was last used. "
    "A name is a short hash of the key."
)
@JSON
@source_options
def status(source: ConfigLocation, as_json: bool) -> None:
    settings = store_settings(source)
    rows = run_with_store(settings, lambda store: _rows(store, settings))
    print_rows(_COLUMNS, rows, as_json=as_json)
    if not as_json and any(row["state"] == "missing" for row in rows):
        click.echo("missing: rows in the store need a key that is not in these settings", err=True)
    sys.exit(1 if any(row["state"] == "missing" for row in rows) else 0)


async def _rows(store: Store, settings: Settings) -> list[dict[str, Any]]:
    uses = {(use.purpose, use.name): use for use in await store.key_uses.all()}
    needs: list[dict[str | None, int]] = [
        await store.key_uses.api_keys_by_key(),
        await store.key_uses.operations_by_key(),
        await store.key_uses.endpoints_by_key(),
    ]
    processes = await WorkerLease(store, lambda: datetime.now(UTC)).others()
    rows: list[dict[str, Any]] = []
    for setting, names in key_names(settings).items():
        is_digest = setting == DIGEST_KEY
        needed = set().union(*needs) if is_digest else set()
        former = sorted({name for purpose, name in uses if purpose == setting} - set(names))
        for name in [*names, *former, *sorted(one or "" for one in needed - {*names, *former})]:
            counts = [by_key.get(name or None, 0) if is_digest else None for by_key in needs]
            rows.append(_row(setting, name, names, counts, uses.get((setting, name)), processes))
    return rows


def _row(
    setting: str,
    name: str,
    names: list[str],
    counts: list[int | None],
    use: KeyUse | None,
    processes: list[LeaseRecord],
) -> dict[str, Any]:
    if name in names:
        state = "first" if name == names[0] else "old or next"
    else:
        state = "missing" if name and any(counts) else "removed"
    holders = sum(name in one.keys.get(setting, ()) for one in processes)
    return {
        "setting": setting,
        "key": name or _UNNAMED,
        "state": state if name else "unknown",
        "api_keys": counts[0],
        "operations": counts[1],
        "endpoints": counts[2],
        "last_used_at": use.last_used_at if use else None,
        "known_since": use.known_since if use else None,
        "processes": f"{holders} of {len(processes)}",
    }
