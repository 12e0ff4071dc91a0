"""Which settings are missing, by the name a person would set."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import SecretStr

from app.settings import Settings

_REQUIRED: Final[Mapping[str, Sequence[str]]] = {
    "loanpro": ("base_url", "api_token", "instance_id"),
    "aloha": ("base_url", "username", "password", "company_code"),
    "jpmorgan": ("base_url", "token_url", "client_id", "merchant_identifier"),
    "caselle": ("base_url", "token_url", "client_id", "client_secret", "payment_account_uid"),
}


def missing_settings(settings: Settings) -> dict[str, list[str]]:
    """Per vault (and ``gateway``), the names of what must be set; vaults that are disabled need nothing."""
    found: dict[str, list[str]] = {"gateway": [name for name in ("id_key", "digest_key") if _is_weak(settings, name)]}
    for vault, names in _REQUIRED.items():
        section = getattr(settings, vault)
        found[vault] = [f"{vault}.{name}" for name in names if section.enabled and not _text(getattr(section, name))]
    jpmorgan = settings.jpmorgan
    if jpmorgan.enabled and not (_text(jpmorgan.client_secret) or _text(jpmorgan.private_key)):
        found["jpmorgan"].append("jpmorgan.client_secret or jpmorgan.private_key")
    return found


def _is_weak(settings: Settings, name: str) -> bool:
    return len(_text(getattr(settings, name))) < 32


def _text(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
