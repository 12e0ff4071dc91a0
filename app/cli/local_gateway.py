"""Starts the gateway's services without serving, for commands that write, on the settings of `serve` or `dev`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from ulid import ULID

from app.cli.development import credentials_of, dev_keys, dev_settings, noted_sandbox
from app.cli.options import ConfigLocation
from app.cli.startup_errors import name_store, require_store, store_startup_errors
from app.settings.model import Settings
from app.vault.provider import Call
from app.wallet.caller import ALL_SCOPES, OPERATOR_KEY, Caller, CallerKind
from app.wallet.commands import Actor

if TYPE_CHECKING:
    from app.main import Gateway

_WITHIN_S: Final = 600.0
OPERATOR: Final = Actor(caller=Caller(name=OPERATOR_KEY, kind=CallerKind.OPERATOR, scopes=ALL_SCOPES))


@asynccontextmanager
async def local_gateway(source: ConfigLocation, sandbox_url: str | None) -> AsyncIterator["Gateway"]:
    """A started gateway without a listening socket; stopped on exit. Raises SettingsError."""
    from app.main import Gateway

    settings = await settings_of_writes(source, sandbox_url)
    with store_startup_errors():
        name_store(settings)
        gateway = Gateway(settings)
        await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


async def settings_of_writes(source: ConfigLocation, sandbox_url: str | None) -> Settings:
    """The settings of `serve` or, without a digest key, of `dev` in the same data directory."""
    settings = source.settings()
    if settings.digest_key:
        return settings
    folder = source.folder
    if sandbox_url is not None:
        require_store(folder / "vaultgraph.db")
    credentials = await credentials_of(sandbox_url or noted_sandbox(folder))
    return dev_settings(credentials, dev_keys(folder), folder, source.config_file)


def deadline_in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def call_of_command() -> Call:
    return Call(deadline_at=deadline_in(_WITHIN_S), request_id=str(ULID()), client="import")
