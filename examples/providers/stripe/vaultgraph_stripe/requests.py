"""What is sent to Stripe: queries and forms, from the unified model. Pure."""

from typing import Final
from urllib.parse import urlencode

from app.vault.enums import CustomerRef, MethodRef
from app.vault.model import Address, NewCustomer
from app.vault.provider import Call

FORM: Final = "application/x-www-form-urlencoded"
PAGE_SIZE: Final = 100  # the most that Stripe gives: API reference, "Pagination"


def list_query(ref: CustomerRef, kind: str) -> tuple[tuple[str, str], ...]:
    """The customer is expanded: the default is there, and costs no call of its own."""
    return ("customer", ref), ("type", kind), ("limit", str(PAGE_SIZE)), ("expand[]", "data.customer")


def idempotency_header(call: Call) -> dict[str, str] | None:
    """Stripe answers a repeated key with its first answer, for at least 24 hours."""
    return None if call.idempotency_key is None else {"idempotency-key": call.idempotency_key}


def attach_form(ref: CustomerRef) -> bytes:
    return _form({"customer": ref})


def default_form(method: MethodRef) -> bytes:
    return _form({"invoice_settings[default_payment_method]": method})


def customer_form(new: NewCustomer) -> bytes:
    """Our caller's key becomes metadata: Stripe makes the customer's id itself."""
    address = new.address or Address()
    return _form(
        {
            "name": new.business_name or str(new.name) or None,
            "email": new.email,
            "phone": new.phone,
            "metadata[external_id]": new.external_id or None,
            "address[line1]": address.line1,
            "address[line2]": address.line2,
            "address[city]": address.city,
            "address[state]": address.region,
            "address[postal_code]": address.postal_code,
            "address[country]": address.country,
        }
    )


def _form(fields: dict[str, str | None]) -> bytes:
    return urlencode({name: value for name, value in fields.items() if value is not None}).encode("ascii")
