"""Builds the request bodies of J.P. Morgan's API. Pure. Input has passed `validation`; checks are not repeated here.

Bodies contain card and account numbers and must only be passed to `app.http`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.providers.countries import alpha3
from app.providers.jpmorgan.mapping import BRAND
from app.vault.enums import AddressType, AddRoute, BankAccountType, BankRail, CardBrand, CardTokenType, WalletKind
from app.vault.model import (
    Address,
    AddressLabels,
    Authenticate,
    BankAccount,
    MethodChange,
    NewBankAccount,
    NewCard,
    NewCustomer,
    NewMethod,
    PaymentMethod,
    PersonName,
    WalletBundle,
)
from app.vault.rules.iban import compact

Body = dict[str, Any]

_CODE_OF_BRAND: Final[Mapping[CardBrand, str]] = {brand: code for code, brand in BRAND.items()}
_ACCOUNT_TYPE: Final[Mapping[BankAccountType, str]] = {
    BankAccountType.CHECKING: "CHECKING",
    BankAccountType.SAVINGS: "SAVING",
    BankAccountType.CORPORATE_CHECKING: "CORPORATE_CHECKING",
}
WALLET_FIELD: Final[Mapping[WalletKind, str]] = {
    WalletKind.APPLE_PAY: "applepay",
    WalletKind.GOOGLE_PAY: "googlepay",
    WalletKind.PAZE: "paze",
}
_KIND_OF_RAIL: Final[Mapping[BankRail, str]] = {BankRail.ACH: "ach", BankRail.SEPA: "sepa", BankRail.BACS: "bacs"}


def list_of(new: NewMethod) -> str:
    """The list that a new method belongs to, e.g. ``cardList``."""
    return "cardList" if isinstance(new, NewCard) else f"{_KIND_OF_RAIL[new.rail]}List"


def from_new(new: NewMethod) -> Body:
    """The payment methods of a body: one list with one method, or a wallet's bundle, which becomes a card."""
    if isinstance(new, NewCard) and new.wallet is not None:
        return {WALLET_FIELD[new.wallet]: _from_wallet(new), "accountStatus": _status(new)}
    record = _from_card(new) if isinstance(new, NewCard) else _from_bank_account(new)
    return {list_of(new): [record]}


def from_addition(new: NewMethod) -> Body:
    """The body of ``POST .../payment-methods``."""
    return {**from_new(new), **_browser(new)}


def from_additions(news: Sequence[NewMethod]) -> Body:
    """The body of ``POST .../payment-methods`` for several methods: its lists take any number of entries."""
    body: Body = {}
    for new in news:
        body.setdefault(list_of(new), []).extend(from_new(new)[list_of(new)])
    return body


def from_customer(customer: NewCustomer, new: NewMethod) -> Body:
    """The body of ``POST /consumer-profiles``: a profile cannot be created without a payment method.

    A phone is sent only if it is North American: the vault requires the dialling prefix apart from the number, and only
    ``+1`` can be split off without a table of the world's prefixes.
    """
    body: Body = {
        "externalConsumerProfileIdentifier": customer.external_id,
        **_present(cardOnFileReferenceNumber=customer.card_on_file_reference),
        **_present(firstName=customer.name.first, lastName=customer.name.last, fullName=customer.business_name),
        "profileStatus": "ACTIVE",
        "profilePaymentMethod": from_new(new),
        **_browser(new),
    }
    if customer.address is not None:
        # Schema `address` requires line2 here; inline addresses do not.
        body["consumerProfileAddresses"] = [{"line2": "", **from_address(customer.address, customer.address_labels)}]
    if communication := _communication(customer):
        body["communication"] = communication
    return body


def from_change(method: PaymentMethod, change: MethodChange) -> Body:
    """The body of ``PATCH .../payment-methods/{id}``: one kind, only the changes.

    An address is sent inline; the vault stores it as a new one and the method's address id changes.
    """
    record: Body = {}
    if change.expiry is not None:
        record["cardExpirationMonthYearNumber"] = _month_year(change.expiry.month, change.expiry.year)
    if change.active is not None:
        record["accountStatus"] = "ACTIVE" if change.active else "INACTIVE"
    if change.holder is not None:
        # An empty part is sent too, or the vault would keep the former holder's.
        record |= {"firstName": change.holder.first, "lastName": change.holder.last}
    if change.billing_address is not None:
        record["consumerProfileAddress"] = from_address(change.billing_address, change.address_labels)
    return {_KIND_OF_RAIL[method.rail] if isinstance(method, BankAccount) else "card": record}


def city_of(address: Address) -> str:
    """With a plain apostrophe: the vault's pattern rejects the curly ones that phones type."""
    return (address.city or "").replace("\u2019", "'")


def from_address(address: Address, labels: AddressLabels | None = None) -> Body:
    """A billing address, unless `labels` say otherwise; absent parts are left out, the country is alpha-3."""
    labels = labels or AddressLabels()
    recipient = labels.recipient or PersonName()
    return {
        **_present(firstName=recipient.first, lastName=recipient.last, consumerAssignedAddressName=labels.name),
        **({} if labels.is_primary is None else {"primaryAddressIndicator": labels.is_primary}),
        "addressType": (labels.type or AddressType.BILLING).value,
        **_present(
            line1=address.line1,
            line2=address.line2,
            city=city_of(address),
            state=address.region,
            postalCode=address.postal_code,
            countryCode=alpha3(address.country),
        ),
        "addressStatus": "ACTIVE",
    }


def _from_card(new: NewCard) -> Body:
    record = {
        "accountNumber": new.secret.reveal(),
        **_number_type(new),
        **_present(cardType=_CODE_OF_BRAND.get(new.brand) if new.brand else None),
        **_common(new),
    }
    if new.expiry is not None:
        record["cardExpirationMonthYearNumber"] = _month_year(new.expiry.month, new.expiry.year)
    if new.authenticate is not None:
        record["authenticationRequest"] = _authentication(new.authenticate)
    return record


def _from_wallet(new: NewCard) -> Body:
    """Schemas `applepay`, `googlepay` and `paze`: the encrypted bundle, passed on as it is."""
    bundle = new.bundle or WalletBundle()
    header = _present(
        ephemeralPublicKey=bundle.ephemeral_public_key,
        publicKeyHash=bundle.public_key_hash,
        walletTransactionId=bundle.transaction_id,
        walletApplicationData=bundle.application_data,
    )
    return {
        "encryptedPaymentBundle": {
            **({"encryptedPaymentHeader": header} if header else {}),
            **_present(protocolVersion=bundle.protocol_version, signature=bundle.signature),
            "encryptedPayload": new.secret.reveal(),
        }
    }


def _status(new: NewMethod) -> str:
    return "INACTIVE" if new.active is False else "ACTIVE"


def _browser(new: NewMethod) -> Body:
    """Schema `browserInfo`, beside the lists: all but the two flags are text."""
    authenticate = new.authenticate if isinstance(new, NewCard) else None
    browser = authenticate.browser_info if authenticate is not None else None
    if browser is None:
        return {}
    numbers = {
        "browserScreenHeight": browser.screen_height,
        "browserScreenWidth": browser.screen_width,
        "browserColorDepth": browser.color_depth,
    }
    flags = {"javaEnabled": browser.java_enabled, "javaScriptEnabled": browser.java_script_enabled}
    return {
        "browserInfo": {
            **_present(
                browserAcceptHeader=browser.accept_header,
                browserLanguage=browser.language,
                deviceLocalTimeZone=browser.time_zone,
                browserUserAgent=browser.user_agent,
                challengeWindowSize=browser.challenge_window_size,
                deviceIPAddress=browser.ip_address,
            ),
            **{name: str(value) for name, value in numbers.items() if value is not None},
            **{name: value for name, value in flags.items() if value is not None},
        }
    }


def _number_type(new: NewCard) -> Body:
    if new.route is AddRoute.RAW_CARD:
        return {"accountNumberType": "PAN"}
    is_device = new.token_type is CardTokenType.DEVICE_TOKEN
    return {"accountNumberType": "DEVICE_TOKEN" if is_device else "NETWORK_TOKEN"}


def _authentication(authenticate: Authenticate) -> Body:
    return {
        "authenticationReturnUrl": authenticate.return_url,
        "threeDSRequestorAuthenticationInfo": {
            "authenticationPurpose": "ADD_CARD",
            "threeDSChallengeType": authenticate.challenge.value,
        },
    }


def _from_bank_account(new: NewBankAccount) -> Body:
    number = new.secret.reveal()
    own: Body
    if new.rail is BankRail.SEPA:
        own = {
            "internationalBankAccountNumber": compact(number).upper(),
            "internationalBusinessIdentifierCode": (new.bic or "").strip().upper(),
            "mandateList": [_mandate(new)],
        }
    elif new.rail is BankRail.BACS:
        own = {
            "accountNumber": number,
            "bankSortCode": compact(new.sort_code or ""),
            "mandateList": [_mandate(new)],
        }
    else:
        own = {
            "accountNumber": number,
            "financialInstitutionRoutingNumber": new.routing_number,
            "paymentType": "WEB",  # the account was entered on a page, not by phone
            **_present(accountType=_ACCOUNT_TYPE.get(new.account_type) if new.account_type else None),
        }
    return own | _common(new)


def _mandate(new: NewBankAccount) -> Body:
    """Stored accounts are for repeated debits, which the mandate must allow."""
    return {
        "mandateId": (new.mandate_id or "").strip(),
        "mandateType": "RECURRING",
        "mandateSignatureDate": new.mandate_signed_on,
    }


def _common(new: NewMethod) -> Body:
    first, last = names_of(new)
    record: Body = {"accountStatus": _status(new), **_present(firstName=first, lastName=last)}
    if new.billing_address is not None:
        record["consumerProfileAddress"] = from_address(new.billing_address, new.address_labels)
    return record


def names_of(new: NewMethod) -> tuple[str | None, str | None]:
    """(first, last): as given, else the holder's name split at its last space."""
    if new.first_name or new.last_name or not new.holder_name:
        return new.first_name, new.last_name
    first, _, last = new.holder_name.strip().rpartition(" ")
    return first.strip() or None, last


def _communication(customer: NewCustomer) -> Body:
    found: Body = {}
    if customer.email:
        found["emailList"] = [{"emailAddress": customer.email}]
    phone = compact(customer.phone or "")
    if phone.startswith("+1") and len(phone) == 12 and phone[1:].isdigit():
        found["phoneList"] = [{"phoneNumber": phone[2:], "countryCode": "1"}]
    return found


def _month_year(month: int, year: int) -> str:
    return f"{month:02d}/{year:04d}"


def _present(**fields: str | None) -> Body:
    return {name: value for name, value in fields.items() if value}
