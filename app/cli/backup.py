"""`vaultgraph backup`: copies the embedded store while it is used."""

from pathlib import Path

import click

from app.cli.open_store import CommandFailed
from app.cli.options import ConfigLocation, source_options
from app.cli.startup_errors import name_store, sqlite_file
from app.errors import StoreUnavailable


@click.command(
    "backup",
    help="Copy the embedded store (SQLite) to a new file, while processes use it. For PostgreSQL, use pg_dump.",
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@source_options
def command(source: ConfigLocation, file: Path) -> None:
    from app.store.backup import back_up

    settings = source.settings()
    store = sqlite_file(settings)
    if store is None:
        raise CommandFailed("the store is PostgreSQL: use pg_dump, see docs/operations/backup.md")
    name_store(settings)
    try:
        back_up(store, file)
    except FileExistsError:
        raise CommandFailed(f"{file} exists: choose another file, backups are not overwritten") from None
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written ({error.strerror})") from None
    except StoreUnavailable as error:
        raise CommandFailed(f"the store could not be copied to {file} ({error.cause})") from None
    click.echo(f"{file} {file.stat().st_size} bytes")
