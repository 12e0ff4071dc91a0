"""LoanPro's data of the demo customers. Deterministic; every number is a public test number or made up."""

import hashlib
from typing import Final

from app.sandbox.base import Json
from app.sandbox.demo import ALEX, LOAD_CUSTOMERS, SAM, DemoCustomer, load_customer
from app.sandbox.loanpro import accounts, customers, vault
from app.sandbox.loanpro.accounts import Rules

CREATED: Final = 1735689600  # 2025-01-01
UNLINKED: Final = 39
"""An unlinked customer."""
_RULES: Final = Rules(is_last_wins=False, allows_same_token=True, now=CREATED)
_ROUTING: Final = "124002971"


def state() -> Json:
    made: Json = {
        "customers": {},
        "accounts": {},
        "vault": {},
        "sp_customers": {},
        "obo": [],
        "next": {"customer": 36, "account": 300, "child": 900, "vault": 0, "sp_customer": 500},
    }
    _alex(made)
    _sam(made)
    _place(made, DemoCustomer("", "user-88430", "Robin", "Unlinked", "robin@example.com", ALEX.refs), UNLINKED)
    made["next"]["customer"] = 1000
    for number in range(1, LOAD_CUSTOMERS + 1):
        _load(made, number)
    made["next"]["customer"] = 5000
    return made


def _alex(made: Json) -> None:
    customer = _place(made, ALEX, 37)
    _card(made, customer, "Visa", "VISA", "411111", "1111", (1, 2030), isPrimary=1)
    _bank(made, customer, "4235")
    _card(made, customer, "Old card", "DISCOVER", "601111", "1117", (6, 2029), active=0)


def _sam(made: Json) -> None:
    customer = _place(made, SAM, 38)
    _card(made, customer, "Mastercard", "MASTERCARD", "555555", "4444", (3, 2029), isPrimary=1)
    _bank(made, customer, "6021")


def _load(made: Json, number: int) -> None:
    """Two cards and a bank account. The first digit of each last4 distinguishes them from each other and from other
    vaults'.
    """
    customer = _place(made, load_customer(number), 1000 + number)
    _card(made, customer, "First card", "VISA", "411111", f"1{number:03d}", (1 + number % 12, 2031), isPrimary=1)
    _card(
        made, customer, "Second card", "MASTERCARD", "555555", f"2{number:03d}", (1 + number % 12, 2032), isSecondary=1
    )
    _bank(made, customer, f"3{number:03d}")


def _place(made: Json, who: DemoCustomer, number: int) -> Json:
    made["next"]["customer"] = number - 1
    fields = {
        "customId": who.external_id,
        "firstName": who.first_name,
        "lastName": who.last_name,
        "email": who.email,
        "ssn": f"900{number:06d}",  # never issued as a real number
        "birthDate": 15897600 + number * 86400,
    }
    address = {
        "address1": f"{number} Example Street",
        "address2": None,
        "city": "Salt Lake City",
        "state": "geo.state.UT",
        "zipcode": "84105",
        "country": "company.country.usa",
        "geoLat": None,
        "geoLon": None,
    }
    phone = {
        "phone": f"801555{number:04d}",
        "type": "customer.phoneType.cell",
        "isPrimary": 1,
        "isSecondary": 0,
        "carrierVerified": 0,
        "isLandLine": 0,
        "dndEnabled": 0,
    }
    return customers.place(made, fields, dict(address), dict(address), [phone], CREATED)


def _card(
    made: Json, customer: Json, title: str, brand: str, bin_: str, last4: str, expiry: tuple[int, int], **flags: int
) -> None:
    record: Json = {
        "kind": "card",
        "last4": last4,
        "bin": bin_,
        "masked": f"{'X' * 12}{last4}",
        "brand": brand,
        "exp_month": expiry[0],
        "exp_year": expiry[1],
        "holder": _holder(customer),
        "address": {
            "address": customer["PrimaryAddress"]["address1"],
            "city": "SALT LAKE CITY",
            "state": "UT",
            "zipcode": "84105",
            "country": "company.country.usa",
        },
    }
    _link(made, customer, record, {"title": title, "type": "paymentAccount.type.credit", **flags})


def _bank(made: Json, customer: Json, last4: str, **flags: int) -> None:
    record: Json = {
        "kind": "bank",
        "last4": last4,
        "masked": f"{'X' * 7}{last4}",
        "routing_number": _ROUTING,
        "account_type": "checking",
        "bank_name": "Test Bank",
        "holder": _holder(customer),
        "address": {
            "address": customer["PrimaryAddress"]["address1"],
            "city": "Salt Lake City",
            "state": "UT",
            "zipcode": "84105",
            "country": "USA",
        },
    }
    _link(made, customer, record, {"title": "Checking Account", "type": "paymentAccount.type.checking", **flags})


def _link(made: Json, customer: Json, record: Json, element: Json) -> None:
    label = f"loanpro:{customer['id']}:{record['kind']}:{record['last4']}"
    stored = vault.store(made, record, CREATED, seed=hashlib.sha256(label.encode()).hexdigest()[:32])
    token = vault.token_of(stored)
    child = {"CreditCard": {"token": token}}
    if record["kind"] == "bank":
        child = {"CheckingAccount": {"token": token, "accountType": "bankacct.type.checking"}}
    accounts.apply(made, customer, [{**element, **child}], _RULES)


def _holder(customer: Json) -> str:
    return f"{customer['scalars']['firstName']} {customer['scalars']['lastName']}"
