"""Stripe, as the gateway knows it."""

from typing import Final

from app.http.auth import StaticHeaders
from app.http.client import create_client
from app.providers.spec import CredentialHelp, OpenOptions, ProviderSpec
from vaultgraph_stripe.client import StripeVault
from vaultgraph_stripe.errors import is_challenge
from vaultgraph_stripe.mapping import NAME
from vaultgraph_stripe.settings import StripeSettings

_VERSION: Final = {"Stripe-Version": "2024-06-20"}  # the one that `wire.py` describes, whatever the account's own is


def open_stripe(settings: StripeSettings, options: OpenOptions) -> StripeVault:
    """One account: a secret key in each call's ``Authorization``."""
    credentials = StaticHeaders({"Authorization": f"Bearer {settings.api_key.reveal()}"})
    http = create_client(NAME, settings, credentials, options.observer, headers=_VERSION, is_challenge=is_challenge)
    return StripeVault(settings, http)


SPEC: Final = ProviderSpec(
    name="stripe",
    display_name="Stripe",
    settings=StripeSettings,
    required=("base_url", "api_key"),
    credential_help=CredentialHelp(calls="stripe.api_key"),
    capabilities=StripeVault.capabilities,
    canonical_ref=StripeVault.canonical_ref,
    open=open_stripe,
    graphql="vaultgraph_stripe.graphql",
)
