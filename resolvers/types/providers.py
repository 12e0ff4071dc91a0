"""The vaults and their capabilities, for clients."""

import strawberry

from app.providers.registry import specs
from app.vault.enums import AddRoute, CircuitState, ProviderCapability, ProviderName
from resolvers.context import Services


@strawberry.type(description="A vault.")
class ProviderInfo:
    provider: ProviderName = strawberry.field(description="The vault.")
    display_name: str = strawberry.field(description="Its name, for people.")
    enabled: bool = strawberry.field(description="False if the operator has not set it up: it is never called.")
    circuit: CircuitState = strawberry.field(description="Whether the gateway calls it now.")
    capabilities: list[ProviderCapability] = strawberry.field(description="What this vault can do, without emulation.")
    add_via: list[AddRoute] = strawberry.field(description="The ways to add a method to it.")


def provider_infos(services: Services) -> list[ProviderInfo]:
    """All vaults, including disabled ones."""
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
