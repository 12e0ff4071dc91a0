"""Dependencies that `vaultgraph check` tries beside the vaults: store, Redis, token keys, webhook keys.

Each check returns ``ok``, an empty string if turned off, or the error and the setting that fixes it,
without address or secret.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from app.cli.startup_errors import sqlite_file, usable_folder
from app.errors import SettingsError, StoreUnavailable
from app.http.fetch import DocumentFetcher
from app.http.jwks import FileKeys, KeySet, NotAKeySet
from app.providers.registry import specs
from app.settings.model import Settings
from app.settings.required import missing_settings

_WITHIN_S: Final = 10.0
OK: Final = "ok"


async def check_parts(settings: Settings) -> dict[str, str]:
    """Results by name of the checks that are turned on; all run in parallel, each within ten seconds."""
    parts: dict[str, Callable[[], Awaitable[str]]] = {
        "store": lambda: _store(settings),
        "redis": lambda: _redis(settings.store.redis_url.reveal()),
        "tokens": lambda: _tokens(settings),
        "webhooks": lambda: _webhooks(settings),
    }
    outcomes = await asyncio.gather(*(_bounded(part) for part in parts.values()))
    return {name: outcome for name, outcome in zip(parts, outcomes, strict=True) if outcome}


async def _bounded(part: Callable[[], Awaitable[str]]) -> str:
    try:
        async with asyncio.timeout(_WITHIN_S):
            return await part()
    except SettingsError as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {_WITHIN_S:.0f} seconds"


async def _store(settings: Settings) -> str:
    from app.main import store_url
    from app.store import Store, require_schema
    from app.store.errors import SchemaDiffers, StatementFailed

    url = store_url(settings)
    file = sqlite_file(settings)
    if file is not None and not file.exists():
        if not settings.store.url and settings.data_dir.exists():
            usable_folder(settings.data_dir)
        return OK  # created at the first start
    setting = "store.url" if settings.store.url else "data_dir"
    try:
        store = Store.open(url)
        try:
            async with asyncio.timeout(_WITHIN_S):
                await require_schema(store.engine)
                await store.changes.version()
        finally:
            await store.close()
    except SchemaDiffers as error:
        is_upgraded_at_start = not settings.store.url and not error.is_newer
        return OK if is_upgraded_at_start else str(error)
    except (StatementFailed, StoreUnavailable) as error:
        return f"cannot be used ({error.cause}): check {setting}"
    except OSError as error:
        return f"cannot be used ({type(error).__name__}): check {setting}"
    return OK


async def _redis(url: str) -> str:
    if not url:
        return ""
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    try:
        client: Any = Redis.from_url(url, socket_timeout=_WITHIN_S / 2, socket_connect_timeout=_WITHIN_S / 2)
        try:
            await client.ping()
        finally:
            await client.aclose()
    except (RedisError, OSError, ValueError) as error:
        return f"does not answer ({type(error).__name__}): check store.redis_url"
    return OK


async def _tokens(settings: Settings) -> str:
    """The key set of every issuer."""
    tried = [
        await _keys(section, one.jwks_url, one.jwks_path, "jwks") for section, one in settings.auth.trusted().items()
    ]
    return next((outcome for outcome in tried if outcome not in (OK, "")), OK if OK in tried else "")


async def _webhooks(settings: Settings) -> str:
    """The webhook keys of every enabled vault whose webhooks are turned on."""
    tried = 0
    for spec in specs().values():
        section = settings.provider(spec.name)
        if not section.enabled or missing_settings(settings).get(spec.name) or spec.webhooks is None:
            continue
        if spec.webhooks.sender(section) is None:
            continue
        tried += 1
        url = getattr(section, "webhook_jwks_url", "")
        outcome = await _keys(spec.name, url, "", "webhook_jwks") if url else OK
        if outcome != OK:
            return outcome
    return OK if tried else ""


async def _keys(section: str, url: str, path: str, name: str) -> str:
    """A key set at a URL or in a file."""
    if url:
        setting = f"{section}.{name}_url"
        fetch = DocumentFetcher(url, setting=setting).fetch
        try:
            KeySet.parse(await fetch())
        except SettingsError:
            raise
        except NotAKeySet as error:
            return f"{error}: check {setting}"
        except Exception as error:  # noqa: BLE001 - whatever it is, no keys can be had there
            return f"no keys could be fetched ({type(error).__name__}): check {setting}"
        return OK
    if path:
        FileKeys(Path(path), setting=f"{section}.{name}_path")
        return OK
    return ""
