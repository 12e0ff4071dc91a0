"""Bodies of the stub's four vaults for any customer: ten methods in total, in the sandbox's form.

Test data only. The stub replaces `@ID@` with the customer's ref from the request.
"""

from typing import Any, Final

# Methods per customer, over all four vaults.
METHODS: Final = 10


def loanpro_customer(extra: int = 0) -> dict[str, Any]:
    """An expanded customer with three profiles, and `extra` more for the large case."""
    return {"id": "@ID@", "PaymentAccounts": {"results": [_card(1, 1), _card(2, 0), _bank(3), *_many(extra)]}}


def aloha_payments() -> list[dict[str, Any]]:
    return [_aloha(7, "411111******1111", 1), _aloha(6, "555555******4444", 2)]


def jpmorgan_profile() -> dict[str, Any]:
    card = {
        "paymentMethodId": "77ccba29-4857-494a-82bc-2a80e1fa2b9d",
        "cardExpirationMonthYearNumber": "01/2031",
        "last4CardNumber": "9999",
        "accountStatus": "ACTIVE",
        "cardType": "MC",
        "firstName": "Load",
        "lastName": "Customer",
    }
    account = {
        "paymentMethodId": "63aaba29-4857-494a-82bc-2a80e1fa2b1e",
        "last4AccountNumber": "1156",
        "accountStatus": "ACTIVE",
        "accountType": "CHECKING",
        "firstName": "Load",
        "lastName": "Customer",
    }
    return {
        "consumerProfileId": "@ID@",
        "firstName": "Load",
        "lastName": "Customer",
        "profileStatus": "ACTIVE",
        "paymentMethodType": {"cardList": [card], "achList": [account], "defaultMOP": {"card": card}},
    }


def jpmorgan_status() -> dict[str, Any]:
    details = {
        "responseStatus": "SUCCESS",
        "responseCode": "ACCEPTED",
        "transactionDate": "2026-08-14T10:43:52.100Z",
        "authenticationId": "3aeebeed-1c22-4c32-ae63-5c537c3cbaa2",
    }
    return {"consumerProfileId": "@ID@", "responseMessage": "Request Accepted", "cardAuthenticationDetails": details}


def caselle_methods() -> list[dict[str, Any]]:
    first, second = _saved_card("spm_01", "4242", "VISA", True), _saved_card("spm_02", "0005", "AMEX", False)
    ach = {
        "routing_number": "122000247",
        "account_suffix": "6543",
        "account_type": "checking",
        "holder_name": "Load Customer",
    }
    account = {
        "saved_payment_method_uid": "spm_03",
        "is_default": False,
        "payment_method": {"payment_method_type": "ach", "ach": ach},
    }
    return [first, second, account]


def caselle_customer() -> dict[str, Any]:
    """The reply to setting the default: the customer, whose default is now the second card."""
    return {
        "uid": "@ID@",
        "reference_id": "@ID@",
        "name": "Load Customer",
        "email": None,
        "created_at": "2026-08-14T10:43:52Z",
        "updated_at": "2026-08-14T10:43:52Z",
        "default_saved_payment_method_uid": "spm_02",
    }


def _card(number: int, is_primary: int) -> dict[str, Any]:
    child = {
        "id": number,
        "cardNumber": f"XXXXXXXXXXXX{(1000 + number) % 10_000:04d}",
        "cardType": "creditCard.type.visa",
        "cardExpiration": "01/2031",
        "cardHolderName": "Load Customer",
    }
    return {**_account(number, "credit", is_primary), "CreditCard": child, "CheckingAccount": None}


def _bank(number: int) -> dict[str, Any]:
    child = {
        "id": number,
        "accountType": "bankacct.type.checking",
        "accountNumber": f"XXXXXX{4000 + number}",
        "bankName": "Test Bank",
        "cardHolderName": "Load Customer",
    }
    return {**_account(number, "checking", 0), "CreditCard": None, "CheckingAccount": child}


def _account(number: int, kind: str, is_primary: int) -> dict[str, Any]:
    return {
        "id": number,
        "entityType": "Entity.Customer",
        "isPrimary": is_primary,
        "isSecondary": 0,
        "title": "Profile",
        "type": f"paymentAccount.type.{kind}",
        "active": 1,
        "visible": 1,
    }


def _many(extra: int) -> list[dict[str, Any]]:
    return [_card(number, 0) for number in range(4, 4 + extra)]


def _aloha(brand: int, masked: str, number: int) -> dict[str, Any]:
    return {
        "AccountId": f"93f5f620-ec93-47dd-ab24-c07bbf0b16b{number}",
        "MethodType": brand,
        "AccountNumber": f"201:stub-token-{number}",
        "ExpirationDate": "2031-01-01",
        "SecurityCode": None,
        "ZipCode": None,
        "MaskedAccountNumber": masked,
        "MaskedExpirationDate": None,
        "ProviderType": 2,
    }


def _saved_card(uid: str, last4: str, brand: str, is_default: bool) -> dict[str, Any]:
    credit = {
        "last4": last4,
        "exp_month": 1,
        "exp_year": 2031,
        "bin": "411111",
        "card_brand": brand,
        "holder_name": "Load Customer",
    }
    return {
        "saved_payment_method_uid": uid,
        "is_default": is_default,
        "payment_method": {"payment_method_type": "credit", "credit": credit},
    }
