"""J.P. Morgan Payments, Consumer Profile Management."""

from app.http.auth import OAuthClientCredentials
from app.http.client import Observer, open_door
from app.providers.jpmorgan.client import JpMorganVault
from app.providers.jpmorgan.errors import is_challenge
from app.settings import Settings

__all__ = ["JpMorganVault", "open_jpmorgan"]


def open_jpmorgan(settings: Settings, observer: Observer | None = None) -> JpMorganVault:
    """A signed assertion where there is a key, else the client secret in the form, as the mock wants it."""
    ours = settings.jpmorgan
    key = ours.private_key.reveal()
    credentials = OAuthClientCredentials(
        JpMorganVault.name,
        ours.token_url,
        ours.client_id,
        method="private_key_jwt" if key else "client_secret_post",
        client_secret=ours.client_secret.reveal(),
        private_key=key,
        key_id=ours.key_id,
        scope=ours.scope,
        extra={"resource": ours.resource} if ours.resource else {},
    )
    door = open_door(JpMorganVault.name, ours, credentials, observer, is_challenge=is_challenge)
    return JpMorganVault(ours, door, raw_cards=settings.raw_cards, network_tokens=settings.network_tokens)
