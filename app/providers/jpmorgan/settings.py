"""The settings of this vault, section `[jpmorgan]`."""

from app.http.settings import ProviderSettings
from app.settings.parse import Count
from app.vault.secret import Secret


class JpMorganSettings(ProviderSettings, frozen=True):
    """OAuth2 client credentials: a client secret, or an RS256 assertion."""

    token_url: str = ""
    """Required."""
    client_id: str = ""
    """Required."""
    client_secret: Secret = Secret("")
    """Required, or `private_key`."""
    private_key: Secret = Secret("")
    """RSA key in PEM, without a password: signs RS256 assertions."""
    key_id: str = ""
    """The private key's `kid`, if assigned."""
    resource: str = ""
    """Sent for a token, if required."""
    scope: str = ""
    """Sent for a token, if required."""
    merchant_identifier: str = ""
    """Required."""
    three_ds_concurrency: Count = 32
    """3-D Secure status calls at a time; below `concurrency`, so that lists are not blocked."""
    webhook_jwks_url: str = ""
    """URL (https) of the keys of its notifications; enables `/webhooks/jpmorgan`."""
    webhook_jwks_path: str = ""
    """File of those keys instead: a JSON Web Key Set of EC (P-256) and RSA keys."""

    def __post_init__(self) -> None:
        if self.webhook_jwks_url and self.webhook_jwks_path:
            raise ValueError("webhook_jwks_url and webhook_jwks_path: set one of them, not both")
