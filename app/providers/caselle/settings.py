"""The settings of this vault, section `[caselle]`."""

from app.http.settings import ProviderSettings
from app.vault.secret import Secret


class CaselleSettings(ProviderSettings, frozen=True):
    """OAuth2 client credentials by HTTP Basic, plus `X-Payment-Account-Uid`.

    A webhook may be signed with `webhook_secret` or with any of `webhook_secrets`.
    """

    token_url: str = ""
    client_id: str = ""
    client_secret: Secret = Secret("")
    scope: str = "com.govineer.payments/admin"
    payment_account_uid: str = ""
    webhook_secret: Secret = Secret("")
    webhook_secrets: list[Secret] = []

    def __post_init__(self) -> None:
        if not all(secret.reveal().strip() for secret in self.webhook_secrets):
            raise ValueError("webhook_secrets: an entry is empty")
