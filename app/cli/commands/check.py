"""`vaultgraph check`: reads the settings and tries every dependency of the gateway once."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from app.cli.commands.check_parts import check_parts
from app.errors import SettingsError, VaultError, VaultRefusedUs, VaultReplyUnreadable
from app.providers.registry import open_provider, specs
from app.providers.spec import ProviderSpec
from app.settings.model import Settings, load_settings
from app.settings.required import missing_settings, unsafe_settings
from app.vault.enums import ProviderName
from app.vault.provider import Call, VaultProvider

_WITHIN_S: Final = 10.0
_OK: Final = "ok"
_DISABLED: Final = "disabled"
_TOKEN_ENDPOINT: Final = ("The token endpoint", "No access token")  # prefix of messages from app/http/auth.py


def run_check(*, config_file: Path | None, data_dir: Path | None) -> bool:
    """Print one line per dependency; True if all succeed."""
    overrides: dict[str, Any] = {} if data_dir is None else {"data_dir": str(data_dir)}
    return asyncio.run(_check(load_settings(config_file, **overrides)))


async def _check(settings: Settings) -> bool:
    missing, unsafe = missing_settings(settings), unsafe_settings(settings)
    outcomes = {"gateway": _missing(missing["gateway"]) or "; ".join(unsafe["gateway"]) or _OK}
    trying = asyncio.gather(
        *(_outcome(name, settings, missing.get(name, []), unsafe.get(name, [])) for name in ProviderName)
    )
    outcomes.update(await check_parts(settings))
    outcomes.update(zip(ProviderName, await trying, strict=True))
    width = max(map(len, outcomes))
    for name, outcome in outcomes.items():
        click.echo(f"{name:<{width}}  {outcome}")
    return all(outcome == _OK or outcome.startswith(_DISABLED) for outcome in outcomes.values())


async def _outcome(name: ProviderName, settings: Settings, missing: list[str], unsafe: list[str]) -> str:
    if not settings.provider(name.value).enabled:
        return f"{_DISABLED} ({name.value}.enabled is false)"
    if missing:
        return _missing(missing)
    if unsafe:
        return "; ".join(unsafe)
    try:
        vault = open_provider(name, settings)
    except SettingsError as error:
        return str(error)
    return await _try(vault)


async def _try(vault: VaultProvider) -> str:
    call = Call(deadline_at=asyncio.get_running_loop().time() + _WITHIN_S, request_id="vaultgraph-check")
    try:
        await vault.check(call)
    except VaultError as error:
        return _cause(specs()[vault.name], error)
    finally:
        await vault.close()
    return _OK


def _cause(spec: ProviderSpec[Any], error: VaultError) -> str:
    """The cause, and the setting that fixes it."""
    said, name = str(error), spec.name
    if f"{name}." in said:
        return said
    if said.startswith(_TOKEN_ENDPOINT):
        return f"{said} Check {spec.credential_help.tokens}."
    if isinstance(error, VaultRefusedUs):
        return f"The vault rejects the credentials. Check {spec.credential_help.calls}."
    if isinstance(error, VaultReplyUnreadable):
        return f"The server that answers is not this vault's API. Check {name}.base_url."
    return f"{said} Check {name}.base_url and the network."


def _missing(names: Sequence[str]) -> str:
    return f"missing: set {', '.join(names)}" if names else ""
