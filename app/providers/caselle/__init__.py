"""The Caselle Payment API."""

from app.http.auth import OAuthClientCredentials
from app.http.client import Observer, open_door
from app.providers.caselle.client import CaselleVault
from app.providers.caselle.errors import is_challenge
from app.settings import Settings

__all__ = ["CaselleVault", "open_caselle"]


def open_caselle(settings: Settings, observer: Observer | None = None) -> CaselleVault:
    """One payment account; its platform's client proves itself by HTTP Basic at the token endpoint."""
    ours = settings.caselle
    credentials = OAuthClientCredentials(
        CaselleVault.name,
        ours.token_url,
        ours.client_id,
        client_secret=ours.client_secret.reveal(),
        scope=ours.scope,
    )
    door = open_door(CaselleVault.name, ours, credentials, observer, is_challenge=is_challenge)
    return CaselleVault(ours, door)
