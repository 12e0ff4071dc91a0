"""The settings of this vault, section `[aloha]`."""

from typing import Literal

from msgspec import field

from app.http.settings import ProviderSettings
from app.vault.secret import Secret


class AlohaSettings(ProviderSettings, frozen=True):
    """HTTP Basic plus `X-Api-CompanyCode`. `payment_providers` are those that the company is set up for."""

    username: str = ""
    password: Secret = Secret("")
    company_code: str = ""
    payment_providers: list[Literal["CONNECTED_PAYMENTS", "CREDIT_CALL", "FREEDOM_PAY"]] = field(
        default_factory=lambda: ["CONNECTED_PAYMENTS", "CREDIT_CALL", "FREEDOM_PAY"]
    )
