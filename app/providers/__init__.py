"""The vaults there are: a fifth one adds a line to this table, and its name to `app.vault.names` and `app.settings`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from app.http.client import Observer
from app.providers.aloha import AlohaVault, open_aloha
from app.providers.caselle import CaselleVault, open_caselle
from app.providers.jpmorgan import JpMorganVault, open_jpmorgan
from app.providers.loanpro import LoanProVault, open_loanpro
from app.settings import Settings
from app.vault.names import CustomerRef, ProviderName
from app.vault.provider import VaultProvider

__all__ = ["build_providers", "canonical_ref"]

Open = Callable[[Settings, Observer | None], VaultProvider]


_TABLE: Final[Mapping[ProviderName, Open]] = MappingProxyType(
    {
        ProviderName.LOANPRO: open_loanpro,
        ProviderName.ALOHA: open_aloha,
        ProviderName.JPMORGAN: open_jpmorgan,
        ProviderName.CASELLE: open_caselle,
    }
)


_CANONICAL: Final[Mapping[ProviderName, Callable[[str], CustomerRef]]] = MappingProxyType(
    {vault.name: vault.canonical_ref for vault in (LoanProVault, AlohaVault, JpMorganVault, CaselleVault)}
)


def canonical_ref(provider: ProviderName, text: str) -> CustomerRef:
    """The one spelling of a vault's customer ref, whether that vault is enabled here or not."""
    return _CANONICAL[provider](text)


def build_providers(settings: Settings, observer: Observer | None = None) -> dict[ProviderName, VaultProvider]:
    """Every enabled vault, in the table's order. Opens no connection; raises SettingsError for what cannot work.

    Each must be closed by whoever built it.
    """
    return {name: open_vault(settings, observer) for name, open_vault in _TABLE.items() if _is_enabled(settings, name)}


def _is_enabled(settings: Settings, name: ProviderName) -> bool:
    return bool(getattr(settings, name.value).enabled)
