"""The settings of this vault, section `[loanpro]`."""

from app.http.settings import ProviderSettings
from app.vault.secret import Secret


class LoanProSettings(ProviderSettings, frozen=True):
    """LMS headers `Authorization: Bearer` and `Autopal-Instance-Id`; Secure Payments for hosted capture."""

    api_token: Secret = Secret("")
    """Required; LMS token without `Bearer`."""
    instance_id: str = ""
    """Required; `Autopal-Instance-Id`."""
    secure_payments_url: str = ""
    """Secure Payments, for hosted capture."""
    secure_payments_token: Secret = Secret("")
    """Its `Authorization`."""
    secure_payments_secret: Secret = Secret("")
    """Its `Secret`."""
