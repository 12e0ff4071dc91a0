"""The vaults there are: a fifth one adds a line to this table, and its name to `app.vault.names` and `app.settings`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from app.http.auth import OAuthClientCredentials
from app.http.client import Observer, open_door
from app.providers.aloha import open_aloha
from app.providers.caselle import CaselleVault
from app.providers.jpmorgan import JpMorganVault
from app.providers.loanpro import open_loanpro
from app.settings import Settings
from app.vault.names import ProviderName
from app.vault.provider import VaultProvider

__all__ = ["build_providers"]

Open = Callable[[Settings, Observer | None], VaultProvider]


def _open_jpmorgan(settings: Settings, observer: Observer | None) -> VaultProvider:
    """A signed assertion where there is a key, else the client secret in the form, as the mock wants it."""
    ours = settings.jpmorgan
    key = ours.private_key.get_secret_value()
    credentials = OAuthClientCredentials(
        ProviderName.JPMORGAN,
        ours.token_url,
        ours.client_id,
        method="private_key_jwt" if key else "client_secret_post",
        client_secret=ours.client_secret.get_secret_value(),
        private_key=key,
        key_id=ours.key_id,
        scope=ours.scope,
        extra={"resource": ours.resource} if ours.resource else {},
    )
    door = open_door(ProviderName.JPMORGAN, ours, credentials, observer)
    return JpMorganVault(ours, door, raw_cards=settings.raw_cards, network_tokens=settings.network_tokens)


def _open_caselle(settings: Settings, observer: Observer | None) -> VaultProvider:
    ours = settings.caselle
    credentials = OAuthClientCredentials(
        ProviderName.CASELLE,
        ours.token_url,
        ours.client_id,
        client_secret=ours.client_secret.get_secret_value(),
        scope=ours.scope,
    )
    return CaselleVault(ours, open_door(ProviderName.CASELLE, ours, credentials, observer))


_TABLE: Final[Mapping[ProviderName, Open]] = MappingProxyType(
    {
        ProviderName.LOANPRO: open_loanpro,
        ProviderName.ALOHA: open_aloha,
        ProviderName.JPMORGAN: _open_jpmorgan,
        ProviderName.CASELLE: _open_caselle,
    }
)


def build_providers(settings: Settings, observer: Observer | None = None) -> dict[ProviderName, VaultProvider]:
    """Every enabled vault, in the table's order. Opens no connection; raises SettingsError for what cannot work.

    Each must be closed by whoever built it.
    """
    return {name: open_vault(settings, observer) for name, open_vault in _TABLE.items() if _is_enabled(settings, name)}


def _is_enabled(settings: Settings, name: ProviderName) -> bool:
    return bool(getattr(settings, name.value).enabled)
