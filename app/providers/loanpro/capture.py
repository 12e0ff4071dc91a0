"""Secure Payments (Adaptive Wallet): the URLs of its forms, so that no number passes through the gateway.

An on-behalf-of token opens a form; a new one is requested at every call and not stored. Sources: PCI Wallet API, "OBO
Token"; "Create New Payment Profile Process": ``api/capture-form/{obo}`` for cards,
``api/check-capture-form/{obo}?account_type=`` for bank accounts; ``edit-form`` and ``check-edit-form``, outside of
``api``, with the profile's token as ``account``.
"""

from typing import Final
from urllib.parse import urlencode

from app.errors import OutcomeUnknown, UnsupportedByVault, VaultUnavailable
from app.http.message import Effect, VaultHttp, VaultRequest
from app.providers.base import failed_reply, read_errors
from app.providers.loanpro.mapping import NAME
from app.providers.values import text
from app.vault.enums import BankAccountType, NextActionKind, PaymentMethodKind
from app.vault.model import NextAction
from app.vault.payments import Tokenization
from app.vault.provider import Call
from app.vault.secret import Secret

_EDIT_FORMS: Final = {PaymentMethodKind.CARD: "edit-form", PaymentMethodKind.BANK_ACCOUNT: "check-edit-form"}


class CaptureForms:
    """`http` is the client for Secure Payments; None if that is not configured."""

    def __init__(self, http: VaultHttp | None, base_url: str) -> None:
        self._http = http
        self._base_url = base_url.rstrip("/")

    async def for_card(self, call: Call) -> Tokenization:
        token = await self._obo_token(call)
        return _embedded(f"{self._base_url}/capture-form/{token}", token)

    async def for_bank_account(self, account_type: BankAccountType, call: Call) -> Tokenization:
        token = await self._obo_token(call)
        query = urlencode({"account_type": account_type.value.lower()})
        return _embedded(f"{self._base_url}/check-capture-form/{token}?{query}", token)

    async def for_change(self, kind: PaymentMethodKind, account: Secret, call: Call) -> Tokenization:
        """The form that changes a stored profile, for example its expiry. `account` is the profile's token."""
        token = await self._obo_token(call)
        root = self._base_url.removesuffix("/api")
        return _embedded(f"{root}/{_EDIT_FORMS[kind]}/{token}?{urlencode({'account': account.reveal()})}", token)

    def refuse_unconfigured(self) -> None:
        if self._http is None:
            raise UnsupportedByVault(NAME, "LoanPro's Secure Payments is not configured.")

    async def _obo_token(self, call: Call) -> str:
        self.refuse_unconfigured()
        assert self._http is not None
        # Creating a token twice is harmless, but the route is no read: it is sent once, and a lost reply changed
        # nothing.
        request = VaultRequest(method="POST", path="users/obo-token", route="users/obo-token", effect=Effect.WRITE)
        try:
            reply = await self._http.send(request, call)
        except OutcomeUnknown as error:
            raise VaultUnavailable(NAME, provider_code=error.provider_code) from None
        if reply.status != 200:
            raise failed_reply(NAME, reply, Effect.READ)
        with read_errors(NAME):
            token = text(reply.json()["token"])
            if token is None:
                raise ValueError("no token")
        return token

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()


def _embedded(url: str, token: str) -> Tokenization:
    return Tokenization(action=NextAction(kind=NextActionKind.EMBED, url=url, client_token=Secret(token)))
