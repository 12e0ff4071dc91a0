"""LoanPro: customers and their linked payment profiles in the LMS."""

from msgspec.structs import replace

from app.http.auth import StaticHeaders
from app.http.client import Observer, open_door
from app.providers.loanpro.capture import CaptureForms
from app.providers.loanpro.client import LoanProVault
from app.providers.loanpro.errors import is_challenge
from app.settings import LoanProSettings, Settings

__all__ = ["LoanProVault", "open_loanpro"]


def open_loanpro(settings: Settings, observer: Observer | None = None) -> LoanProVault:
    """The LMS of one tenant: a bearer token and the tenant's id."""
    ours = settings.loanpro
    headers = {
        "Authorization": f"Bearer {ours.api_token.reveal()}",
        "Autopal-Instance-Id": ours.instance_id,
    }
    door = open_door(LoanProVault.name, ours, StaticHeaders(headers), observer, is_challenge=is_challenge)
    return LoanProVault(ours, door, _forms(ours, observer))


def _forms(ours: LoanProSettings, observer: Observer | None) -> CaptureForms | None:
    """Secure Payments has an address and a pair of credentials of its own; without them no form is offered."""
    pair = {
        "Authorization": ours.secure_payments_token.reveal(),
        "Secret": ours.secure_payments_secret.reveal(),
    }
    if not (ours.secure_payments_url and all(pair.values())):
        return None
    there = replace(ours, base_url=ours.secure_payments_url)
    return CaptureForms(open_door(LoanProVault.name, there, StaticHeaders(pair), observer), ours.secure_payments_url)
