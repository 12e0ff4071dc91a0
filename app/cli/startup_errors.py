"""One-line errors for problems of the machine at startup."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import click

from app.cli.options import may_create
from app.errors import SettingsError
from app.settings.model import Settings
from app.store import make_engine
from app.store.errors import StatementFailed, StoreUnavailable


def usable_folder(folder: Path) -> Path:
    """The data directory, created if missing. Raises SettingsError if it is not writable."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error.strerror) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unusable(folder, "Permission denied")
    return folder


def sqlite_file(settings: Settings) -> Path | None:
    """The file of an embedded store; None for a database server. Raises SettingsError."""
    if not settings.store.url:
        return settings.data_dir / "vaultgraph.db"
    from app.main import store_url

    engine = make_engine(store_url(settings))
    return Path(engine.address) if engine.is_sqlite else None


def described_store(settings: Settings) -> str:
    """The store without credentials: a path, or a database server's host and database."""
    file = sqlite_file(settings)
    if file is not None:
        return str(file.absolute())
    url = urlsplit(settings.store.url.reveal())
    host = url.hostname or parse_qs(url.query).get("host", ["localhost"])[0]
    port = f":{url.port}" if url.port else ""
    return f"postgresql {host}{port}{url.path or '/'}"


@contextmanager
def store_startup_errors() -> Iterator[None]:
    """Report a store that cannot be opened in one line; the driver's message would show address and user."""
    try:
        yield
    except (OSError, StatementFailed, StoreUnavailable) as error:
        cause = type(error).__name__ if isinstance(error, OSError) else error.cause
        raise SettingsError(
            f"the store cannot be opened ({cause}): check store.url or the data directory, and whether "
            "`vaultgraph migrate` has run"
        ) from None


def name_store(settings: Settings) -> None:
    """Print which store is used. Raises SettingsError if it does not exist and may not be created."""
    file = sqlite_file(settings)
    if file is not None:
        require_store(file)
    click.echo(f"store: {described_store(settings)}", err=True)


def require_store(file: Path) -> None:
    """Raises SettingsError if the file is missing and may not be created."""
    if not file.exists() and not may_create():
        raise SettingsError(
            f"there is no store at {file.absolute()}: choose another with --data-dir or --config, create this one with "
            "`vaultgraph migrate`, or with --create if the command has it"
        )


def _unusable(folder: Path, reason: str | None) -> SettingsError:
    return SettingsError(f"the data directory {folder} cannot be used ({reason}); choose another with --data-dir")
