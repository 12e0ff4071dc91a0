"""LoanPro's entities in OData form (field names: the vendor's PHP SDK, JSON fixtures)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.sandbox.base import Json
from app.sandbox.loanpro import vault
from app.sandbox.loanpro.odata import Expand, QueryError

HOST: Final = "http://loanpro.simnang.com/api/public/api/1/odata.svc"
NULL_DATE: Final = "/Date(-62169984000)/"
DATE_FIELDS: Final = frozenset({"birthDate", "created", "lastUpdate"})
FLAG_FIELDS: Final = frozenset({"isPrimary", "isSecondary", "active"})
"""Flags that `FLAGS=strings` emits as text; the others stay numbers, as observed in mixed tenants."""

CUSTOMER_OBJECTS: Final = ("PrimaryAddress", "MailAddress", "Employer", "CreditScore")
CUSTOMER_LISTS: Final = (
    "References",
    "PaymentAccounts",
    "Phones",
    "CustomFieldValues",
    "Documents",
    "Loans",
    "SocialProfiles",
    "Notes",
)


@dataclass(frozen=True, slots=True)
class Style:
    """The switches that change how an entity is rendered."""

    has_text_flags: bool
    has_card_details: bool
    echo_form: str


def customer_row(customer: Json) -> Json:
    """The fields for `$filter` and `$orderby`: scalars, and the addresses for paths such as ``PrimaryAddress/city``."""
    return {"id": customer["id"], **customer["scalars"], **{name: customer[name] for name in CUSTOMER_OBJECTS[:2]}}


def account_row(account: Json, state: Json) -> Json:
    is_card = state["vault"][str(account["vault_id"])]["kind"] == "card"
    return {
        "id": account["id"],
        "entityId": account["entityId"],
        "entityType": "Entity.Customer",
        "importId": None,
        **{name: account[name] for name in ("isPrimary", "isSecondary", "title", "type")},
        "creditCardId": account["child_id"] if is_card else None,
        "checkingAccountId": None if is_card else account["child_id"],
        **{name: account[name] for name in ("active", "verify", "visible", "isPaymentAllowed", "isFundingAllowed")},
    }


def accounts_of(customer: Json, state: Json) -> list[Json]:
    """Newest first, as observed in real expanded replies."""
    return [state["accounts"][str(number)] for number in reversed(customer["account_ids"])]


def customer(customer: Json, state: Json, expand: Expand, style: Style) -> Json:
    """One customer; children that are not expanded are deferred. Raises QueryError for an unknown child."""
    _known(expand, (*CUSTOMER_OBJECTS, *CUSTOMER_LISTS))
    number = customer["id"]
    shown: Json = _metadata("Customers", "Customer", number)
    for name in (*CUSTOMER_OBJECTS, *CUSTOMER_LISTS):
        if name in expand:
            shown[name] = _navigated(customer, name, state, expand[name], style)
        else:
            shown[name] = deferred(f"Customers(id={number})/{name}")
    return shown | {"id": number} | _with_odata_dates(customer["scalars"])


def _navigated(customer: Json, name: str, state: Json, expand: Expand, style: Style) -> Json | None:
    if name == "PaymentAccounts":
        return {"results": [account(entry, state, expand, style) for entry in accounts_of(customer, state)]}
    _known(expand, ())
    if name == "Phones":
        return {"results": [_metadata("Phones", "Phone", phone["id"]) | phone for phone in customer["Phones"]]}
    if name in CUSTOMER_LISTS:
        return {"results": []}
    return address(customer.get(name))


def account(account: Json, state: Json, expand: Expand, style: Style) -> Json:
    """One payment profile. Unexpanded children are deferred, even one that does not exist."""
    _known(expand, ("CheckingAccount", "CreditCard"))
    record = state["vault"][str(account["vault_id"])]
    shown: Json = _metadata("PaymentAccounts", "PaymentAccount", account["id"])
    for name, kind in (("CheckingAccount", "bank"), ("CreditCard", "card")):
        if name not in expand:
            shown[name] = deferred(f"PaymentAccounts(id={account['id']})/{name}")
        elif record["kind"] != kind:
            shown[name] = None
        else:
            shown[name] = child(account, record, expand[name], style)
    row = account_row(account, state)
    if style.has_text_flags:
        row |= {name: str(row[name]) for name in FLAG_FIELDS}
    return shown | row


def child(account: Json, record: Json, expand: Expand, style: Style) -> Json:
    return (_card if record["kind"] == "card" else _bank)(account, record, expand, style)


def _bank(account: Json, record: Json, expand: Expand, style: Style) -> Json:
    _known(expand, ("Address",))
    number = account["child_id"]
    where = f"CheckingAccounts(id={number})/Address"
    return _metadata("CheckingAccounts", "CheckingAccount", number) | {
        "Address": address(_bank_address(account, record)) if "Address" in expand else deferred(where),
        "id": number,
        "addressId": number,
        "processor": None,
        "accountType": account["accountType"],
        "token": _echo(record, style),
        "created": date(record["created"]),
        "accountNumber": record["masked"],
        "routingNumber": record["routing_number"],
        "branchNumber": None,
        "institutionNumber": None,
        "bankName": record["bank_name"],
        "cardHolderName": record["holder"],
    }


def _card(account: Json, record: Json, expand: Expand, style: Style) -> Json:
    _known(expand, ())
    number = account["child_id"]
    shown = _metadata("CreditCards", "CreditCard", number) | {
        "id": number,
        "token": _echo(record, style),
        "created": date(record["created"]),
    }
    details: Json = {
        "cardNumber": record["masked"],
        "cardType": vault.CARD_TYPES.get(record["brand"] or ""),
        "address1": record["address"].get("address"),
        **{name: record["address"].get(name) for name in ("city", "state", "zipcode", "country")},
        "cardExpiration": f"{record['exp_month']:02d}/{record['exp_year']}",
        "cardHolderName": record["holder"],
    }
    return shown | (details if style.has_card_details else dict.fromkeys(details))


def address(record: Json | None) -> Json | None:
    return None if record is None else _metadata("Address", "Address", record["id"]) | _with_odata_dates(record)


def deferred(path: str) -> Json:
    return {"__deferred": {"uri": path}}


def date(seconds: int | None) -> str:
    """Seconds since the epoch, UTC (LoanPro, "Dates and Times")."""
    return NULL_DATE if seconds is None else f"/Date({seconds})/"


def _bank_address(account: Json, record: Json) -> Json:
    where = record["address"]
    return {
        "id": account["child_id"],
        "address1": where.get("address"),
        "address2": None,
        "city": where.get("city"),
        "state": f"geo.state.{where['state']}" if where.get("state") else None,
        "zipcode": where.get("zipcode"),
        "country": "company.country.usa",
        "geoLat": None,
        "geoLon": None,
        "created": record["created"],
        "active": 1,
        "isVerified": 0,
        "isStandardized": 0,
    }


def _echo(record: Json, style: Style) -> str | None:
    if style.echo_form == "none":
        return None
    token = vault.token_of(record)
    return vault.decoded(token) if style.echo_form == "decoded" else token


def _metadata(collection: str, entity: str, number: int) -> Json:
    return {"__metadata": {"uri": f"{HOST}/{collection}(id={number})", "type": f"Entity.{entity}"}}


def _with_odata_dates(fields: Mapping[str, Any]) -> Json:
    return {name: date(value) if name in DATE_FIELDS else value for name, value in fields.items()}


def _known(expand: Expand, names: Iterable[str]) -> None:
    if not set(expand) <= set(names):
        raise QueryError("unknown name in $expand")
