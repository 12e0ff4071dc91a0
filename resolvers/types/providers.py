"""What each vault can do, as clients should know before they offer it."""

import strawberry

from app.providers.registry import specs
from app.vault.names import AddRoute, CircuitState, ProviderCapability, ProviderName
from resolvers.context import Services


@strawberry.type(description="One vault.")
class ProviderInfo:
    provider: ProviderName
    display_name: str
    enabled: bool
    circuit: CircuitState
    capabilities: list[ProviderCapability] = strawberry.field(
        description="What this vault can really do: nothing is emulated silently."
    )
    add_via: list[AddRoute]


def provider_infos(services: Services) -> list[ProviderInfo]:
    """All of them, those that are not enabled too."""
    return [_info(services, name) for name in ProviderName]


def _info(services: Services, name: ProviderName) -> ProviderInfo:
    vault = services.reader.providers.get(name)
    return ProviderInfo(
        provider=name,
        display_name=specs()[name].display_name,
        enabled=vault is not None,
        circuit=services.circuit(name) if vault else CircuitState.CLOSED,
        capabilities=[one for one in ProviderCapability if one in vault.capabilities.operations] if vault else [],
        add_via=[one for one in AddRoute if one in vault.capabilities.add_via] if vault else [],
    )
