"""The toy vault's `ProviderSpec`."""

from collections.abc import Mapping, Sequence
from typing import Final

from app.errors import VaultError
from app.http.auth import StaticHeaders
from app.http.client import create_client
from app.http.settings import ProviderSettings
from app.providers.base import VaultAdapter
from app.providers.spec import CredentialHelp, OpenOptions, ProviderSpec
from app.vault.enums import (
    AddRoute,
    CardBrand,
    CustomerRef,
    MethodRef,
    PaymentMethodStatus,
    ProviderCapability,
    ProviderName,
)
from app.vault.model import Capabilities, Card, Expiry, VaultWallet
from app.vault.provider import Call
from app.vault.secret import Secret

NAME: Final = ProviderName("toy")
CAPABILITIES: Final = Capabilities(
    operations=frozenset({ProviderCapability.LIST, ProviderCapability.ADD}),
    add_via=frozenset({AddRoute.PROVIDER_TOKEN}),
)


class ToySettings(ProviderSettings, frozen=True):
    api_key: Secret = Secret("")


class ToyVault(VaultAdapter):
    name = NAME
    capabilities = CAPABILITIES

    async def wallets(self, refs: Sequence[CustomerRef], call: Call) -> Mapping[CustomerRef, VaultWallet | VaultError]:
        return {ref: VaultWallet(provider=NAME, customer_ref=ref, methods=(_card(ref),)) for ref in refs}

    async def check(self, call: Call) -> None:
        """The toy accepts every key."""


def _card(ref: CustomerRef) -> Card:
    return Card(
        provider=NAME,
        customer_ref=ref,
        method_ref=MethodRef("toy_1"),
        status=PaymentMethodStatus.ACTIVE,
        brand=CardBrand.VISA,
        last4="4242",
        expiry=Expiry(year=2039, month=12),
    )


def open_toy(settings: ToySettings, options: OpenOptions) -> ToyVault:
    credentials = StaticHeaders({"Authorization": f"Bearer {settings.api_key.reveal()}"})
    return ToyVault(create_client(NAME, settings, credentials, options.observer))


SPEC: Final = ProviderSpec(
    name="toy",
    display_name="Toy Vault",
    settings=ToySettings,
    required=("base_url", "api_key"),
    credential_help=CredentialHelp(calls="toy.api_key"),
    capabilities=CAPABILITIES,
    canonical_ref=ToyVault.canonical_ref,
    open=open_toy,
    graphql="tests.support.toy.graphql",
)
