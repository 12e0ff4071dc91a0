"""The `ProviderSpec` of LoanPro."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from app.http.auth import StaticHeaders
from app.http.client import create_client
from app.http.observer import CallObserver
from app.providers.loanpro.capture import CaptureForms
from app.providers.loanpro.client import LoanProVault
from app.providers.loanpro.errors import is_challenge
from app.providers.loanpro.mapping import NAME
from app.providers.loanpro.settings import LoanProSettings
from app.providers.spec import CredentialHelp, OpenOptions, ProviderSpec


def open_loanpro(settings: LoanProSettings, options: OpenOptions) -> LoanProVault:
    """The LMS of one tenant: a bearer token and the tenant's id."""
    headers = {
        "Authorization": f"Bearer {settings.api_token.reveal()}",
        "Autopal-Instance-Id": settings.instance_id,
    }
    http = create_client(NAME, settings, StaticHeaders(headers), options.observer, is_challenge=is_challenge)
    return LoanProVault(settings, http, _forms(settings, options.observer))


def _forms(settings: LoanProSettings, observer: CallObserver | None) -> CaptureForms | None:
    """Secure Payments has its own URL and credentials; without them no form is offered."""
    pair = {
        "Authorization": settings.secure_payments_token.reveal(),
        "Secret": settings.secure_payments_secret.reveal(),
    }
    if not (settings.secure_payments_url and all(pair.values())):
        return None
    there = replace(settings, base_url=settings.secure_payments_url)
    return CaptureForms(create_client(NAME, there, StaticHeaders(pair), observer), settings.secure_payments_url)


def _sandbox(credentials: Mapping[str, Any]) -> dict[str, Any]:
    lms = {name.lower(): value for name, value in credentials["headers"].items()}
    secure = credentials["secure_payments"]
    pair = {name.lower(): value for name, value in secure["headers"].items()}
    return {
        "base_url": credentials["base_url"],
        "api_token": lms["authorization"].removeprefix("Bearer "),
        "instance_id": lms["autopal-instance-id"],
        "secure_payments_url": secure["base_url"],
        "secure_payments_token": pair["authorization"],
        "secure_payments_secret": pair["secret"],
    }


SPEC: Final = ProviderSpec(
    name="loanpro",
    display_name="LoanPro",
    settings=LoanProSettings,
    required=("base_url", "api_token", "instance_id"),
    credential_help=CredentialHelp(calls="loanpro.api_token and loanpro.instance_id"),
    capabilities=LoanProVault.capabilities,
    canonical_ref=LoanProVault.canonical_ref,
    open=open_loanpro,
    graphql="app.providers.loanpro.graphql",
    precedence=40,
    sandbox=_sandbox,
)
