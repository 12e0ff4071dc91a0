"""The vaults there are: a fifth one adds a line to this table, and its name to `app.vault.names` and `app.settings`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from app.http.client import Observer
from app.providers.aloha import open_aloha
from app.providers.caselle import open_caselle
from app.providers.jpmorgan import open_jpmorgan
from app.providers.loanpro import open_loanpro
from app.settings import Settings
from app.vault.names import ProviderName
from app.vault.provider import VaultProvider

__all__ = ["build_providers"]

Open = Callable[[Settings, Observer | None], VaultProvider]


_TABLE: Final[Mapping[ProviderName, Open]] = MappingProxyType(
    {
        ProviderName.LOANPRO: open_loanpro,
        ProviderName.ALOHA: open_aloha,
        ProviderName.JPMORGAN: open_jpmorgan,
        ProviderName.CASELLE: open_caselle,
    }
)


def build_providers(settings: Settings, observer: Observer | None = None) -> dict[ProviderName, VaultProvider]:
    """Every enabled vault, in the table's order. Opens no connection; raises SettingsError for what cannot work.

    Each must be closed by whoever built it.
    """
    return {name: open_vault(settings, observer) for name, open_vault in _TABLE.items() if _is_enabled(settings, name)}


def _is_enabled(settings: Settings, name: ProviderName) -> bool:
    return bool(getattr(settings, name.value).enabled)
