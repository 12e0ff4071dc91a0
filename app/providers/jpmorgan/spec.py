"""The `ProviderSpec` of J.P. Morgan Payments."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.http.auth import OAuthClientCredentials
from app.http.client import create_client
from app.http.tls import client_context
from app.providers.jpmorgan.client import CAPABILITIES, JpMorganVault
from app.providers.jpmorgan.errors import is_challenge
from app.providers.jpmorgan.mapping import NAME
from app.providers.jpmorgan.settings import JpMorganSettings
from app.providers.jpmorgan.webhooks import EFFECTS, sender_of
from app.providers.spec import CredentialHelp, OpenOptions, ProviderSpec, WebhookSpec


def open_jpmorgan(settings: JpMorganSettings, options: OpenOptions) -> JpMorganVault:
    """Uses a signed assertion if there is a key, else the client secret in the form, as the mock requires."""
    key = settings.private_key.reveal()
    credentials = OAuthClientCredentials(
        NAME,
        settings.token_url,
        settings.client_id,
        method="private_key_jwt" if key else "client_secret_post",
        client_secret=settings.client_secret.reveal(),
        private_key=key,
        key_id=settings.key_id,
        scope=settings.scope,
        proxy=settings.proxy,
        tls=client_context(NAME, settings),
        extra={"resource": settings.resource} if settings.resource else {},
    )
    http = create_client(NAME, settings, credentials, options.observer, is_challenge=is_challenge)
    return JpMorganVault(settings, http, raw_cards=options.raw_cards, network_tokens=options.network_tokens)


def _missing(settings: JpMorganSettings) -> Sequence[str]:
    has_proof = settings.client_secret or settings.private_key
    return () if has_proof else ("jpmorgan.client_secret or jpmorgan.private_key",)


def _sandbox(credentials: Mapping[str, Any]) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in credentials["headers"].items()}
    return {
        **{name: credentials[name] for name in ("base_url", "token_url", "client_id", "client_secret")},
        "merchant_identifier": headers["merchantidentifier"],
    }


SPEC: Final = ProviderSpec(
    name="jpmorgan",
    display_name="J.P. Morgan Consumer Profile Management",
    settings=JpMorganSettings,
    required=("base_url", "token_url", "client_id", "merchant_identifier"),
    credential_help=CredentialHelp(
        calls="jpmorgan.merchant_identifier",
        tokens="jpmorgan.token_url, jpmorgan.client_id and jpmorgan.client_secret (or jpmorgan.private_key)",
    ),
    capabilities=CAPABILITIES,
    canonical_ref=JpMorganVault.canonical_ref,
    open=open_jpmorgan,
    graphql="app.providers.jpmorgan.graphql",
    missing=_missing,
    webhooks=WebhookSpec(sender=sender_of, effects=EFFECTS),
    precedence=30,
    sandbox=_sandbox,
)
