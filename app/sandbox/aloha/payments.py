"""Saved payments: the token call, the replace call, and reading them.

Sources: Aloha help, "PUT v1/Customers/Payment/Token", "GET v1/Customers/{customerId}/Payments" and ".../Info", "POST
v1/Customers/{customerId}/Payments".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID, uuid4

from app.sandbox.aloha import enums
from app.sandbox.aloha.refusals import invalid
from app.sandbox.base import Json
from app.sandbox.checks import is_card_number

_GUID: Final = re.compile(r"\{?[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?|[0-9a-fA-F]{32}")
_CONNECTED_MASK: Final = re.compile(r"\d{6}[*xX●]+\d{4}")
_TOKEN_PAIR: Final = re.compile(r"\d{3}:.+", re.DOTALL)
_PAN: Final = re.compile(r"\d{13,19}")
_MONTH_YEAR: Final = re.compile(r"(\d{2})/(\d{2})")
_DATE: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})")


@dataclass(frozen=True, slots=True)
class AlohaTokenRules:
    """`enabled` holds the company's providers; `today` is None when past expiry dates are accepted."""

    enabled: frozenset[int]
    today: date | None


@dataclass(frozen=True, slots=True)
class TokenHeader:
    """A validated CustomerCreditCardTokenHeader. The holder's name is accepted but never returned."""

    customer_id: str
    provider: int
    masked: str
    expiration: str
    token: str
    card: int


def guid(value: Any) -> str | None:
    """Lower case with dashes; None for the empty GUID or anything else."""
    if not isinstance(value, str) or not _GUID.fullmatch(value.strip()):
        return None
    parsed = UUID(value.strip())
    return str(parsed) if parsed.int else None


def member(body: Json, name: str) -> Any:
    """A member by case-insensitive name, as Json.NET binds it."""
    if name in body:
        return body[name]
    return next((value for key, value in body.items() if key.lower() == name.lower()), None)


def token_header(body: Json, is_customer: Callable[[str], bool], rules: AlohaTokenRules) -> TokenHeader:
    """Validate every field. Raises SandboxRefusal with one message for each bad one."""
    faults: dict[str, str] = {}
    customer_id = guid(member(body, "CustomerId"))
    if customer_id is None:
        faults["CustomerId"] = "CustomerId is required."
    elif not is_customer(customer_id):
        faults["CustomerId"] = "Customer does not exist."
    provider = enums.number_of(enums.PROVIDERS, member(body, "ProviderType"))
    if provider is None:
        faults["ProviderType"] = "ProviderType is not supported."
    elif provider not in rules.enabled:
        faults["ProviderType"] = "The company is not set up for this provider."
    card = enums.number_of(enums.CARDS, member(body, "CardType"))
    if card is None:
        faults["CardType"] = "CardType is not supported."
    masked = _text(member(body, "MaskedCardNumber"))
    if not _is_mask(masked, provider):
        faults["MaskedCardNumber"] = "MaskedCardNumber is not valid."
    month = expiry(member(body, "ExpirationDate"))
    if month is None:
        faults["ExpirationDate"] = "ExpirationDate is not valid."
    elif rules.today and month < (rules.today.year, rules.today.month):
        faults["ExpirationDate"] = "ExpirationDate is in the past."
    token = _text(member(body, "CardToken"))
    if not token:
        faults["CardToken"] = "CardToken is required."
    elif provider == enums.CONNECTED_PAYMENTS and not _TOKEN_PAIR.fullmatch(token):
        faults["CardToken"] = "CardToken must be TokenType:TokenValue."
    if provider == enums.FREEDOM_PAY and not _text(member(body, "CardHolderName")):
        faults["CardHolderName"] = "CardHolderName is required."
    if faults or customer_id is None or provider is None or card is None or month is None:
        raise invalid({f"header.{name}": text for name, text in faults.items()})
    given = _text(member(body, "ExpirationDate"))
    expiration = f"{month[0]}-{month[1]:02d}-01" if provider == enums.CONNECTED_PAYMENTS else given
    return TokenHeader(customer_id, provider, masked, expiration, token, card)


def add(payments: list[Json], header: TokenHeader, duplicates: str) -> str:
    """Save a token; returns its AccountId. `duplicates` is a value of the switch DUPLICATE_TOKEN."""
    same = next(
        (p for p in payments if (p["AccountNumber"], p["ProviderType"]) == (header.token, header.provider)), None
    )
    if same and duplicates == "reject":
        raise invalid({"header.CardToken": "CardToken is already saved."})
    if same and duplicates == "same_account":
        account_id: str = same["AccountId"]
        return account_id
    payments.append(
        record(
            str(uuid4()),
            method=header.card,
            token=header.token,
            expiration=header.expiration,
            masked=header.masked,
            provider=header.provider,
        )
    )
    return str(payments[-1]["AccountId"])


def replacement(body: Json) -> Json:
    """The one payment that remains after an InPayment. A card number is masked at once and replaced with a token."""
    number = _text(member(body, "AccountNumber"))
    month = expiry(member(body, "ExpirationDate"))
    method = enums.number_of(enums.CARDS, member(body, "PaymentMethodType"))
    faults = {
        "payment.AccountNumber": "" if number else "AccountNumber is required.",
        "payment.ExpirationDate": "" if month else "ExpirationDate is not valid.",
        "payment.PaymentMethodType": "" if method is not None else "PaymentMethodType is not supported.",
    }
    if any(faults.values()) or month is None or method is None:
        raise invalid({name: text for name, text in faults.items() if text})
    digits = re.sub(r"[ -]", "", number)
    is_pan = bool(_PAN.fullmatch(digits))
    return record(
        str(uuid4()),
        method=method,
        token=f"201:{uuid4().hex}" if is_pan else number,
        expiration=f"{month[0]}-{month[1]:02d}-01",
        masked=f"{digits[:6]}{'*' * (len(digits) - 10)}{digits[-4:]}" if is_pan else None,
        provider=enums.UNPUBLISHED,
    )


def record(account_id: str, *, method: int, token: str, expiration: str, masked: str | None, provider: int) -> Json:
    """A CustomerPayment as stored and returned: AccountNumber is the full token."""
    return {
        "AccountId": account_id,
        "MethodType": method,
        "AccountNumber": token,
        "ExpirationDate": expiration,
        "SecurityCode": None,
        "ZipCode": None,
        "MaskedAccountNumber": masked,
        "MaskedExpirationDate": None,
        "ProviderType": provider,
    }


def with_names(payment: Json) -> Json:
    """For XML: enums by name."""
    return payment | {
        "MethodType": enums.name_of(enums.CARDS, payment["MethodType"]),
        "ProviderType": enums.name_of(enums.PROVIDERS, payment["ProviderType"]),
    }


def expiry(value: Any) -> tuple[int, int] | None:
    """(year, month) of ``MM/YY`` or ``yyyy-MM-dd``; None for anything else."""
    text = _text(value)
    if short := _MONTH_YEAR.fullmatch(text):
        year, month = 2000 + int(short[2]), int(short[1])
    elif long := _DATE.fullmatch(text):
        try:
            date.fromisoformat(text)
        except ValueError:
            return None
        year, month = int(long[1]), int(long[2])
    else:
        return None
    return (year, month) if 1 <= month <= 12 else None


def _is_mask(text: str, provider: int | None) -> bool:
    """Ignores other characters. A whole card number is refused for every provider."""
    digits = re.sub(r"[^0-9*xX●]", "", text)
    if not text or is_card_number(digits):
        return False
    return provider != enums.CONNECTED_PAYMENTS or bool(_CONNECTED_MASK.fullmatch(digits))


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
