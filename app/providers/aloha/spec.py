"""The `ProviderSpec` of NCR Aloha Online Ordering."""

from collections.abc import Mapping
from typing import Any, Final

from app.http.auth import basic
from app.http.client import create_client
from app.providers.aloha.client import AlohaVault
from app.providers.aloha.mapping import NAME
from app.providers.aloha.settings import AlohaSettings
from app.providers.spec import CredentialHelp, OpenOptions, ProviderSpec


def open_aloha(settings: AlohaSettings, options: OpenOptions) -> AlohaVault:
    """One company: a service account by HTTP Basic, and the company's code."""
    credentials = basic(settings.username, settings.password.reveal())
    tenant = {"X-Api-CompanyCode": settings.company_code}
    http = create_client(NAME, settings, credentials, options.observer, headers=tenant)
    return AlohaVault(settings, http, raw_cards=options.raw_cards)


def _sandbox(credentials: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: credentials[name] for name in ("base_url", "username", "password")},
        "company_code": {name.lower(): value for name, value in credentials["headers"].items()}["x-api-companycode"],
    }


SPEC: Final = ProviderSpec(
    name="aloha",
    display_name="NCR Aloha Online Ordering",
    settings=AlohaSettings,
    required=("base_url", "username", "password", "company_code"),
    credential_help=CredentialHelp(calls="aloha.username, aloha.password and aloha.company_code"),
    capabilities=AlohaVault.capabilities,
    canonical_ref=AlohaVault.canonical_ref,
    open=open_aloha,
    graphql="app.providers.aloha.graphql",
    precedence=10,
    sandbox=_sandbox,
)
