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
    """HTTP Basic plus `X-Api-CompanyCode`. `payment_providers` are those that the company is set up for; an
    empty list for a company that has none of the three."""

    username: str = ""
    """Required."""
    password: Secret = Secret("")
    """Required."""
    company_code: str = ""
    """Required; `X-Api-CompanyCode`."""
    payment_providers: list[AlohaPaymentProvider] = field(default_factory=lambda: list(AlohaPaymentProvider))
    """The payment providers that the company uses; `[]` if it has none of them
    ([Aloha](vaults/aloha.md#a-call-that-replaces-everything)).
    """
