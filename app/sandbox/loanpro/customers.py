"""Customers in LMS: create, change, find. `touch_index` emulates the lag of the search index.

Sources: LoanPro, "Create Customer", "Update a Customer", "Transaction Warnings".
"""

from collections.abc import Callable, Iterator
from typing import Any

from app.sandbox.base import Json
from app.sandbox.loanpro import accounts, checks
from app.sandbox.loanpro.accounts import Rules
from app.sandbox.loanpro.refusals import entity_error, transaction_warnings


def find(state: Json, number: int) -> Json:
    customer: Json | None = state["customers"].get(str(number))
    if customer is None:
        raise entity_error("Customer not found")  # 409, since 404 is for unknown endpoints only
    return customer


def create(state: Json, body: Json, rules: Rules) -> Json:
    """Both complete addresses, a name and an e-mail are required. LMS creates the SP customer itself."""
    fields = checks.scalars(body)
    for name, label in (("firstName", "First Name"), ("lastName", "Last Name"), ("email", "Email")):
        if name not in fields:
            raise entity_error(f"{label} is required")
    primary = checks.address(body.get("PrimaryAddress"), "Primary Address")
    mail = checks.address(body.get("MailAddress"), "Mail Address")
    phones = [checks.phone(element) for element in checks.children(body, "Phones")]
    _refuse_duplicates(state, fields, primary, phones, ignores_warnings=body.get("__ignoreWarnings") is True)
    elements = checks.children(body, "PaymentAccounts")
    customer = place(state, fields, primary, mail, phones, int(rules.now))
    try:
        accounts.apply(state, customer, elements, rules)
    except Exception:
        _remove(state, customer)
        raise
    return customer


def place(state: Json, fields: Json, primary: Json, mail: Json, phones: list[Json], now: int) -> Json:
    """Store a validated customer under the next id, with its Secure Payments twin."""
    state["next"]["customer"] += 1
    number = state["next"]["customer"]
    state["next"]["sp_customer"] += 1
    sp_number = state["next"]["sp_customer"]
    scalars = {**checks.CUSTOMER_FIELDS, **fields, "mcId": sp_number, "created": now, "lastUpdate": now}
    customer: Json = {
        "id": number,
        "scalars": scalars,
        "PrimaryAddress": _numbered(state, "child", primary, now),
        "MailAddress": _numbered(state, "child", mail, now),
        "Phones": [_numbered(state, "child", phone, now) for phone in phones],
        "account_ids": [],
        "changed_at": now,
        "indexed": None,
    }
    state["customers"][str(number)] = customer
    state["sp_customers"][str(sp_number)] = {"profiles": [], "details": {}}
    return customer


def update(state: Json, customer: Json, body: Json, rules: Rules) -> None:
    """Change only the fields sent; children element by element. Raises SandboxRefusal without any change."""
    fields = checks.scalars(body)
    changed_addresses = {
        name: checks.address(body[name], label, customer[name])
        for name, label in (("PrimaryAddress", "Primary Address"), ("MailAddress", "Mail Address"))
        if isinstance(body.get(name), dict) and "__deferred" not in body[name]
    }
    phones = _phones(customer, checks.children(body, "Phones"))
    accounts.apply(state, customer, checks.children(body, "PaymentAccounts"), rules)
    now = int(rules.now)
    customer["scalars"].update(fields, lastUpdate=now)
    customer.update(changed_addresses)
    customer["Phones"] = [phone if "id" in phone else _numbered(state, "child", phone, now) for phone in phones]


def touch_index(customer: Json, row: Json | None, now: float) -> None:
    """After a change: the index keeps showing the old `row` until its delay is over."""
    customer["indexed"] = row
    customer["changed_at"] = now


def _phones(customer: Json, elements: list[Any]) -> list[Json]:
    phones: list[Json] = [dict(phone) for phone in customer["Phones"]]
    for element in elements:
        if not isinstance(element, dict) or not element.get("__update"):
            phones.append(checks.phone(element))
            continue
        at = next((at for at, phone in enumerate(phones) if str(phone.get("id")) == str(element.get("__id"))), None)
        if at is None:
            raise entity_error("Phone not found")
        phones[at] = checks.phone(element, phones[at])
    return phones


def _numbered(state: Json, sequence: str, fields: Json, now: int) -> Json:
    state["next"][sequence] += 1
    return {"id": state["next"][sequence], **fields, "created": now, "active": 1}


def _remove(state: Json, customer: Json) -> None:
    del state["customers"][str(customer["id"])]
    del state["sp_customers"][str(customer["scalars"]["mcId"])]


def _refuse_duplicates(state: Json, fields: Json, address: Json, phones: list[Json], *, ignores_warnings: bool) -> None:
    others = list(state["customers"].values())
    ssn, born = fields.get("ssn"), fields.get("birthDate")
    if ssn and born and any(_has(other, ssn=ssn, birthDate=born) for other in others):
        raise transaction_warnings(["A customer with this SSN and birth date already exists."])
    warnings = [text for other in others for text in _warnings(other, fields, address, phones)]
    if warnings and not ignores_warnings:
        raise transaction_warnings(warnings)


def _has(customer: Json, **wanted: Any) -> bool:
    return all(customer["scalars"].get(name) == value for name, value in wanted.items())


def _warnings(other: Json, fields: Json, address: Json, phones: list[Json]) -> Iterator[str]:
    scalars = other["scalars"]
    who = f"already found in the system (Customer ID {other['id']}: {scalars['firstName']} {scalars['lastName']})."
    folded: Callable[[Any], str] = lambda value: str(value or "").strip().lower()  # noqa: E731 - two uses, one line
    if folded(scalars["email"]) == folded(fields["email"]):
        yield f"(Customer) Email {who}"
    if fields.get("ssn") and scalars["ssn"] == fields["ssn"]:
        yield f"(Customer) SSN {who}"
    known = {phone["phone"] for phone in other["Phones"]}
    for phone in phones:
        if phone["phone"] in known:
            yield f"(Phones) Phone '{phone['phone']}' {who}"
    parts = ("address1", "city", "state", "zipcode")
    if all(folded(other["PrimaryAddress"][part]) == folded(address[part]) for part in parts):
        yield f"(PrimaryAddress) Address {who}"
