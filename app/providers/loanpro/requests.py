"""Builds the request bodies of LoanPro's API from the unified model. Pure."""

from typing import Any, Final

from app.providers.countries import alpha2, alpha3
from app.providers.loanpro.wire import WireElement
from app.providers.values import digits
from app.vault.enums import BankAccountType, MethodRef
from app.vault.model import Address, MethodChange, NewBankAccount, NewCustomer, NewMethod

ACCOUNT_TITLES: Final = {
    BankAccountType.CHECKING: "Checking Account",
    BankAccountType.SAVINGS: "Savings Account",
}


# ---- elements of the customer PUT ---------------------------------------------------------------------------


def element(ref: MethodRef, **flags: Any) -> WireElement:
    """An update of one profile: with `__id` and `__update`, else it would create one. Only the given flags change."""
    number = int(ref)
    return {"id": number, "__id": number, "__update": True, **flags}  # type: ignore[typeddict-item]


def children(*elements: WireElement) -> dict[str, Any]:
    """The body of the customer PUT. LoanPro applies the elements in order, and silently drops any other shape."""
    return {"PaymentAccounts": {"results": list(elements)}}


def new_element(new: NewMethod, make_primary: bool) -> WireElement:
    """Create a profile by token ('Link Payment Profile to Customer'). A bank account is checking by default."""
    made: WireElement = {
        "active": 1,
        "isPrimary": int(make_primary),
        "isSecondary": int(bool(new.is_secondary)),
        "title": new.title or "Credit Card",
        "type": "paymentAccount.type.credit",
    }
    if isinstance(new, NewBankAccount):
        kind = new.account_type or BankAccountType.CHECKING
        made["title"] = new.title or ACCOUNT_TITLES[kind]
        made["type"] = "paymentAccount.type.checking"
        made["CheckingAccount"] = {
            "accountType": f"bankacct.type.{kind.value.lower()}",
            "token": new.secret.reveal(),
        }
    else:
        made["CreditCard"] = {"token": new.secret.reveal()}
    return made


def changed_element(ref: MethodRef, change: MethodChange) -> WireElement:
    """A deactivated profile loses both flags: LoanPro would otherwise keep an unusable primary."""
    if change.active is False:
        flags: dict[str, Any] = {"active": 0, "isPrimary": 0, "isSecondary": 0}
    else:
        flags = {} if change.active is None else {"active": 1}
        if change.is_secondary is not None:
            flags["isSecondary"] = int(change.is_secondary)
    if change.title is not None:
        flags["title"] = change.title
    return element(ref, **flags)


# ---- customers ----------------------------------------------------------------------------------------------


def from_customer(new: NewCustomer) -> dict[str, Any]:
    """The body of 'Create Customer': both addresses are required, so the same one is sent twice."""
    address = _from_address(new.address or Address())
    body: dict[str, Any] = {
        "customId": new.external_id,
        "customerType": f"customer.type.{'company' if new.business_name else 'individual'}",
        "status": "Active",
        **({"companyName": new.business_name} if new.business_name else {}),
        "firstName": new.name.first.strip(),
        "lastName": new.name.last.strip(),
        "email": new.email,
        "PrimaryAddress": address,
        "MailAddress": address,
    }
    if new.phone:
        phone = {"phone": _national(new.phone), "type": "customer.phoneType.cell", "isPrimary": 1, "isSecondary": 0}
        body["Phones"] = {"results": [phone]}
    return body


def _from_address(address: Address) -> dict[str, str]:
    wire = {
        "address1": address.line1,
        "address2": address.line2,
        "city": address.city,
        "state": f"geo.state.{state_of(address)}",
        "zipcode": address.postal_code,
        "country": f"company.country.{(alpha3(address.country) or '').lower()}",
    }
    return {name: value.strip() for name, value in wire.items() if value and value.strip()}


def state_of(address: Address) -> str:
    """`US-CA` and `CA` are both California."""
    region = (address.region or "").strip()
    return region.upper().removeprefix(f"{alpha2(address.country) or ''}-")


def _national(phone: str) -> str:
    """LoanPro stores North American numbers as ten digits."""
    number = digits(phone)
    return number[1:] if len(number) == 11 and number.startswith("1") else number


def quoted(value: str) -> str:
    """A text literal of an OData filter."""
    return "'" + value.replace("'", "''") + "'"
