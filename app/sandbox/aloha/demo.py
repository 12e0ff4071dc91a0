"""Aloha's data of the demo customers. Deterministic; tokens and numbers are made up or public test data."""

from typing import Final

from app.sandbox.aloha import customers, payments
from app.sandbox.base import Json
from app.sandbox.demo import ALEX, LOAD_CUSTOMERS, demo_guid, load_customer

COMPANY: Final = "DEMO001"
OTHER_COMPANY: Final = "OTHR002"
"""A second tenant of the same service account; shares no customer with the first."""
UNLINKED: Final = demo_guid("unlinked")
"""An unlinked customer without saved payments."""
ODD: Final = demo_guid("unlinked-odd")
"""An unlinked customer with a payment of unpublished method type and provider."""
ELSEWHERE: Final = demo_guid("aloha-other-company")


def state() -> Json:
    company: dict[str, Json] = {}
    _place(company, ALEX.refs["aloha"], ALEX.first_name, ALEX.last_name, ALEX.email)
    _save(company, ALEX.refs["aloha"], 6, "123456xxxxxx7890", "2017-12-01", "201:7210993456120078")
    _save(company, ALEX.refs["aloha"], 7, "411111******1111", "2030-01-01", "201:7210993456120086")
    _place(company, UNLINKED, "Robin", "Unlinked", "robin@example.com")
    _place(company, ODD, "Jamie", "Unlinked", "jamie@example.com")
    _save(company, ODD, 2, "360000******0008", "2029-05-01", "cps-7210993456120094", provider=1)
    for number in range(1, LOAD_CUSTOMERS + 1):
        _load(company, number)
    elsewhere: dict[str, Json] = {}
    _place(elsewhere, ELSEWHERE, "Casey", "Elsewhere", "casey@example.com")
    return {"companies": {COMPANY: company, OTHER_COMPANY: elsewhere}}


def _load(company: dict[str, Json], number: int) -> None:
    who = load_customer(number)
    key = who.refs["aloha"]
    _place(company, key, who.first_name, who.last_name, who.email)
    month = 1 + number % 12
    _save(company, key, 7, f"424200******7{number:03d}", f"2030-{month:02d}-01", f"201:load{number:04d}a")
    _save(company, key, 3, f"601100******8{number:03d}", f"2031-{month:02d}-01", f"201:load{number:04d}b")


def _place(company: dict[str, Json], key: str, first: str, last: str, email: str) -> None:
    body: Json = {
        "Email": email,
        "FirstName": first,
        "LastName": last,
        "VoicePhone": "5125550100",
        "Addresses": [],
    }
    company[key] = customers.stored(customers.profile(body), demo_guid(f"aloha-profile-{key}"))


def _save(
    company: dict[str, Json], key: str, method: int, masked: str, expiration: str, token: str, provider: int = 2
) -> None:
    saved = company[key]["payments"]
    account_id = demo_guid(f"aloha-{key}-{len(saved)}")
    saved.append(
        payments.record(account_id, method=method, token=token, expiration=expiration, masked=masked, provider=provider)
    )
