"""Which settings are missing, by the name a person would set."""

from app.providers.registry import specs
from app.settings import Settings
from app.vault.secret import Secret


def missing_settings(settings: Settings) -> dict[str, list[str]]:
    """Per vault (and ``gateway``), the names of what must be set; vaults that are disabled need nothing."""
    found: dict[str, list[str]] = {"gateway": [name for name in ("id_key", "digest_key") if _is_weak(settings, name)]}
    if settings.mode == "production":
        found["gateway"] += _unprotected(settings)
    for spec in specs().values():
        section = settings.provider(spec.name)
        lacking = [f"{spec.name}.{name}" for name in spec.required if not getattr(section, name)]
        found[spec.name] = [*lacking, *spec.missing(section)] if section.enabled else []
    return found


def _unprotected(settings: Settings) -> list[str]:
    """Who may ask, and from which pages, is said and never assumed."""
    auth, missing = settings.auth, []
    if not auth.partners_only:
        if not (auth.jwks_url or auth.jwks_path):
            missing.append("auth.jwks_url or auth.jwks_path (or auth.partners_only)")
        missing += [f"auth.{name}" for name in ("issuer", "audience") if not getattr(auth, name)]
    if not settings.gate.cors_origins:
        missing.append("gate.cors_origins (origins of web apps, or the word none)")
    return missing


def _is_weak(settings: Settings, name: str) -> bool:
    key: Secret = getattr(settings, name)
    return len(key.reveal()) < 32
