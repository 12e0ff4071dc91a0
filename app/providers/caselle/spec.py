"""The `ProviderSpec` of the Caselle Payment API."""

from collections.abc import Mapping
from typing import Any, Final

from app.http.auth import OAuthClientCredentials
from app.http.client import create_client
from app.http.tls import client_context
from app.providers.caselle.client import CaselleVault
from app.providers.caselle.errors import is_challenge
from app.providers.caselle.mapping import NAME
from app.providers.caselle.settings import CaselleSettings
from app.providers.caselle.webhooks import EFFECTS, sender_of
from app.providers.spec import CredentialHelp, OpenOptions, ProviderSpec, WebhookSpec


def open_caselle(settings: CaselleSettings, options: OpenOptions) -> CaselleVault:
    """One payment account; its platform's client authenticates by HTTP Basic at the token endpoint."""
    credentials = OAuthClientCredentials(
        NAME,
        settings.token_url,
        settings.client_id,
        client_secret=settings.client_secret.reveal(),
        scope=settings.scope,
        proxy=settings.proxy,
        tls=client_context(NAME, settings),
    )
    http = create_client(NAME, settings, credentials, options.observer, is_challenge=is_challenge)
    return CaselleVault(settings, http)


def _sandbox(credentials: Mapping[str, Any]) -> dict[str, Any]:
    copied = ("base_url", "token_url", "client_id", "client_secret", "webhook_secret")
    headers = {name.lower(): value for name, value in credentials["headers"].items()}
    return {
        **{name: credentials[name] for name in copied},
        "payment_account_uid": headers["x-payment-account-uid"],
    }


SPEC: Final = ProviderSpec(
    name="caselle",
    display_name="Caselle",
    settings=CaselleSettings,
    required=("base_url", "token_url", "client_id", "client_secret", "payment_account_uid"),
    credential_help=CredentialHelp(
        calls="caselle.payment_account_uid and caselle.scope",
        tokens="caselle.token_url, caselle.client_id, caselle.client_secret and caselle.scope",
    ),
    capabilities=CaselleVault.capabilities,
    canonical_ref=CaselleVault.canonical_ref,
    open=open_caselle,
    graphql="app.providers.caselle.graphql",
    import_token="caselle_processor_token",  # noqa: S106 - the name of a column
    webhooks=WebhookSpec(
        sender=sender_of,
        effects=EFFECTS,
        sandbox_path=lambda settings: f"/{settings.payment_account_uid}",
    ),
    precedence=20,
    sandbox=_sandbox,
)
