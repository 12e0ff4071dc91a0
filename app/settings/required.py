"""Checks for missing and unsafe settings, by the names that users set."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import fields

from app.providers.registry import specs
from app.server.addresses import is_loopback_host
from app.settings.model import Settings
from app.settings.sources import ENV_PREFIX
from app.vault.secret import Secrets

_LEAST_CHARACTERS: Final = 8
_LEAST_LENGTH: Final = 32
_OPENLY: Final = "credentials would cross the network in clear text: use https"


def missing_settings(settings: Settings) -> dict[str, list[str]]:
    """The missing settings per vault (and ``gateway``); disabled vaults need none."""
    found: dict[str, list[str]] = {
        "gateway": [name for name in ("id_key", "digest_key") if not getattr(settings, name)]
    }
    if settings.mode == "production":
        found["gateway"] += _unprotected(settings)
    for spec in specs().values():
        section = settings.provider(spec.name)
        lacking = [f"{spec.name}.{name}" for name in spec.required if not getattr(section, name)]
        found[spec.name] = [*lacking, *spec.missing(section)] if section.enabled else []
    return found


def unsafe_settings(settings: Settings) -> dict[str, list[str]]:
    """The unsafe settings per vault (and ``gateway``), each with setting and rule."""
    gateway = [fault for name in ("id_key", "digest_key") for fault in _weaknesses(name, getattr(settings, name))]
    if not set(settings.id_key).isdisjoint(settings.digest_key):
        gateway.append("digest_key: it is the same as id_key, make another")
    if settings.mode == "production":
        if settings.endpoints.allow_loopback:
            gateway.append("endpoints.allow_loopback: it is for development only")
        gateway += [
            f"{section}.jwks_url: {_OPENLY}"
            for section, one in settings.auth.trusted().items()
            if is_sent_openly(one.jwks_url)
        ]
    found = {"gateway": gateway}
    for spec in specs().values():
        section = settings.provider(spec.name)
        is_checked = settings.mode == "production" and section.enabled
        urls = [field.name for field in fields(section) if field.name.endswith("_url")] if is_checked else []
        found[spec.name] = [f"{spec.name}.{name}: {_OPENLY}" for name in urls if is_sent_openly(getattr(section, name))]
    return found


def warnings_of(settings: Settings) -> Iterator[str]:
    """Settings that are allowed but worth a warning in the log."""
    url = settings.store.redis_url.reveal()
    if (
        settings.mode == "production"
        and url.startswith("redis://")
        and not is_loopback_host(urlsplit(url).hostname or "")
    ):
        yield "store.redis_url: the connection is not encrypted (rediss:// is)"


def is_sent_openly(url: str) -> bool:
    """True for plain HTTP to another machine."""
    try:
        parts = urlsplit(url.strip())
        return parts.scheme.lower() == "http" and not is_loopback_host(parts.hostname or "")
    except ValueError:
        return False  # not a URL: refused where it is used


def _unprotected(settings: Settings) -> list[str]:
    """Production needs explicit settings for callers and web origins."""
    auth, missing = settings.auth, []
    if not auth.partners_only:
        for section, one in (auth.trusted() or {"auth": auth}).items():
            if not (one.jwks_url or one.jwks_path):
                missing.append(f"{section}.jwks_url or {section}.jwks_path (or auth.partners_only)")
            missing += [f"{section}.{name}" for name in ("issuer", "audience") if not getattr(one, name)]
    if not settings.gate.cors_origins:
        missing.append("gate.cors_origins (origins of web apps, or the word none)")
    return missing


def _weaknesses(name: str, keys: Secrets) -> Iterator[str]:
    for number, key in enumerate(keys.reveal(), start=1):
        shown, hint = name, ""
        if len(keys) > 1:  # perhaps one key that was split, which a message about a single key would not explain
            shown = f"{name}, number {number}"
            hint = f" (in the environment variable {ENV_PREFIX}{name.upper()}, commas separate keys)"
        if len(key) < _LEAST_LENGTH:
            yield f"{shown}: it has fewer than {_LEAST_LENGTH} characters{hint}"
        if len(set(key)) < _LEAST_CHARACTERS:
            yield f"{shown}: it has fewer than {_LEAST_CHARACTERS} different characters, make it of random bytes{hint}"
    if len(set(keys)) < len(keys):
        yield f"{name}: one key is listed twice"
