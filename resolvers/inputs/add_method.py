"""The ways in which a payment method can be added: one of them at a time."""

from dataclasses import fields
from typing import Final, NamedTuple, Protocol, runtime_checkable

import strawberry

from app.vault.model import Address, NewMethod
from resolvers.inputs.fields import given, optional
from resolvers.inputs.jpmorgan import JpmBankAccountInput, JpmNetworkTokenInput, JpmRawCardInput
from resolvers.inputs.vault_tokens import AlohaTokenInput, CaselleTokenInput, LoanProTokenInput, Path

_SECRETS: Final = ("token", "account_number", "iban", "fingerprint")


@runtime_checkable
class Way(Protocol):
    def to_new(self, billing: Address | None) -> NewMethod: ...


class ChosenWay(NamedTuple):
    """What was chosen, where it stands in the input, and what its secret is called there."""

    way: Way
    path: Path
    secret_field: str


@strawberry.input(one_of=True, description="Exactly one of these.")
class AddMethodInput:
    loanpro_token: LoanProTokenInput | None = optional(
        "LoanPro: a Secure Payments (Adaptive Wallet) token, captured in the browser."
    )
    aloha_token: AlohaTokenInput | None = optional("NCR Aloha: a Connected Payments, CreditCall or FreedomPay token.")
    jpm_network_token: JpmNetworkTokenInput | None = optional(
        "Needs the setting network_tokens, so that a card number cannot come in by this door unnoticed.",
        scopes=("network_tokens:write",),
    )
    jpm_bank_account: JpmBankAccountInput | None = optional("J.P. Morgan: a bank account.")
    jpm_raw_card: JpmRawCardInput | None = optional(
        "Works only while the operator has turned raw cards on.", scopes=("pan:write",)
    )
    caselle_token: CaselleTokenInput | None = optional(
        "Caselle: the browser's 15-minute token for a card or a bank account."
    )

    def chosen(self) -> ChosenWay:
        """Down to the innermost one that holds the method's own fields."""
        inner: object = self
        path: Path = ("method",)
        while not isinstance(inner, Way):
            name, inner = next(
                (field.name, value)
                for field in fields(inner)  # type: ignore[arg-type]
                if (value := given(getattr(inner, field.name))) is not None
            )
            path = (*path, name)
        secret_field = next(name for name in _SECRETS if hasattr(inner, name))
        return ChosenWay(inner, path, secret_field)
