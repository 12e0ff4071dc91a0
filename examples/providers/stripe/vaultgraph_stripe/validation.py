"""What Stripe would refuse, found before anything is sent. Pure."""

import re
from typing import Final

from app.errors import FieldFault
from app.providers.base import fault, required, unsupported
from app.vault.model import NewCard, NewCustomer

TOKEN: Final = re.compile(r"pm_[A-Za-z0-9_]{1,245}")
_LONGEST: Final = {"business_name": 256, "email": 512, "phone": 20, "external_id": 500}  # "Create a customer"
_LONGEST_NAME: Final = 256


def faults_of_card(new: NewCard) -> list[FieldFault]:
    faults = []
    token = new.secret.reveal()
    if not token:
        faults.append(required("secret"))
    elif TOKEN.fullmatch(token) is None:
        faults.append(fault("secret", message="The id of a PaymentMethod begins with pm_."))
    if new.billing_address is not None:
        faults.append(unsupported("billing_address", message="A PaymentMethod has its own billing address."))
    if new.authenticate is not None:
        faults.append(unsupported("authenticate", message="A PaymentMethod is authenticated where it is made."))
    return faults


def faults_of_customer(new: NewCustomer) -> list[FieldFault]:
    faults = [
        fault(name, message=f"At most {longest} characters.")
        for name, longest in _LONGEST.items()
        if len(getattr(new, name) or "") > longest
    ]
    if len(str(new.name)) > _LONGEST_NAME:
        faults.append(fault("name", message=f"At most {_LONGEST_NAME} characters."))
    return faults
