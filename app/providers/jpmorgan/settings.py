"""The settings of this vault, section `[jpmorgan]`."""

from app.http.settings import ProviderSettings
from app.settings.parse import Count
from app.vault.secret import Secret


class JpMorganSettings(ProviderSettings, frozen=True):
    """OAuth2 client credentials: a client secret, or an RS256 assertion signed with `private_key` (PEM).

    Webhooks are enabled if their signing keys are configured: by `webhook_jwks_url`, or a file at `webhook_jwks_path`.
    """

    token_url: str = ""
    client_id: str = ""
    client_secret: Secret = Secret("")
    private_key: Secret = Secret("")
    key_id: str = ""
    resource: str = ""
    scope: str = ""
    merchant_identifier: str = ""
    three_ds_concurrency: Count = 32
    webhook_jwks_url: str = ""
    webhook_jwks_path: str = ""

    def __post_init__(self) -> None:
        if self.webhook_jwks_url and self.webhook_jwks_path:
            raise ValueError("webhook_jwks_url and webhook_jwks_path: set one of them, not both")
