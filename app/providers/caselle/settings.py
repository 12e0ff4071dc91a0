"""The settings of this vault, section `[caselle]`."""

from app.http.settings import ProviderSettings
from app.vault.secret import Secret, Secrets


class CaselleSettings(ProviderSettings, frozen=True):
    """OAuth2 client credentials by HTTP Basic, plus `X-Payment-Account-Uid`.

    A webhook may be signed with any secret of `webhook_secret`: during rotation there are two.
    """

    token_url: str = ""
    client_id: str = ""
    client_secret: Secret = Secret("")
    scope: str = "com.govineer.payments/admin"
    payment_account_uid: str = ""
    webhook_secret: Secrets = Secrets()
