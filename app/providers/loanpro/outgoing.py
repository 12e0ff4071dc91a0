"""Our wishes in LoanPro's words, the rules they must keep, and LoanPro's refusals in ours. Pure."""

import re
from typing import Any, Final

import orjson

from app.errors import FieldFault, RejectReason, VaultError
from app.http.message import Effect, VaultReply
from app.providers.loanpro.mapping import NAME
from app.providers.loanpro.wire import WireElement
from app.providers.support import alpha2, alpha3, digits, failed_reply, fault, required, text, unsupported
from app.providers.write_outcome import WriteAnswers
from app.vault.model import Address, MethodChange, NewBankAccount, NewCustomer, NewMethod
from app.vault.names import BankAccountType, BankRail, MethodRef

TITLE_LIMIT: Final = 100
_SUMMARY_TITLES: Final = {
    BankAccountType.CHECKING: "Checking Account",
    BankAccountType.SAVINGS: "Savings Account",
}
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")
_STATE: Final = re.compile(r"[A-Z]{2}")
_CODE: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_NEEDS_STATE: Final = ("US", "CA")


# ---- elements of the customer PUT ---------------------------------------------------------------------------


def element(ref: MethodRef, **flags: Any) -> WireElement:
    """An update of one profile: with `__id` and `__update`, else it would create. Only the flags given change."""
    number = int(ref)
    return {"id": number, "__id": number, "__update": True, **flags}  # type: ignore[typeddict-item]


def children(*elements: WireElement) -> dict[str, Any]:
    """The body of the customer PUT. LoanPro applies the elements in order, and drops any other shape silently."""
    return {"PaymentAccounts": {"results": list(elements)}}


def new_element(new: NewMethod, make_primary: bool) -> WireElement:
    """Create a profile by token ('Link Payment Profile to Customer'). A bank account is checking unless told."""
    made: WireElement = {
        "active": 1,
        "isPrimary": int(make_primary),
        "isSecondary": int(bool(new.is_secondary)),
        "title": new.title or "Credit Card",
        "type": "paymentAccount.type.credit",
    }
    if isinstance(new, NewBankAccount):
        kind = new.account_type or BankAccountType.CHECKING
        made["title"] = new.title or _SUMMARY_TITLES[kind]
        made["type"] = "paymentAccount.type.checking"
        made["CheckingAccount"] = {
            "accountType": f"bankacct.type.{kind.value.lower()}",
            "token": new.secret.reveal(),
        }
    else:
        made["CreditCard"] = {"token": new.secret.reveal()}
    return made


def changed_element(ref: MethodRef, change: MethodChange) -> WireElement:
    """A deactivated profile gives up both flags: LoanPro would otherwise keep a primary that cannot be used."""
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
    """The body of 'Create Customer': both addresses are demanded, so ours is sent twice."""
    address = _from_address(new.address or Address())
    body: dict[str, Any] = {
        "customId": new.external_id,
        "customerType": "customer.type.individual",
        "status": "Active",
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
        "state": f"geo.state.{_state(address)}",
        "zipcode": address.postal_code,
        "country": f"company.country.{(alpha3(address.country) or '').lower()}",
    }
    return {name: value.strip() for name, value in wire.items() if value and value.strip()}


def _state(address: Address) -> str:
    """`US-CA` and `CA` are both California."""
    region = (address.region or "").strip()
    return region.upper().removeprefix(f"{alpha2(address.country) or ''}-")


def _national(phone: str) -> str:
    """LoanPro keeps North American numbers as ten digits."""
    number = digits(phone)
    return number[1:] if len(number) == 11 and number.startswith("1") else number


def quoted(value: str) -> str:
    """A text literal of an OData filter."""
    return "'" + value.replace("'", "''") + "'"


# ---- rules, before anything is sent -------------------------------------------------------------------------


def faults_of_customer(new: NewCustomer) -> list[FieldFault]:
    faults = [required("name", part) for part in ("first", "last") if not text(getattr(new.name, part))]
    if not text(new.email):
        faults.append(required("email", message="LoanPro needs an e-mail address."))
    elif not _EMAIL.fullmatch(new.email or ""):
        faults.append(fault("email", message="This is not an e-mail address."))
    if new.phone and not 7 <= len(digits(new.phone)) <= 15:
        faults.append(fault("phone", message="A phone number has 7 to 15 digits."))
    return faults + _faults_of_address(new.address or Address())


def _faults_of_address(address: Address) -> list[FieldFault]:
    needed = ("line1", "city", "region", "country")
    faults = [
        required("address", part, message="LoanPro needs it.") for part in needed if not text(getattr(address, part))
    ]
    country = alpha2(address.country)
    if text(address.country) and country is None:
        faults.append(fault("address", "country", message="This is not an ISO 3166-1 country code."))
    if text(address.region) and country in _NEEDS_STATE and not _STATE.fullmatch(_state(address)):
        faults.append(fault("address", "region", message="LoanPro needs the two-letter code of the state or province."))
    return faults


def faults_of_new(new: NewMethod) -> list[FieldFault]:
    faults: list[FieldFault] = []
    if not new.secret:
        faults.append(required("secret", message="The token is missing."))
    elif not _is_token(new.secret.reveal()):
        faults.append(fault("secret", message="A token is printable text without blanks."))
    if new.title is not None:
        faults += _faults_of_title(new.title)
    if new.billing_address is not None:
        faults.append(unsupported("billing_address", message="LoanPro takes the address with the token."))
    if isinstance(new, NewBankAccount):
        if new.rail is not BankRail.ACH:
            faults.append(unsupported("rail", message="LoanPro links ACH accounts only."))
        if new.account_type is not None and new.account_type not in _SUMMARY_TITLES:
            faults.append(unsupported("account_type", message="LoanPro knows checking and savings accounts."))
    elif new.authenticate is not None:
        faults.append(unsupported("authenticate", message="LoanPro has no 3-D Secure."))
    return faults


def _is_token(value: str) -> bool:
    return value.isascii() and value.isprintable() and " " not in value


def faults_of_change(change: MethodChange) -> list[FieldFault]:
    faults = [] if change.title is None else _faults_of_title(change.title)
    if change.active is False and change.is_secondary:
        faults.append(fault("is_secondary", message="An inactive profile cannot be the secondary one."))
    return faults


def _faults_of_title(title: str) -> list[FieldFault]:
    if not title.strip():
        return [fault("title", message="The title must not be blank.")]
    if len(title) > TITLE_LIMIT:
        return [fault("title", message=f"The title has at most {TITLE_LIMIT} characters.")]
    return []


# ---- refusals -----------------------------------------------------------------------------------------------

_MISSING: Final = re.compile(r"not found|not exist|n't exist|unknown|no such|could ?n.t find|unable to find", re.I)
_FIELDS: Final = (
    ("e-?mail", ("email",)),
    ("address", ("address",)),
    ("phone", ("phone",)),
    ("first ?name", ("name", "first")),
    ("last ?name", ("name", "last")),
    ("title", ("title",)),
    ("account ?type", ("account_type",)),
)


def _is_record(body: Any) -> bool:
    """ "Success is 200 and a root `d`", which is the customer."""
    return isinstance(body["d"], dict) and bool(body["d"]) and "error" not in body["d"]


def _is_error(body: Any) -> bool:
    error = (body.get("d") or body)["error"]
    return isinstance(error, dict) and isinstance(error["message"], str | dict)


WRITTEN: Final = WriteAnswers(applied={200: _is_record, 201: _is_record}, refused={409: _is_error})
"""Every write is a POST or PUT of a customer. Sources: 'Response Codes', 'Transaction Warnings'."""


def is_challenge(reply: VaultReply) -> bool:
    """The 401 of its page 'Response Codes': ``{"code": "401-CN0001", "message": "Unauthorized", ...}``."""
    _, code = _read_error(reply)
    return code is not None and code.startswith("401-")


def refusal(reply: VaultReply, effect: Effect, *, missing: RejectReason | None = None) -> VaultError:
    """What a reply other than success means. LoanPro says 409 to nearly everything, so its words decide.

    `missing` is the meaning of a 409 to a call that names one record by id: LoanPro has no 404 for records.
    Words are matched, never kept. Sources: 'Response Codes', 'Transaction Warnings'.
    """
    said, code = _read_error(reply)
    if reply.status != 409:
        return failed_reply(NAME, reply, effect, RejectReason.CONTRACT, code)
    if missing is not None:
        is_theirs = bool(said) or code is not None  # any other server's 409 says nothing of the record
        return failed_reply(NAME, reply, effect, missing if is_theirs else RejectReason.CONTRACT, code)
    reason, faults = _judge(said, code)
    return failed_reply(NAME, reply, effect, reason, code, faults)


def _judge(said: str, code: str | None) -> tuple[RejectReason, list[FieldFault]]:
    if code == "TransactionWarningException" or "already found in the system" in said:
        return RejectReason.DUPLICATE_CUSTOMER, []
    words = said.lower()
    if "token" in words:
        return RejectReason.TOKEN_INVALID, [fault("secret", message="The vault does not accept this token.")]
    if _MISSING.search(said):
        is_profile = re.search("payment ?account|profile", words)
        return RejectReason.METHOD_NOT_FOUND if is_profile else RejectReason.CUSTOMER_NOT_FOUND, []
    if re.search(r"\b(primary|secondary)\b(?! ?address)", words):
        return RejectReason.CONFLICT, []
    named = next((path for pattern, path in _FIELDS if re.search(pattern, words)), None)
    faults = [fault(*named, message="The vault does not accept it.")] if named else []
    return RejectReason.INVALID_INPUT, faults


def _read_error(reply: VaultReply) -> tuple[str, str | None]:
    """The message and the stable code of an error body: `error.type`, or `code` of the header errors.

    `error.message` is text or `{value}`; the whole may be wrapped in `d`; `warnings` stand beside `error`.
    """
    try:
        body = reply.json()
    except orjson.JSONDecodeError:
        return "", None
    body = body.get("d", body) if isinstance(body, dict) else {}
    error = body.get("error") if isinstance(body, dict) else None
    error = error if isinstance(error, dict) else body if isinstance(body, dict) else {}
    message = error.get("message")
    message = message.get("value") if isinstance(message, dict) else message
    warnings = body.get("warnings") if isinstance(body, dict) else None
    said = [message, *(warnings if isinstance(warnings, list) else [])]
    code = error.get("type") or error.get("code")
    is_code = isinstance(code, str) and _CODE.fullmatch(code)
    return " ".join(part for part in said if isinstance(part, str))[:2000], code if is_code else None
