"""Maps LoanPro's profiles to payment methods. Pure: no I/O, no clock, no settings.

The profile's token and number are not mapped: a number gives its last four digits; a token is only compared, or passed
to the form that changes the profile.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from app.providers.base import collect, collect_methods, records_of
from app.providers.countries import alpha2
from app.providers.lists import Page, is_error, to_page
from app.providers.loanpro.wire import WireCheckingAccount, WireCreditCard, WirePaymentAccount
from app.providers.values import flag, instant_of, last4_of, postal_code_of, read_expiry, text, word
from app.vault.enums import (
    BankAccountType,
    BankRail,
    CardBrand,
    CustomerRef,
    MethodRef,
    PaymentMethodKind,
    PaymentMethodStatus,
    ProviderName,
)
from app.vault.model import Address, BankAccount, BeforeAdd, Card, NewMethod, OtherMethod, PaymentMethod, VaultWallet
from app.vault.secret import Secret

NAME: Final = ProviderName("loanpro")

BRANDS: Final = {
    "visa": CardBrand.VISA,
    "mastercard": CardBrand.MASTERCARD,
    "amex": CardBrand.AMEX,
    "americanexpress": CardBrand.AMEX,
    "discover": CardBrand.DISCOVER,
    "jcb": CardBrand.JCB,
    "diners": CardBrand.DINERS,
    "dinersclub": CardBrand.DINERS,
    "unionpay": CardBrand.UNIONPAY,
}
ACCOUNT_TYPES: Final = {"checking": BankAccountType.CHECKING, "savings": BankAccountType.SAVINGS}
_ADDRESS: Final = ("address1", "address2", "city", "state", "zipcode", "country")
_CUSTOMER: Final = "Entity.Customer"
_OWNER_KEYS: Final = ("entityId", "customerId", "parentId")
_NOT_LETTERS: Final = re.compile(r"[^a-z]")
is_ref: Final = re.compile(r"[1-9][0-9]{0,17}").fullmatch
"""LoanPro's ids are positive integers; anything else must not be used in a URL."""


def ref_of(value: object) -> str:
    """An id as JSON integer or numeric text; raises ValueError on anything else."""
    if type(value) is int and 0 < value < 10**18:
        return str(value)
    if isinstance(value, (int, str)) and not isinstance(value, bool) and is_ref(spelled := str(value).strip()):
        return spelled
    raise ValueError("not an id")


def canonical_ref(spelled: str, /) -> CustomerRef:
    """A decimal number without sign or leading zeros; other text unchanged, without surrounding blanks."""
    plain = spelled.strip()
    number = plain.removeprefix("+").lstrip("0")
    return CustomerRef(number if plain.isascii() and is_ref(number) else plain)


def owners_in(accounts: Any) -> list[str]:
    """The customers that profiles name as owners. An owner that is no id is a fault of the record: see `to_method`."""
    if accounts is None or is_deferred(accounts):
        return []
    named, _ = collect(results_of(accounts), _owners_of)
    return [owner for owners in named for owner in owners]


def customer_in(data: dict[str, Any]) -> list[str]:
    """The customer that the reply to a write names, by its own id and in its profiles."""
    own = [] if data.get("id") is None else [ref_of(data["id"])]
    return own + owners_in(data.get("PaymentAccounts"))


def _owners_of(account: Any) -> list[str]:
    """`entityId` is a customer's if `entityType` says so or is missing."""
    keys = _OWNER_KEYS if account.get("entityType", _CUSTOMER) == _CUSTOMER else _OWNER_KEYS[1:]
    return [ref_of(account[key]) for key in keys if account.get(key) is not None]


def is_deferred(value: object) -> bool:
    return isinstance(value, dict) and "__deferred" in value


def results_of(value: Any) -> list[Any]:
    """The rows of an OData collection: `{results: [...]}`, or rows in a bare list. Anything else raises ValueError.

    An empty bare list is no collection: nothing identifies it as one.
    """
    if isinstance(value, list) and value:
        return value
    if not isinstance(value, dict) or is_error(value):
        raise ValueError("not a collection")
    return records_of(value["results"])


def under_d(body: Any) -> Any:
    """The value under `d` of a successful reply; raises ValueError or KeyError for anything else, errors included."""
    if not isinstance(body, dict) or is_error(body) or body["d"] is None:
        raise ValueError("not a success")
    return body["d"]


def page_of(collection: Any, url: str = "") -> Page:
    """The rows, and what `summary.total` or `__next` report about more. `url` is the requested URL."""
    around = collection if isinstance(collection, dict) else {}
    summary = around.get("summary")
    return to_page(results_of(collection), {**(summary if isinstance(summary, dict) else {}), **around}, {}, url)


def is_cut_short(collection: Any) -> bool:
    """True if a collection reports more rows than it contains."""
    if isinstance(collection, dict) and len(collection) == 1:
        return False  # `results` alone says nothing
    page = page_of(collection)
    return page.has_more or (page.total is not None and page.total > len(page.records))


def must_expand(accounts: Any) -> bool:
    """True if the profiles, or the details of one that has any, are links instead of objects, or missing.

    The list of one customer's profiles is more reliable than a nested list: it has pages, and it is never null.
    """
    if accounts is None or is_deferred(accounts) or is_cut_short(accounts):
        return True
    lacking, _ = collect(results_of(accounts), _lacks_details)
    return any(lacking)


def _lacks_details(account: dict[str, Any]) -> bool:
    """A link is present even if nothing is behind it: the profile's type and child ids decide."""
    child, child_id = ("CreditCard", "creditCardId") if _kind(account) == "credit" else _BANK_CHILD
    return is_deferred(account.get(child)) and account.get(child_id, 0) is not None


_KINDS: Final = ("credit", "checking", "savings")
_BANK_CHILD: Final = ("CheckingAccount", "checkingAccountId")


def to_wallet(
    ref: CustomerRef,
    accounts: Any,
    request_id: str | None = None,
    *,
    truncated: bool = False,
    customer: Any = None,
) -> VaultWallet:
    """Parse a customer's expanded `PaymentAccounts`, inactive ones included. All methods of a deactivated `customer`
    are INACTIVE.
    """
    methods, skipped = collect_methods(results_of(accounts), lambda account: to_method(ref, account))
    if isinstance(customer, dict) and flag(customer.get("active")) is False:
        methods = tuple(
            replace(method, status=PaymentMethodStatus.INACTIVE, status_detail="CUSTOMER_INACTIVE")
            for method in methods
        )
    return VaultWallet(
        provider=NAME,
        customer_ref=ref,
        methods=methods,
        skipped=skipped,
        truncated=truncated or is_cut_short(accounts),
        provider_request_id=request_id,
    )


def to_method(ref: CustomerRef, account: WirePaymentAccount) -> PaymentMethod:
    """Parse one profile. Raises KeyError or ValueError if it has no id, no kind, or another customer's `entityId`.

    Debit cards are ``...credit`` and savings accounts ``...checking``. Source: 'Get Payment Profiles'.
    """
    owner = account.get("entityId")
    if owner is not None and ref_of(owner) != ref:
        raise ValueError("a profile of another customer")
    kind = _kind(cast("dict[str, Any]", account))
    if kind == "credit":
        return _to_card(ref, account, cast(WireCreditCard, _child(account.get("CreditCard"))))
    if kind in ("checking", "savings"):
        return _to_bank_account(ref, account, cast(WireCheckingAccount, _child(account.get("CheckingAccount"))))
    return OtherMethod(provider_kind=kind, **_common(ref, account, {}))


def _kind(account: dict[str, Any]) -> str:
    """The last word of `paymentAccount.type.credit`; without a type, the child present names it."""
    if spelled := text(account.get("type")):
        last = _last_word(spelled)
        kind = last if last in _KINDS else word(last)
        if kind is None:
            raise ValueError("a type that is no word")
        return kind
    has_card, has_account = bool(_child(account.get("CreditCard"))), bool(_child(account.get("CheckingAccount")))
    if has_card == has_account:
        raise ValueError("a profile without a type")
    return "credit" if has_card else "checking"


def _child(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) and not is_deferred(value) else {}


def _common(ref: CustomerRef, account: WirePaymentAccount, child: Any) -> dict[str, Any]:
    is_active = flag(account.get("active", 1))
    is_primary = flag(account.get("isPrimary"))
    status, detail = _status(account)
    return {
        "provider": NAME,
        "customer_ref": ref,
        "method_ref": MethodRef(ref_of(account["id"])),
        "status": status,
        "status_detail": detail,
        "title": text(account.get("title")),
        "holder_name": text(child.get("cardHolderName")),
        "is_provider_default": False if is_active is False else is_primary,
        "is_secondary": flag(account.get("isSecondary")),
        "created_at": instant_of(child.get("created")),
    }


_USE_FLAGS: Final = (("active", None), ("visible", "HIDDEN"), ("isPaymentAllowed", "PAYMENT_NOT_ALLOWED"))


def _status(account: WirePaymentAccount) -> tuple[PaymentMethodStatus, str | None]:
    """INACTIVE if LoanPro says in any way that the profile is not usable for payments; UNKNOWN if that cannot be read.
    Tenants without the newer flags omit them, or send null.
    """
    held, is_clear = cast("dict[str, Any]", account), True
    if held.get("active") == held.get("visible", 1) == held.get("isPaymentAllowed", 1) == 1:  # the usual case
        return PaymentMethodStatus.ACTIVE, None
    for name, detail in _USE_FLAGS:
        given = held.get(name, 1)
        found = True if given is None and detail else flag(given)
        if found is False:
            return PaymentMethodStatus.INACTIVE, detail
        is_clear = is_clear and bool(found)
    return (PaymentMethodStatus.ACTIVE if is_clear else PaymentMethodStatus.UNKNOWN), None


def _to_card(ref: CustomerRef, account: WirePaymentAccount, card: WireCreditCard) -> Card:
    expiry, has_unreadable_expiry = read_expiry(card.get("cardExpiration"))
    return Card(
        brand=_brand(card.get("cardType")),
        expiry=expiry,
        has_unreadable_expiry=has_unreadable_expiry,
        last4=last4_of(card.get("cardNumber")),
        billing_address=to_address(card),
        **_common(ref, account, card),
    )


def _to_bank_account(ref: CustomerRef, account: WirePaymentAccount, bank: WireCheckingAccount) -> BankAccount:
    """A Canadian account has an institution number and is debited by EFT, for which there is no BankRail."""
    is_canadian = text(bank.get("institutionNumber")) is not None
    spelled = text(bank.get("accountType"))
    return BankAccount(
        rail=BankRail.OTHER if is_canadian else BankRail.ACH,
        account_type=ACCOUNT_TYPES.get(_last_word(spelled), BankAccountType.UNKNOWN) if spelled else None,
        bank_name=text(bank.get("bankName")),
        last4=last4_of(bank.get("accountNumber")),
        billing_address=to_address(_child(bank.get("Address"))),
        **_common(ref, account, bank),
    )


def _last_word(spelled: str) -> str:
    return spelled.rsplit(".", 1)[-1].lower()


def _brand(card_type: object) -> CardBrand:
    spelled = text(card_type)
    if spelled is None:
        return CardBrand.UNKNOWN
    word = _last_word(spelled)
    return BRANDS.get(word) or BRANDS.get(_NOT_LETTERS.sub("", word), CardBrand.OTHER)


def to_address(wire: Any) -> Address | None:
    if not any(map(wire.get, _ADDRESS)):
        return None
    line1, line2, city = text(wire.get("address1")), text(wire.get("address2")), text(wire.get("city"))
    region, postal_code, country = (
        text(wire.get("state")),
        postal_code_of(wire.get("zipcode")),
        text(wire.get("country")),
    )
    code = alpha2(country.removeprefix("company.country.")) if country else None
    if not (line1 or line2 or city or region or postal_code or code):
        return None
    return Address(
        line1=line1,
        line2=line2,
        city=city,
        region=region.removeprefix("geo.state.") if region else None,
        postal_code=postal_code,
        country=code,
    )


# ---- comparing the state after a write ------------------------------------------------------------------------


def account_refs(accounts: Iterable[Any]) -> frozenset[MethodRef]:
    """The ids of all readable profiles."""
    refs, _ = collect(accounts, lambda account: MethodRef(ref_of(account["id"])))
    return frozenset(refs)


def find_account(accounts: Iterable[Any], method: MethodRef) -> WirePaymentAccount | None:
    return next((account for account in accounts if account_refs([account]) == {method}), None)


def flagged(accounts: Iterable[Any], name: str) -> list[MethodRef]:
    """The ids of the profiles whose flag (`isPrimary`, `isSecondary`) is set, active or not."""

    def read(account: Any) -> MethodRef | None:
        return MethodRef(ref_of(account["id"])) if flag(account.get(name)) else None

    refs, _ = collect(accounts, read)
    return list(dict.fromkeys(ref for ref in refs if ref is not None))


def is_active(account: WirePaymentAccount) -> bool:
    """An unreadable status counts as active: deactivating again is harmless."""
    return flag(account.get("active", 1)) is not False


def form_of(account: WirePaymentAccount) -> tuple[PaymentMethodKind, Secret | None]:
    """What a form needs to change the profile: its kind and its token, if LoanPro shows that."""
    held = cast("dict[str, Any]", account)
    is_card = _kind(held) == "credit"
    token = text(_child(held.get("CreditCard" if is_card else "CheckingAccount")).get("token"))
    return PaymentMethodKind.CARD if is_card else PaymentMethodKind.BANK_ACCOUNT, Secret(token) if token else None


def to_before(accounts: Sequence[Any], secret: Secret) -> BeforeAdd:
    """The state before an add. A profile with the same token counts as a duplicate only while it is active."""
    primaries = flagged(accounts, "isPrimary")
    return BeforeAdd(
        method_refs=account_refs(accounts),
        duplicate_of=next(iter(sorted(with_token(accounts, secret), key=int)), None),
        default_ref=primaries[0] if primaries else None,
    )


def with_token(accounts: Iterable[Any], secret: Secret) -> list[MethodRef]:
    """The active profiles with this token. Tokens are only compared here, in memory."""
    wanted = _token_forms(secret.reveal())

    def read(account: Any) -> MethodRef | None:
        children = (_child(account.get(name)) for name in ("CreditCard", "CheckingAccount"))
        held = (token for child in children if (token := text(child.get("token"))))
        is_same = any(not wanted.isdisjoint(_token_forms(token)) for token in held)
        return MethodRef(ref_of(account["id"])) if is_same and is_active(account) else None

    refs, _ = collect(accounts, read)
    return [ref for ref in refs if ref is not None]


def _token_forms(token: str) -> frozenset[str]:
    """The token and, if that is readable text, its base64-decoded form: LMS echoes either."""
    plain = token.strip()
    try:
        decoded = base64.b64decode(plain, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return frozenset((plain,))
    return frozenset((plain, decoded)) if decoded.isprintable() and decoded else frozenset((plain,))


def added_method(before: frozenset[MethodRef], accounts: Sequence[Any], secret: Secret) -> MethodRef | None:
    """The profile that an add created: the only new id, else a new one with the token, else the newest; None if none is
    new.

    If nothing is new but an active profile has the token, the vault treated the add as a repeat: that profile.
    """
    new = account_refs(accounts) - before
    if len(new) == 1:
        return next(iter(new))
    same = with_token(accounts, secret)
    if not new:
        return max(same, key=int, default=None)
    return max(new.intersection(same) or new, key=int)


def added_methods(
    before: frozenset[MethodRef], accounts: Sequence[Any], news: Sequence[NewMethod]
) -> list[MethodRef] | None:
    """The profiles that one PUT created for `news`, in its order; None if that is not certain.

    By token where the list shows it. Else by order: LoanPro applies a PUT's elements in order, the most recent id is
    the highest, and each must be of its method's kind.
    """
    new = sorted(account_refs(accounts) - before, key=int)
    if len(new) != len(news):
        return None
    by_token = [[ref for ref in with_token(accounts, one.secret) if ref in new] for one in news]
    found = [refs[0] for refs in by_token if len(refs) == 1]
    if len(set(found)) == len(news):
        return found
    kinds = []
    for ref in new:
        account = find_account(accounts, ref)
        kinds.append(None if account is None else form_of(account)[0])
    is_plain = not any(by_token) and kinds == [one.kind for one in news]
    return new if is_plain else None
