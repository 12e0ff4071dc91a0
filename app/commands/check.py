"""`vaultgraph check`: the settings read, and every enabled vault's credentials tried once."""

import asyncio
from pathlib import Path
from typing import Any

import click

from app.errors import VaultError, VaultRefusedUs
from app.providers import build_providers
from app.settings import Settings, load_settings
from app.settings_check import missing_settings
from app.vault.provider import Call, VaultProvider

_WITHIN_S = 10.0


def run_check(*, config_file: Path | None, data_dir: Path | None) -> bool:
    """Print one line per vault; True when nothing is wrong."""
    overrides: dict[str, Any] = {} if data_dir is None else {"data_dir": str(data_dir)}
    return asyncio.run(_check(load_settings(config_file, **overrides)))


async def _check(settings: Settings) -> bool:
    missing = missing_settings(settings)
    for name in missing.get("gateway", ()):
        click.echo(f"gateway   missing: set {name}")
    ready = settings.model_copy(
        update={
            name: getattr(settings, name).model_copy(update={"enabled": False})
            for name in ("loanpro", "aloha", "jpmorgan", "caselle")
            if missing.get(name)
        }
    )
    providers = build_providers(ready)
    lines = await asyncio.gather(*(_try(vault) for vault in providers.values()))
    outcome = dict(zip((name.value for name in providers), lines, strict=True))
    is_well = not any(missing.values())
    for name in ("loanpro", "aloha", "jpmorgan", "caselle"):
        if missing.get(name):
            click.echo(f"{name:<9} missing: set {', '.join(missing[name])}")
        elif name in outcome:
            is_well = is_well and outcome[name] == "ok"
            click.echo(f"{name:<9} {outcome[name]}")
        else:
            click.echo(f"{name:<9} disabled ({name}.enabled = false)")
    return is_well


async def _try(vault: VaultProvider) -> str:
    call = Call(deadline_at=asyncio.get_running_loop().time() + _WITHIN_S, request_id="vaultgraph-check")
    try:
        await vault.check(call)
    except VaultRefusedUs:
        return f"refuses our credentials: check {_CREDENTIALS[vault.name.value]}"
    except VaultError as error:
        return f"does not answer ({error.code}): check {vault.name.value}.base_url and the network"
    finally:
        await vault.close()
    return "ok"


_CREDENTIALS = {
    "loanpro": "loanpro.api_token and loanpro.instance_id",
    "aloha": "aloha.username, aloha.password and aloha.company_code",
    "jpmorgan": "jpmorgan.client_id, jpmorgan.client_secret or private_key, jpmorgan.merchant_identifier",
    "caselle": "caselle.token_url, caselle.client_id, caselle.client_secret, caselle.payment_account_uid",
}
