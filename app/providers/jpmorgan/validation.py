"""J.P. Morgan's rules for each field, checked before anything is sent. Pure; paths are the model's field names.

Source: OpenAPI 2.4.2, field patterns and lengths; the ABA and IBAN check digits are the standards' own.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date
from ipaddress import ip_address
from typing import Final

from app.errors import FieldFault
from app.providers.base import fault, required, unsupported
from app.providers.countries import alpha3
from app.providers.jpmorgan.mapping import BRAND
from app.providers.jpmorgan.requests import WALLET_FIELD, city_of
from app.vault.enums import AddressType, AddRoute, BankAccountType, BankRail, CardBrand, PaymentMethodKind
from app.vault.model import (
    Address,
    AddressLabels,
    Authenticate,
    BrowserInfo,
    NewBankAccount,
    NewCard,
    NewCustomer,
    NewMethod,
    PersonName,
)
from app.vault.rules.iban import compact, is_iban

ROUTE_KINDS: Final[Mapping[AddRoute, frozenset[PaymentMethodKind]]] = {
    AddRoute.NETWORK_TOKEN: frozenset({PaymentMethodKind.CARD}),
    AddRoute.RAW_CARD: frozenset({PaymentMethodKind.CARD}),
    AddRoute.BANK_ACCOUNT: frozenset({PaymentMethodKind.BANK_ACCOUNT}),
    AddRoute.WALLET_PAYLOAD: frozenset({PaymentMethodKind.CARD}),
}
NAME_LENGTH: Final = 70
BUSINESS_LENGTH: Final = 140  # `fullName`
_CARD_NUMBER: Final = re.compile(r"[0-9]{13,19}")
_ACH_NUMBER: Final = re.compile(r"[0-9]{4,17}")
_BACS_NUMBER: Final = re.compile(r"[0-9]{8}")
_ROUTING: Final = re.compile(r"[0-9]{9}")
_SORT_CODE: Final = re.compile(r"[0-9]{6}")
_BIC: Final = re.compile(r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_LINE: Final = re.compile(r"[^<>{}]{1,100}")
_ADDRESS_NAME: Final = re.compile(r"[^<>]{1,75}")
_CITY: Final = re.compile(r"[\w\s\-'.,&()]{1,40}")
_REGION: Final = re.compile(r"(?=.{1,3}\Z)[A-Za-z0-9]+(?:[\s-]+[A-Za-z0-9]+)*")
_POSTAL_CODE: Final = re.compile(r"(?=.{3,12}\Z)[A-Za-z0-9]+[-\s]*[A-Za-z0-9]+")
_REFERENCE: Final = re.compile(r"[A-Za-z0-9]{1,32}")
_EXTERNAL_ID: Final = re.compile(r"(?! )(?!.*&&)[A-Za-z0-9,$@& -]{1,36}")
_HEADER: Final = re.compile(r"[\x20-\x7e]{1,2048}")
_LANGUAGE: Final = re.compile(r"(?=.{2,8}\Z)[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,5})?")
_TIME_ZONE: Final = re.compile(
    r"[+-]?(?:[0-7]?[0-9]{1,2}|8[0-3][0-9]|840)|[A-Za-z_]{2,20}(?:/[A-Za-z0-9_+-]{1,30}){0,2}"
)
_WINDOW: Final = re.compile(r"[A-Z0-9_]{2,30}")
_MOST_PIXELS: Final = 999_999
_COLOR_DEPTHS: Final = frozenset({1, 4, 8, 15, 16, 24, 32, 48})
_RETURN_URL: Final = re.compile(r"https?://[^\s/?#]+\S*")


# ---- a new method -----------------------------------------------------------------------------------------


def faults_of_method(new: NewMethod) -> list[FieldFault]:
    faults = list(_faults_of_card(new) if isinstance(new, NewCard) else _faults_of_bank_account(new))
    if not new.secret:
        # An empty number fails the shape rules too: report only that it is missing.
        faults = [each for each in faults if each.path != ("secret",)]
        faults.append(required("secret", message="J.P. Morgan needs the number or the token."))
    if new.title is not None:
        faults.append(unsupported("title", message="J.P. Morgan stores no title for a payment method."))
    if new.is_secondary:
        faults.append(unsupported("is_secondary", message="J.P. Morgan has no secondary payment method."))
    faults.extend(_faults_of_names(new))
    if new.billing_address is not None:
        faults.extend(faults_of_address(new.billing_address, "billing_address"))
        faults.extend(faults_of_labels(new.address_labels))
    return faults


def _faults_of_wallet(new: NewCard) -> Iterator[FieldFault]:
    """Everything but the status is in the bundle, so nothing else can be sent with it."""
    if new.wallet not in WALLET_FIELD:
        yield fault("wallet", message="J.P. Morgan takes payloads of Apple Pay, Google Pay and Paze.")
    if new.billing_address is not None:
        yield unsupported("billing_address", message="An address cannot be sent with a wallet's payload; update it.")


def _faults_of_card(new: NewCard) -> Iterator[FieldFault]:
    if new.route is AddRoute.WALLET_PAYLOAD:
        yield from _faults_of_wallet(new)
        return
    if _CARD_NUMBER.fullmatch(new.secret.reveal()) is None:
        yield fault("secret", message="A card or token number has 13 to 19 digits.")
    if new.expiry is None:
        yield required("expiry", message="J.P. Morgan needs the month of expiry.")
    if new.brand is not None and new.brand is not CardBrand.UNKNOWN and new.brand not in BRAND.values():
        yield fault("brand", message="J.P. Morgan has no code for this brand.")
    if new.authenticate is not None:
        yield from _faults_of_authentication(new.authenticate)


def _faults_of_authentication(authenticate: Authenticate) -> Iterator[FieldFault]:
    if _RETURN_URL.fullmatch(authenticate.return_url) is None:
        yield fault("authenticate", "return_url", message="The shopper must return to an http or https URL.")
    if authenticate.browser_info is not None:
        yield from _faults_of_browser(authenticate.browser_info)


def _faults_of_browser(browser: BrowserInfo) -> Iterator[FieldFault]:
    """Field by field: sizes by EMV 3-D Secure 2.2, table A.1; the rest by J.P. Morgan's schema."""
    at = ("authenticate", "browser_info")
    for name, text, shape, message in (
        ("accept_header", browser.accept_header, _HEADER, "A header has up to 2048 printable ASCII characters."),
        ("user_agent", browser.user_agent, _HEADER, "A header has up to 2048 printable ASCII characters."),
        ("language", browser.language, _LANGUAGE, "A language is a BCP 47 tag of up to 8 characters, e.g. en-US."),
        ("time_zone", browser.time_zone, _TIME_ZONE, "A time zone is its offset in minutes, e.g. -300, or its name."),
        ("challenge_window_size", browser.challenge_window_size, _WINDOW, "A size is a word such as FULL_SCREEN."),
    ):
        if text is not None and shape.fullmatch(text) is None:
            yield fault(*at, name, message=message)
    for name, pixels in (("screen_height", browser.screen_height), ("screen_width", browser.screen_width)):
        if pixels is not None and not 1 <= pixels <= _MOST_PIXELS:
            yield fault(*at, name, message="A screen has 1 to 999999 pixels.")
    if browser.color_depth is not None and browser.color_depth not in _COLOR_DEPTHS:
        yield fault(*at, "color_depth", message="A depth is 1, 4, 8, 15, 16, 24, 32 or 48 bits; send 24 for 30.")
    if browser.ip_address is not None and not _is_ip_address(browser.ip_address):
        yield fault(*at, "ip_address", message="This is not an IPv4 or IPv6 address.")


def _is_ip_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


def _faults_of_bank_account(new: NewBankAccount) -> Iterator[FieldFault]:
    if new.rail is BankRail.ACH:
        yield from _faults_of_ach(new)
    elif new.rail is BankRail.SEPA:
        yield from _faults_of_sepa(new)
        yield from _faults_of_mandate(new)
    elif new.rail is BankRail.BACS:
        yield from _faults_of_bacs(new)
        yield from _faults_of_mandate(new)
    else:
        yield unsupported("rail", message="J.P. Morgan stores ACH, SEPA and BACS accounts.")


def _faults_of_ach(new: NewBankAccount) -> Iterator[FieldFault]:
    if _ACH_NUMBER.fullmatch(new.secret.reveal()) is None:
        yield fault("secret", message="An ACH account number has 4 to 17 digits.")
    if new.routing_number is None:
        yield required("routing_number", message="An ACH account needs its routing number.")
    elif not is_routing_number(new.routing_number):
        yield fault("routing_number", message="This is not a routing number: nine digits with a check digit.")
    if new.account_type is None:
        yield required("account_type", message="An ACH account needs its type.")
    elif new.account_type is BankAccountType.UNKNOWN:
        yield fault("account_type", message="The type must be one that J.P. Morgan supports.")


def _faults_of_sepa(new: NewBankAccount) -> Iterator[FieldFault]:
    if not is_iban(new.secret.reveal()):
        yield fault("secret", message="This is not an IBAN: its length or check digits are wrong.")
    if new.bic is None:
        yield required("bic", message="A SEPA account needs its BIC.")
    elif _BIC.fullmatch(new.bic.strip().upper()) is None:
        yield fault("bic", message="A BIC has 8 or 11 characters.")


def _faults_of_bacs(new: NewBankAccount) -> Iterator[FieldFault]:
    if _BACS_NUMBER.fullmatch(new.secret.reveal()) is None:
        yield fault("secret", message="A BACS account number has 8 digits.")
    if new.sort_code is None:
        yield required("sort_code", message="A BACS account needs its sort code.")
    elif _SORT_CODE.fullmatch(compact(new.sort_code)) is None:
        yield fault("sort_code", message="A sort code has 6 digits.")


def _faults_of_mandate(new: NewBankAccount) -> Iterator[FieldFault]:
    if not (new.mandate_id or "").strip():
        yield required("mandate_id", message="A direct debit account needs its mandate.")
    if new.mandate_signed_on is None:
        yield required("mandate_signed_on", message="A mandate needs the day on which it was signed.")
    elif not _is_day(new.mandate_signed_on):
        yield fault("mandate_signed_on", message="The day must be written YYYY-MM-DD.")


def _faults_of_names(new: NewMethod) -> Iterator[FieldFault]:
    """A holder name is split at its last space, so both parts satisfy the rule if the whole does."""
    for path, value in (("first_name", new.first_name), ("last_name", new.last_name), ("holder_name", new.holder_name)):
        yield from _faults_of_name(value, path)


# ---- names, addresses, customers --------------------------------------------------------------------------


def faults_of_person(name: PersonName, *path: str) -> Iterator[FieldFault]:
    yield from _faults_of_name(name.first, *path, "first")
    yield from _faults_of_name(name.last, *path, "last")


def _faults_of_name(value: str | None, *path: str, longest: int = NAME_LENGTH) -> Iterator[FieldFault]:
    if value is None:
        return
    if len(value) > longest:
        yield fault(*path, message=f"J.P. Morgan accepts names of up to {longest} characters.")
    elif not all(_is_name_character(char) for char in value):
        yield fault(*path, message="J.P. Morgan accepts letters, digits, punctuation and spaces in names.")


def _is_name_character(char: str) -> bool:
    return char in " '0123456789" or unicodedata.category(char)[0] in "LP"


def faults_of_address(address: Address, *path: str) -> Iterator[FieldFault]:
    """All faults of an address; `line1`, `city` and `country` are required, the rest only checked."""
    for name, value, shape, message in (
        ("line1", address.line1, _LINE, "A line has up to 100 characters and none of < > { }."),
        ("line2", address.line2, _LINE, "A line has up to 100 characters and none of < > { }."),
        ("city", city_of(address), _CITY, "A city has up to 40 letters, digits and common signs."),
        ("region", address.region, _REGION, "A region is its ISO 3166-2 code of up to 3 characters."),
        ("postal_code", address.postal_code, _POSTAL_CODE, "A postal code has 3 to 12 letters and digits."),
    ):
        if value and shape.fullmatch(value) is None:
            yield fault(*path, name, message=message)
    for name, value in (("line1", address.line1), ("city", address.city), ("country", address.country)):
        if not (value or "").strip():
            yield required(*path, name, message="J.P. Morgan needs it in an address.")
    if address.country and alpha3(address.country) is None:
        yield fault(*path, "country", message="This is not an ISO 3166-1 country.")


def faults_of_labels(labels: AddressLabels | None) -> Iterator[FieldFault]:
    """Faults of what is said about an address, below ``address_labels``."""
    if labels is None:
        return
    at = "address_labels"
    if labels.type is AddressType.OTHER:
        yield fault(at, "type", message="J.P. Morgan keeps addresses for billing and for shipping.")
    if labels.name is not None and _ADDRESS_NAME.fullmatch(labels.name) is None:
        yield fault(at, "name", message="A name has up to 75 characters and none of < >.")
    if labels.recipient is not None:
        yield from faults_of_person(labels.recipient, at, "recipient")


def faults_of_new_profile(new: NewCustomer) -> list[FieldFault]:
    """Faults of the customer part of `create_with_method`."""
    faults: list[FieldFault] = []
    if _EXTERNAL_ID.fullmatch(new.external_id) is None:
        faults.append(
            fault("external_id", message="J.P. Morgan accepts up to 36 letters, digits, spaces and - , $ @ & (no &&).")
        )
    faults.extend(faults_of_person(new.name, "name"))
    faults.extend(_faults_of_name(new.business_name, "business_name", longest=BUSINESS_LENGTH))
    if new.address is not None:
        faults.extend(faults_of_address(new.address, "address"))
    if new.card_on_file_reference is not None and _REFERENCE.fullmatch(new.card_on_file_reference) is None:
        faults.append(fault("card_on_file_reference", message="A reference has up to 32 letters and digits."))
    return faults


# ---- check digits -----------------------------------------------------------------------------------------


def is_routing_number(value: str) -> bool:
    """Nine digits whose weighted sum (3, 7, 1) is a multiple of ten: the ABA rule."""
    if _ROUTING.fullmatch(value) is None:
        return False
    return sum(int(digit) * weight for digit, weight in zip(value, (3, 7, 1) * 3, strict=True)) % 10 == 0


def _is_day(value: str) -> bool:
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False
