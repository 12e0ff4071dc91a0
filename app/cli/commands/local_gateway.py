"""Starts the gateway's services without serving, for commands that write, on the settings of `serve` or `dev`."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.cli.commands.sandbox import DEFAULT_DATA_DIR
from app.cli.commands.startup_errors import name_store, require_store, store_startup_errors
from app.errors import SettingsError
from app.settings.model import Settings, load_settings
from app.wallet.caller import ALL_SCOPES, OPERATOR_KEY, Caller, CallerKind
from app.wallet.commands import Actor

if TYPE_CHECKING:
    from app.main import Gateway

OPERATOR: Final = Actor(caller=Caller(name=OPERATOR_KEY, kind=CallerKind.OPERATOR, scopes=ALL_SCOPES))
_NOTE: Final = "dev-sandbox.json"


def note_sandbox(folder: Path, url: str) -> None:
    """Record the sandbox address of `dev` in its data directory, for commands that use the same directory."""
    note = folder / _NOTE
    note.touch(mode=0o600)
    note.write_text(json.dumps({"url": url}), "utf-8")


@asynccontextmanager
async def local_gateway(
    config_file: Path | None, data_dir: Path | None, sandbox_url: str | None
) -> AsyncIterator["Gateway"]:
    """A started gateway without a listening socket; stopped on exit. Raises SettingsError."""
    from app.main import Gateway

    settings = await settings_of_writes(config_file, data_dir, sandbox_url)
    with store_startup_errors():
        name_store(settings)
        gateway = Gateway(settings)
        await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


async def settings_of_writes(config_file: Path | None, data_dir: Path | None, sandbox_url: str | None) -> Settings:
    """The settings of `serve` or, without a digest key, of `dev` in the same data directory."""
    overrides = {} if data_dir is None else {"data_dir": str(data_dir)}
    settings = load_settings(config_file, None, None, **overrides)
    if settings.digest_key:
        return settings
    from app.cli.commands.dev import credentials_of, dev_keys, dev_settings

    folder = data_dir or DEFAULT_DATA_DIR
    if sandbox_url is not None:
        require_store(folder / "vaultgraph.db")
    credentials = await credentials_of(sandbox_url or _noted(folder))
    return dev_settings(credentials, dev_keys(folder), folder, config_file)


def _noted(folder: Path) -> str:
    try:
        url = json.loads((folder / _NOTE).read_text("utf-8"))["url"]
    except (OSError, ValueError, KeyError, TypeError):
        raise SettingsError(
            f"no settings, and no `vaultgraph dev` has run in {folder}: name --config, --data-dir or --sandbox-url"
        ) from None
    return str(url)


def deadline_in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds
