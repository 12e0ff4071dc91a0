"""LoanPro in the contract suite."""

from typing import Any

from app.errors import RejectReason
from app.sandbox.loanpro.demo import UNLINKED
from app.testing.case import VaultCase
from app.vault.enums import AddRoute, BankAccountType, CustomerRef, MethodRef, ProviderName
from app.vault.model import Address, MethodChange, NewBankAccount, NewCard, NewCustomer, PersonName
from app.vault.secret import Secret
from tests.support.sandbox import RunningSandbox


def new_card(sandbox: RunningSandbox, **changes: Any) -> NewCard:
    minted = sandbox.token(
        "loanpro", "card", number="4012888888881881", exp_month=7, exp_year=2031, holder_name="Ada Example"
    )
    given = {"provider": ProviderName.LOANPRO, "route": AddRoute.PROVIDER_TOKEN, "secret": Secret(minted["token"])}
    return NewCard(**given | changes)


def new_bank(sandbox: RunningSandbox, **changes: Any) -> NewBankAccount:
    minted = sandbox.token("loanpro", "bank", number="000123450077", holder_name="Ada Example", account_type="savings")
    given = {
        "provider": ProviderName.LOANPRO,
        "route": AddRoute.PROVIDER_TOKEN,
        "secret": Secret(minted["token"]),
        "account_type": BankAccountType.SAVINGS,
    }
    return NewBankAccount(**given | changes)


def new_customer(number: int) -> NewCustomer:
    """Shares no data with another customer: LoanPro warns of equal e-mails, phones and addresses."""
    return NewCustomer(
        external_id=f"contract-{number}",
        name=PersonName("Ada", "Example"),
        email=f"contract-{number}@example.com",
        phone=f"+1 385 555 {number:04d}",
        address=Address(line1=f"{number} Contract Way", city="Provo", region="UT", postal_code="84601", country="US"),
    )


LOANPRO = VaultCase(
    name=ProviderName.LOANPRO,
    full_ref=CustomerRef("37"),
    empty_ref=CustomerRef(str(UNLINKED)),
    many_refs=[CustomerRef(str(1000 + number)) for number in range(1, 51)],
    unknown_ref=CustomerRef("999999"),
    malformed_refs=[CustomerRef(ref) for ref in ("", "0", "037", "37 or id gt 0", "37)/Loans", "cus_37")],
    unknown_method=MethodRef("999999"),
    read_path="/api/public/api/1/odata.svc/",
    write_path="/api/public/api/1/odata.svc/Customers(37)",
    write_verb="PUT",
    new_methods={
        "card": new_card,
        "bank": new_bank,
        "secondary": lambda sandbox: new_card(sandbox, is_secondary=True, title="Spare"),
    },
    wrong_settings={"api_token": "wrong"},
    changes={
        "title": MethodChange(title="Groceries"),
        "secondary": MethodChange(is_secondary=True),
        "not secondary": MethodChange(is_secondary=False),
        "inactive": MethodChange(active=False),
        "several": MethodChange(active=True, is_secondary=True, title="All at once"),
    },
    new_customer=new_customer,
    customer_path="/api/public/api/1/odata.svc/Customers",
    second_create=RejectReason.DUPLICATE_CUSTOMER,
)
