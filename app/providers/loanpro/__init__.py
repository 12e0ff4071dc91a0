"""LoanPro: customers and their linked payment profiles in the LMS."""

from app.http.auth import StaticHeaders
from app.http.client import Observer, open_door
from app.providers.loanpro.client import LoanProVault
from app.settings import Settings

__all__ = ["LoanProVault", "open_loanpro"]


def open_loanpro(settings: Settings, observer: Observer | None = None) -> LoanProVault:
    """The LMS of one tenant: a bearer token and the tenant's id."""
    ours = settings.loanpro
    headers = {
        "Authorization": f"Bearer {ours.api_token.get_secret_value()}",
        "Autopal-Instance-Id": ours.instance_id,
    }
    return LoanProVault(ours, open_door(LoanProVault.name, ours, StaticHeaders(headers), observer))
