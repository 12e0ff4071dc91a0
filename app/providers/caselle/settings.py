"""The settings of this vault, section `[caselle]`."""

from app.http.settings import ProviderSettings
from app.vault.secret import Secret, Secrets


class CaselleSettings(ProviderSettings, frozen=True):
    """OAuth2 client credentials by HTTP Basic, and `X-Payment-Account-Uid`."""

    token_url: str = ""
    """Required."""
    client_id: str = ""
    """Required."""
    client_secret: Secret = Secret("")
    """Required."""
    scope: str = "com.govineer.payments/admin"
    """Requested with the token."""
    payment_account_uid: str = ""
    """Required; `X-Payment-Account-Uid`."""
    webhook_secret: Secrets = Secrets()
    """Signs webhooks; a list during rotation. Enables `/webhooks/caselle/{payment account}`."""
