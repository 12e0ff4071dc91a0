"""Request bodies sent to LoanPro, their validation, and the mapping of LoanPro's errors."""

from typing import Any

import orjson
import pytest

from app.errors import FieldFault, RejectReason, VaultRefusedUs, VaultRejected, VaultReplyUnreadable
from app.http.message import Effect, VaultReply
from app.providers.loanpro import errors, requests, validation
from app.vault.enums import AddRoute, BankAccountType, BankRail, MethodRef, ProviderName
from app.vault.model import Address, Authenticate, MethodChange, NewBankAccount, NewCard, NewCustomer, PersonName
from app.vault.secret import Secret


def new_card(**changes: Any) -> NewCard:
    return NewCard(
        **{"provider": ProviderName.LOANPRO, "route": AddRoute.PROVIDER_TOKEN, "secret": Secret("tok")} | changes
    )


def new_bank(**changes: Any) -> NewBankAccount:
    return NewBankAccount(
        **{"provider": ProviderName.LOANPRO, "route": AddRoute.PROVIDER_TOKEN, "secret": Secret("tok")} | changes
    )


def test_the_three_payloads_of_the_link_page() -> None:
    checking = {
        "active": 1,
        "isPrimary": 0,
        "isSecondary": 1,
        "title": "Checking Account",
        "type": "paymentAccount.type.checking",
        "CheckingAccount": {"accountType": "bankacct.type.checking", "token": "tok"},
    }
    credit = {
        "active": 1,
        "isPrimary": 0,
        "isSecondary": 1,
        "title": "Credit Card",
        "type": "paymentAccount.type.credit",
        "CreditCard": {"token": "tok"},
    }
    bank = requests.new_element(new_bank(account_type=BankAccountType.CHECKING, is_secondary=True), False)
    card = requests.new_element(new_card(is_secondary=True), False)
    assert requests.children(bank) == {"PaymentAccounts": {"results": [checking]}}
    assert requests.children(card) == {"PaymentAccounts": {"results": [credit]}}
    primary = requests.new_element(new_bank(), True)
    assert requests.children(primary, card) == {
        "PaymentAccounts": {"results": [checking | {"isPrimary": 1, "isSecondary": 0}, credit]}
    }


def test_a_savings_account_keeps_its_own_title() -> None:
    made = requests.new_element(new_bank(account_type=BankAccountType.SAVINGS, title="Rent"), False)
    assert (made["title"], made["CheckingAccount"]["accountType"]) == ("Rent", "bankacct.type.savings")


def test_updates_carry_both_keys_and_only_what_changes() -> None:
    ref = MethodRef("363")
    keys = {"id": 363, "__id": 363, "__update": True}
    assert requests.changed_element(ref, MethodChange(title="Main")) == keys | {"title": "Main"}
    assert requests.changed_element(ref, MethodChange(is_secondary=True)) == keys | {"isSecondary": 1}
    assert requests.changed_element(ref, MethodChange(active=True, is_secondary=False)) == keys | {
        "active": 1,
        "isSecondary": 0,
    }
    assert requests.changed_element(ref, MethodChange(active=False)) == keys | {
        "active": 0,
        "isPrimary": 0,
        "isSecondary": 0,
    }


def test_a_customer_is_sent_with_both_addresses() -> None:
    address = Address(line1="201 E Randolph St", city="Chicago", region="il", postal_code="60602", country="us")
    new = NewCustomer(
        external_id="user-1",
        name=PersonName("John", "Doe"),
        email="john.doe@example.com",
        phone="+1 (555) 123-4567",
        address=address,
    )
    wire = {
        "address1": "201 E Randolph St",
        "city": "Chicago",
        "state": "geo.state.IL",
        "zipcode": "60602",
        "country": "company.country.usa",
    }
    assert validation.faults_of_customer(new) == []
    assert requests.from_customer(new) == {
        "customId": "user-1",
        "customerType": "customer.type.individual",
        "status": "Active",
        "firstName": "John",
        "lastName": "Doe",
        "email": "john.doe@example.com",
        "PrimaryAddress": wire,
        "MailAddress": wire,
        "Phones": {
            "results": [{"phone": "5551234567", "type": "customer.phoneType.cell", "isPrimary": 1, "isSecondary": 0}]
        },
    }


def codes(faults: list[FieldFault]) -> dict[str, str]:
    return {".".join(fault.path): fault.code for fault in faults}


def test_what_a_customer_lacks_is_named_by_field() -> None:
    bare = NewCustomer(external_id="x", name=PersonName("A", "B"))
    assert codes(validation.faults_of_customer(bare)) == {
        "email": "REQUIRED",
        "address.line1": "REQUIRED",
        "address.city": "REQUIRED",
        "address.region": "REQUIRED",
        "address.country": "REQUIRED",
    }
    wrong = NewCustomer(
        external_id="x",
        name=PersonName("A", " "),
        email="a@b",
        phone="12",
        address=Address(line1="1 Way", city="Provo", region="Utah", postal_code="84601", country="US"),
    )
    assert codes(validation.faults_of_customer(wrong)) == {
        "name.last": "REQUIRED",
        "email": "INVALID_INPUT",
        "phone": "INVALID_INPUT",
        "address.region": "INVALID_INPUT",
    }
    nowhere = NewCustomer(
        external_id="x",
        name=PersonName("A", "B"),
        email="a@b.example",
        address=Address(line1="1 Way", city="Provo", region="UT", country="XX"),
    )
    assert codes(validation.faults_of_customer(nowhere)) == {"address.country": "INVALID_INPUT"}


def test_the_rules_of_a_new_method() -> None:
    assert validation.faults_of_new(new_card()) == []
    assert validation.faults_of_new(new_bank(account_type=BankAccountType.SAVINGS)) == []
    assert codes(validation.faults_of_new(new_card(secret=Secret("")))) == {"secret": "REQUIRED"}
    assert codes(validation.faults_of_new(new_card(secret=Secret("a b")))) == {"secret": "INVALID_INPUT"}
    assert codes(validation.faults_of_new(new_card(title="x" * 101))) == {"title": "INVALID_INPUT"}
    assert codes(
        validation.faults_of_new(new_card(billing_address=Address(), authenticate=Authenticate(return_url="u")))
    ) == {
        "billing_address": "UNSUPPORTED_BY_PROVIDER",
        "authenticate": "UNSUPPORTED_BY_PROVIDER",
    }
    assert codes(
        validation.faults_of_new(new_bank(rail=BankRail.SEPA, account_type=BankAccountType.CORPORATE_CHECKING))
    ) == {"rail": "UNSUPPORTED_BY_PROVIDER", "account_type": "UNSUPPORTED_BY_PROVIDER"}


def test_text_in_a_filter_is_quoted() -> None:
    assert requests.quoted("o'neil' or id gt 0") == "'o''neil'' or id gt 0'"


# ---- refusals ---------------------------------------------------------------------------------------------


def reply(status: int, body: Any) -> VaultReply:
    return VaultReply(status, {}, body if isinstance(body, bytes) else orjson.dumps(body))


def conflict(message: Any, kind: str = "EntityException") -> VaultReply:
    return reply(409, {"error": {"message": message, "type": kind, "code": 409}})


@pytest.mark.parametrize(
    ("answer", "reason", "code"),
    [
        (
            conflict({"lang": "en-US", "value": "Mail Address is required"}),
            RejectReason.INVALID_INPUT,
            "EntityException",
        ),
        (conflict("Customer not found"), RejectReason.CUSTOMER_NOT_FOUND, "EntityException"),
        (conflict("PaymentAccount 9 does not exist"), RejectReason.METHOD_NOT_FOUND, "EntityException"),
        (conflict("Invalid token"), RejectReason.TOKEN_INVALID, "EntityException"),
        (conflict("Only one primary payment profile is allowed"), RejectReason.CONFLICT, "EntityException"),
        (
            reply(
                409,
                {
                    "error": {"message": "Transaction warnings found.", "type": "TransactionWarningException"},
                    "warnings": ["(Phones) Phone '4555555555' already found in the system (Customer ID 396: X)."],
                },
            ),
            RejectReason.DUPLICATE_CUSTOMER,
            "TransactionWarningException",
        ),
        (reply(409, {"d": {"error": {"message": "Customer not found"}}}), RejectReason.CUSTOMER_NOT_FOUND, "HTTP_409"),
        (reply(404, b"<html>"), RejectReason.CONTRACT, "HTTP_404"),
        (reply(409, b"\xff"), RejectReason.INVALID_INPUT, "HTTP_409"),
        (reply(409, []), RejectReason.INVALID_INPUT, "HTTP_409"),
    ],
)
def test_refused_writes(answer: VaultReply, reason: RejectReason, code: str) -> None:
    error = errors.refusal(answer, Effect.WRITE)
    assert isinstance(error, VaultRejected)
    assert (error.reason, error.provider_code) == (reason, code)
    assert "4555555555" not in str(error)


def test_a_refusal_names_our_field() -> None:
    error = errors.refusal(conflict("Mail Address is required"), Effect.WRITE)
    assert isinstance(error, VaultRejected)
    assert [fault.path for fault in error.faults] == [("address",)]


def test_reads_by_id_and_reads_in_general() -> None:
    by_id = errors.refusal(conflict("whatever"), Effect.READ, missing=RejectReason.CUSTOMER_NOT_FOUND)
    assert isinstance(by_id, VaultRejected)
    assert by_id.reason is RejectReason.CUSTOMER_NOT_FOUND
    assert isinstance(errors.refusal(conflict("bad filter"), Effect.READ), VaultReplyUnreadable)
    assert isinstance(errors.refusal(reply(404, b""), Effect.READ), VaultReplyUnreadable)


def test_refused_credentials() -> None:
    body = {"code": "401-CN0001", "message": "Unauthorized", "context": {"ip": "", "errors": ["Reason 1"]}}
    error = errors.refusal(reply(401, body), Effect.READ)
    assert isinstance(error, VaultRefusedUs)
    assert error.provider_code == "401-CN0001"
