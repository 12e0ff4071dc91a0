"""`vaultgraph check`: reads the settings and tries every dependency of the gateway once."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from app.cli.check_parts import check_parts
from app.cli.options import CALLS_PER_S, SANDBOX_URL, ConfigLocation, source_options
from app.cli.output import JSON, print_rows
from app.errors import SettingsError, VaultError, VaultRefusedUs, VaultReplyUnreadable
from app.http.tls import client_certificate_end
from app.providers.registry import open_provider, specs
from app.providers.spec import ProviderSpec
from app.settings.model import Settings
from app.settings.required import missing_settings, unsafe_settings
from app.telemetry.logs import configure_logging
from app.vault.enums import ProviderName
from app.vault.provider import Call, VaultProvider

_WITHIN_S: Final = 10.0
_OK: Final = "ok"
_DISABLED: Final = "disabled"
_TOKEN_ENDPOINT: Final = ("The token endpoint", "No access token")  # prefix of messages from app/http/auth.py


@click.command(
    "check",
    help="Read the settings and try every enabled vault's credentials, one line per vault.\n\n"
    "With --links, ask the vaults for every linked customer instead and list broken links: unknown to the vault, or "
    "set aside by an upgrade because another customer has the same link.",
)
@click.option("--links", "checks_links", is_flag=True, help="Check links instead of credentials.")
@click.option(
    "--calls-per-s",
    type=CALLS_PER_S,
    default=5.0,
    help="Calls per second that --links makes to each vault.",
)
@SANDBOX_URL
@JSON
@source_options
def command(
    source: ConfigLocation, checks_links: bool, calls_per_s: float, sandbox_url: str | None, as_json: bool
) -> None:
    if checks_links:
        from app.cli.check_links import check_links

        sys.exit(0 if check_links(source, sandbox_url, calls_per_s, as_json=as_json) else 1)
    settings = source.settings()
    configure_logging("error", settings.log.format)  # what does not work is in the output
    outcomes = asyncio.run(_outcomes(settings))
    rows = [{"name": name, "ok": _is_well(outcome), "outcome": outcome} for name, outcome in outcomes.items()]
    print_rows(("name", "outcome"), rows, as_json=as_json)
    sys.exit(0 if all(row["ok"] for row in rows) else 1)


async def _outcomes(settings: Settings) -> dict[str, str]:
    missing, unsafe = missing_settings(settings), unsafe_settings(settings)
    outcomes = {"gateway": _missing(missing["gateway"]) or "; ".join(unsafe["gateway"]) or _OK}
    trying = asyncio.gather(
        *(_outcome(name, settings, missing.get(name, []), unsafe.get(name, [])) for name in ProviderName)
    )
    outcomes.update(await check_parts(settings))
    outcomes.update(zip([name.value for name in ProviderName], await trying, strict=True))
    return outcomes


def _is_well(outcome: str) -> bool:
    return outcome == _OK or outcome.startswith((f"{_OK} (", _DISABLED))


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
    section, notes = settings.provider(name.value), []
    outcome, ends = await _try(vault), client_certificate_end(section)
    if section.proxy:
        notes.append(f"over aiohttp: {name.value}.proxy is set")
    if ends is not None:
        if ends <= datetime.now(UTC):
            return f"the client certificate expired on {ends:%Y-%m-%d}: check {name.value}.client_cert_file"
        notes.append(f"client certificate valid until {ends:%Y-%m-%d}")
    return f"{_OK} ({', '.join(notes)})" if notes and outcome == _OK else outcome


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
