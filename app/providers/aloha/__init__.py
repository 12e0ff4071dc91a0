"""NCR Aloha Online Ordering: customers and their saved card tokens."""

from app.http.auth import basic
from app.http.client import Observer, open_door
from app.providers.aloha.client import AlohaVault
from app.settings import Settings

__all__ = ["AlohaVault", "open_aloha"]


def open_aloha(settings: Settings, observer: Observer | None = None) -> AlohaVault:
    """One company: a service account by HTTP Basic, and the company's code."""
    ours = settings.aloha
    credentials = basic(ours.username, ours.password.reveal())
    tenant = {"X-Api-CompanyCode": ours.company_code}
    return AlohaVault(ours, open_door(AlohaVault.name, ours, credentials, observer, headers=tenant))
