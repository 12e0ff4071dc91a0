"""Opens the store of a command: the one of `serve`, from settings, or of `dev`, from its data directory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from app.cli.development import dev_keys
from app.cli.options import ConfigLocation
from app.cli.startup_errors import name_store, require_store, store_startup_errors, usable_folder
from app.errors import SettingsError, VaultgraphError
from app.settings.model import Settings, load_settings
from app.store import Store, migrate
from app.store.errors import ClientUnknown

T = TypeVar("T")


class CommandFailed(VaultgraphError):
    """The command failed; the message gives the reason and the next step."""


def store_settings(source: ConfigLocation) -> Settings:
    """Without a digest key and a settings file, use the keys of `dev` in the data directory."""
    settings = source.settings()
    if settings.digest_key:
        return settings
    if source.config_file is not None or settings.store.url:
        raise SettingsError("missing settings: digest_key")
    require_store(source.folder / "vaultgraph.db")
    made_up: dict[str, Any] = {
        "mode": "development",
        "data_dir": str(source.folder),
        "endpoints": {"allow_loopback": True},
        **dev_keys(source.folder),
    }
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
            store = Store.open(f"sqlite:///{usable_folder(settings.data_dir) / 'vaultgraph.db'}")
            await migrate(store.engine)
    try:
        yield store
    finally:
        await store.close()


def run_with_store(settings: Settings, work: Callable[[Store], Awaitable[T]]) -> T:
    """The result of `work` on the open store. Raises CommandFailed for an unknown partner."""

    async def main() -> T:
        async with open_store(settings) as store:
            with store_startup_errors():
                return await work(store)

    try:
        return asyncio.run(main())
    except ClientUnknown:
        raise CommandFailed("there is no partner with this name: see `vaultgraph partner list`") from None
