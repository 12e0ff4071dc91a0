"""The settings of this vault, section `[loanpro]`."""

from app.http.settings import ProviderSettings
from app.vault.secret import Secret


class LoanProSettings(ProviderSettings, frozen=True):
    """LMS headers `Authorization: Bearer` and `Autopal-Instance-Id`; the Secure Payments pair creates OBO tokens."""

    api_token: Secret = Secret("")
    instance_id: str = ""
    secure_payments_url: str = ""
    secure_payments_token: Secret = Secret("")
    secure_payments_secret: Secret = Secret("")
