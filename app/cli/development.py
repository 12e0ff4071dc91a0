"""Settings, keys and sandbox address of `vaultgraph dev`, for it and for commands on the same data directory."""

import asyncio
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from app.api.auth import development
from app.cli.startup_errors import usable_folder
from app.errors import SettingsError, VaultgraphError
from app.providers.registry import specs
from app.settings.model import Settings, load_settings

_SANDBOX_WITHIN_S: Final = 20
_GRACE_S: Final = 1.0  # Ctrl-C waits up to this long
_KEYS: Final = ("id_key", "digest_key")
_KEYS_FILE: Final = "dev-keys.json"
_NOTE: Final = "dev-sandbox.json"
DEMO_PARTNER: Final = "demo"
"""Callers with a token of `dev` may run the documents of this partner."""


class SandboxSilent(VaultgraphError):
    """The sandbox at --sandbox-url did not answer."""


def note_sandbox(folder: Path, url: str) -> None:
    """Record the sandbox address of `dev` in its data directory, for commands that use the same directory."""
    note = folder / _NOTE
    note.touch(mode=0o600)
    note.write_text(json.dumps({"url": url}), "utf-8")


def noted_sandbox(folder: Path) -> str:
    """The recorded address. Raises SettingsError."""
    try:
        url = json.loads((folder / _NOTE).read_text("utf-8"))["url"]
    except (OSError, ValueError, KeyError, TypeError):
        raise SettingsError(
            f"no settings, and no `vaultgraph dev` has run in {folder}: name --config, --data-dir or --sandbox-url"
        ) from None
    return str(url)


def is_development(folder: Path) -> bool:
    """True if `dev` has made this data directory."""
    return (folder / _KEYS_FILE).exists()


async def credentials_of(url: str) -> Mapping[str, Any]:
    """Every vault's credentials from the sandbox's control API. Waits for a starting sandbox."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise SandboxSilent("--sandbox-url must begin with http:// or https://")
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + _SANDBOX_WITHIN_S
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, ValueError):
                async with session.get(f"{url}/__sandbox/credentials") as reply:
                    if reply.status == 200:
                        found: Mapping[str, Any] = await reply.json()
                        return found
            if loop.time() >= give_up_at:
                raise SandboxSilent(f"no sandbox answers at {url} (waited {_SANDBOX_WITHIN_S} s); see --sandbox-url")
            await asyncio.sleep(0.1)


def dev_keys(folder: Path) -> dict[str, str]:
    """Random keys, generated once per data directory, in a file readable only by its owner."""
    path = usable_folder(folder) / _KEYS_FILE
    try:
        if path.exists():
            known = json.loads(path.read_text("utf-8"))
            if all(isinstance(known.get(name), str) for name in _KEYS):
                return {name: known[name] for name in _KEYS}
        made = {name: secrets.token_urlsafe(48) for name in _KEYS}
        fresh = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(made, file)
        fresh.replace(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise SettingsError(f"{path} cannot be used ({reason}); choose another directory with --data-dir") from None
    return made


def dev_settings(
    credentials: Mapping[str, Any],
    keys: Mapping[str, str],
    folder: Path,
    config_file: Path | None,
    environ: Mapping[str, str] | None = None,
    **overrides: Any,
) -> Settings:
    """Development settings: the sandbox's credentials, overridden by the settings file and the environment."""
    base: dict[str, Any] = {
        "mode": "development",
        "data_dir": str(folder),
        "network_tokens": True,
        "grace_s": _GRACE_S,
        "endpoints": {"allow_loopback": True},
        "documents": {"own_client": DEMO_PARTNER},
        "auth": {
            "issuer": development.ISSUER,
            "audience": [development.AUDIENCE],
            "jwks_path": str(development.DevTokens.open(usable_folder(folder)).jwks_path),
        },
        **keys,
        **_vaults(credentials),
    }
    return load_settings(config_file, environ, base, **overrides)


def _vaults(credentials: Mapping[str, Any]) -> dict[str, Any]:
    """An enabled settings section for every vault of the sandbox."""
    return {
        spec.name: {"enabled": True, **spec.sandbox(credentials[spec.name])}
        for spec in specs().values()
        if spec.sandbox is not None
    }
