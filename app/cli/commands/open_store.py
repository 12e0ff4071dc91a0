"""Opens the store of a command: the one of `serve`, from settings, or of `dev`, from its data directory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app.cli.commands.dev import dev_keys
from app.cli.commands.sandbox import DEFAULT_DATA_DIR
from app.cli.commands.startup_errors import name_store, require_store, store_startup_errors, usable_folder
from app.errors import SettingsError
from app.settings.model import Settings, load_settings
from app.store import Store, migrate


def store_settings(config_file: Path | None, data_dir: Path | None) -> Settings:
    """Without a digest key and a settings file, use the keys of `dev` in the data directory."""
    overrides: dict[str, Any] = {} if data_dir is None else {"data_dir": str(data_dir)}
    settings = load_settings(config_file, **overrides)
    if settings.digest_key:
        return settings
    if config_file is not None or settings.store.url:
        raise SettingsError("missing settings: digest_key")
    folder = data_dir or DEFAULT_DATA_DIR
    require_store(folder / "vaultgraph.db")
    made_up: dict[str, Any] = {"mode": "development", "data_dir": str(folder), **dev_keys(folder)}
    return load_settings(None, {}, made_up)


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the store, print its name on standard error and upgrade it if it is embedded. Raises SettingsError if it
    cannot be opened, or does not exist and --create is absent.
    """
    url = settings.store.url.reveal()
    with store_startup_errors():
        name_store(settings)
        if url:
            store = Store.open(url)
        else:
            store = Store.open(f"sqlite+aiosqlite:///{usable_folder(settings.data_dir) / 'vaultgraph.db'}")
            await migrate(store.engine)
    try:
        yield store
    finally:
        await store.close()
