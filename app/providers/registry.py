"""Every registered vault: built in, or installed under the entry point group `vaultgraph.providers`."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Protocol

from app.errors import SettingsError
from app.http.observer import CallObserver
from app.http.settings import ProviderSettings
from app.providers import provider_entries
from app.providers.spec import OpenOptions, ProviderSpec
from app.vault.enums import CustomerRef, ProviderName
from app.vault.model import Capabilities
from app.vault.provider import VaultProvider


class HasProviders(Protocol):
    """The part of the gateway's settings used here."""

    @property
    def raw_cards(self) -> bool: ...

    @property
    def network_tokens(self) -> bool: ...

    def provider(self, name: str, /) -> ProviderSettings: ...


@cache
def specs() -> Mapping[ProviderName, ProviderSpec[Any]]:
    """Specs by name, in order of registration. Loaded once; raises SettingsError for an invalid one."""
    found: dict[ProviderName, ProviderSpec[Any]] = {}
    for name, entry in provider_entries().items():
        try:
            spec = entry.load()
        except (ImportError, AttributeError, ValueError) as error:
            raise SettingsError(f"{entry.group}: {name} ({entry.value}) cannot be loaded: {error}") from error
        if not isinstance(spec, ProviderSpec) or spec.name != name:
            raise SettingsError(f"{entry.group}: {name} ({entry.value}) is no ProviderSpec of that name")
        found[ProviderName(name)] = spec
    return MappingProxyType(found)


def by_precedence() -> list[str]:
    """Names, highest precedence first."""
    return [spec.name for spec in sorted(specs().values(), key=lambda spec: -spec.precedence)]


def canonical_ref(provider: ProviderName, text: str) -> CustomerRef:
    """The canonical spelling of a vault's customer ref, whether that vault is enabled or not."""
    return specs()[provider].canonical_ref(text)


def import_token_fields() -> list[str]:
    """The fields or columns for tokens of cards to import: one for each vault with import."""
    return [spec.import_token for spec in specs().values() if spec.import_token]


def import_token_field(provider: ProviderName, given: Iterable[str]) -> str:
    """The field with the token of a row for this vault: its own at a vault with import; else a given one, which will be
    refused.
    """
    return specs()[provider].import_token or next(iter(given), "processor_token")


def names_of_the_able(is_able: Callable[[Capabilities], bool]) -> str:
    """Display names of the vaults with a capability, for messages, e.g. ``X or Y``."""
    return " or ".join(spec.display_name for spec in specs().values() if is_able(spec.capabilities))


def those_able(is_able: Callable[[Capabilities], bool]) -> frozenset[ProviderName]:
    """The vaults with a capability."""
    return frozenset(name for name, spec in specs().items() if is_able(spec.capabilities))


def open_provider(name: ProviderName, settings: HasProviders, observer: CallObserver | None = None) -> VaultProvider:
    """One vault, enabled or not. Opens no connection; raises SettingsError for unusable settings."""
    options = OpenOptions(observer=observer, raw_cards=settings.raw_cards, network_tokens=settings.network_tokens)
    return specs()[name].open(settings.provider(name.value), options)


def build_providers(settings: HasProviders, observer: CallObserver | None = None) -> dict[ProviderName, VaultProvider]:
    """Every enabled vault, in order of registration. The caller must close each."""
    enabled = [name for name in specs() if settings.provider(name.value).enabled]
    return {name: open_provider(name, settings, observer) for name in enabled}
