"""The settings of this vault, section `[aloha]`."""

from enum import StrEnum

from msgspec import field

from app.http.settings import ProviderSettings
from app.vault.secret import Secret


class AlohaPaymentProvider(StrEnum):
    CONNECTED_PAYMENTS = "CONNECTED_PAYMENTS"
    CREDIT_CALL = "CREDIT_CALL"
    FREEDOM_PAY = "FREEDOM_PAY"


class AlohaSettings(ProviderSettings, frozen=True):
    """HTTP Basic, and `X-Api-CompanyCode`."""

    username: str = ""
    """Required."""
    password: Secret = Secret("")
    """Required."""
    company_code: str = ""
    """Required; `X-Api-CompanyCode`."""
    payment_providers: list[AlohaPaymentProvider] = field(default_factory=lambda: list(AlohaPaymentProvider))
    """Those that the company uses; `[]` if none of these ([why](vaults/aloha.md#a-call-that-replaces-everything))."""
