"""The demo payment accounts, customers and saved methods."""

from typing import Final

from app.sandbox.base import Json
from app.sandbox.caselle.wallets import reference_key
from app.sandbox.demo import ALEX, LOAD_CUSTOMERS, SAM, DemoCustomer, load_customer

ACCOUNT: Final = "pa_7Qm2"
CARDS_ONLY_ACCOUNT: Final = "pa_3Cards"
INACTIVE_ACCOUNT: Final = "pa_0Closed"
_CLIENT: Final = "cl_city01"
_CREATED_AT: Final = "2026-01-05T09:00:00Z"


def demo_data() -> Json:
    customers = [_alex(), _sam(), _free(), *(_load(number) for number in range(1, LOAD_CUSTOMERS + 1))]
    return {
        "clients": {
            _CLIENT: {
                "uid": _CLIENT,
                "customer_id": "city-of-example",
                "name": "City of Example",
                "timezone": "Mountain Standard Time",
                "subdomain": "city-of-example",
            }
        },
        "accounts": {
            account["uid"]: account
            for account in (
                _account(ACCOUNT, "Utilities", "100001"),
                _account(CARDS_ONLY_ACCOUNT, "Courts", "100002", enable_ach=False),
                _account(INACTIVE_ACCOUNT, "Closed", "100003", active=False),
            )
        },
        "customers": {customer["wire"]["uid"]: customer for customer in customers},
        "by_reference": {
            reference_key(customer["account"], customer["wire"]["reference_id"]): customer["wire"]["uid"]
            for customer in customers
        },
        "tokens": {},
        "payments": {},
        "imported": {},
        "sessions": {},
        "deliveries": [],
    }


def _account(uid: str, name: str, external: str, *, enable_ach: bool = True, active: bool = True) -> Json:
    return {
        "uid": uid,
        "client_id": _CLIENT,
        "name": name,
        "processor": "zift",
        "external_account_id": external,
        "external_merchant_id": f"M{external}",
        "active": active,
        "enable_ach": enable_ach,
        "enable_credit_card": True,
        "minimum_payment_amount": 0.0,
        "maximum_payment_amount": 999999.99,
        "callback_url": None,
        "webhook_enabled": False,
        "webhook_secret": f"whsec_sandbox_{external}",
        "unsubscribed": [],
    }


def _customer(uid: str, reference_id: str, name: str, email: str, methods: list[Json]) -> Json:
    wire = {"uid": uid, "reference_id": reference_id, "name": name, "email": email}
    return {
        "account": ACCOUNT,
        "wire": {**wire, "created_at": _CREATED_AT, "updated_at": _CREATED_AT},
        "default": methods[0]["uid"],
        "methods": methods,
    }


def _of(customer: DemoCustomer, methods: list[Json]) -> Json:
    return _customer(customer.refs["caselle"], customer.external_id, customer.name, customer.email, methods)


def _method(uid: str, method_type: str, face: Json) -> Json:
    return {
        "uid": uid,
        "payment_method": {"payment_method_type": method_type, method_type: face},
        "created_at": _CREATED_AT,
    }


def _card(uid: str, brand: str, bin6: str, last4: str, month: int, year: int, holder: str) -> Json:
    face = {"last4": last4, "exp_month": month, "exp_year": year, "bin": bin6, "card_brand": brand}
    return _method(uid, "credit", {**face, "holder_name": holder})


def _ach(uid: str, last4: str, holder: str) -> Json:
    face = {"routing_number": "122000247", "account_suffix": last4, "account_type": "checking"}
    return _method(uid, "ach", {**face, "holder_name": holder})


def _alex() -> Json:
    return _of(
        ALEX,
        [
            _card("spm_alexvisa", "VISA", "424242", "4242", 12, 2029, ALEX.name),
            _ach("spm_alexach", "1156", ALEX.name),
        ],
    )


def _sam() -> Json:
    return _of(SAM, [_card("spm_sammc", "MASTERCARD", "555555", "4444", 9, 2030, SAM.name)])


def _free() -> Json:
    methods = [_card("spm_free01", "VISA", "411111", "2121", 6, 2031, "Free Customer")]
    return _customer("cus_free01", "free-01", "Free Customer", "free@example.com", methods)


def _load(number: int) -> Json:
    customer = load_customer(number)
    label = f"spm_load{number:04d}"
    year = 2029 + number % 4
    return _of(
        customer,
        [
            _card(f"{label}a", "VISA", "411111", f"{7000 + number:04d}", 1 + number % 12, year, customer.name),
            _card(f"{label}b", "MASTERCARD", "555555", f"{7300 + number:04d}", 1 + number % 12, year, customer.name),
            _ach(f"{label}c", f"{8000 + number:04d}", customer.name),
        ],
    )
