"""The settings of this vault, section `[jpmorgan]`."""

from app.http.settings import ProviderSettings
from app.settings.parse import Count
from app.vault.secret import Secret


class JpMorganSettings(ProviderSettings, frozen=True):
    """OAuth2 client credentials: a client secret, or an RS256 assertion signed with `private_key` (PEM).

    Webhooks are enabled if their signing keys are configured: by `webhook_jwks_url`, or a file at `webhook_jwks_path`.
    """

    token_url: str = ""
    """Required."""
    client_id: str = ""
    """Required."""
    client_secret: Secret = Secret("")
    """This or `private_key` is required."""
    private_key: Secret = Secret("")
    """An RSA key in PEM, without a password: signs RS256 assertions."""
    key_id: str = ""
    """The key's `kid`, if J.P. Morgan assigned one."""
    resource: str = ""
    """Sent with the token request, if your token endpoint requires it."""
    scope: str = ""
    """Likewise."""
    merchant_identifier: str = ""
    """Required."""
    three_ds_concurrency: Count = 32
    """3-D Secure status calls at the same time: half of `concurrency`, so that lists are not blocked."""
    webhook_jwks_url: str = ""
    """URL of the keys that verify its notifications; https. Enables `/webhooks/jpmorgan`."""
    webhook_jwks_path: str = ""
    """Or a file with the keys: a JSON Web Key Set of EC (P-256) and RSA keys."""

    def __post_init__(self) -> None:
        if self.webhook_jwks_url and self.webhook_jwks_path:
            raise ValueError("webhook_jwks_url and webhook_jwks_path: set one of them, not both")
