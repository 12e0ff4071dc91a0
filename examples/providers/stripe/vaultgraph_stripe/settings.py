"""The settings of this vault, section `[stripe]`."""

from typing import Literal

from msgspec import field

from app.http.settings import ProviderSettings
from app.vault.secret import Secret


class StripeSettings(ProviderSettings, frozen=True):
    """`api_key` is a secret or restricted key that may read and write customers and PaymentMethods.

    `types` are the kinds of PaymentMethods that are listed: each costs one call for a customer.
    """

    base_url: str = "https://api.stripe.com/"
    api_key: Secret = Secret("")
    types: list[Literal["card", "us_bank_account"]] = field(default_factory=lambda: ["card"])
