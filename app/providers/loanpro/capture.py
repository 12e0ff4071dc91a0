"""Secure Payments (Adaptive Wallet): the URL of its capture form, so that no number passes through the gateway.

An on-behalf-of token opens the form; a new one is requested at every call and not stored. Source: PCI Wallet API, "OBO
Token"; the forms are `capture-form/{obo}` for cards and `check-capture-form/{obo}` for bank accounts.
"""

from app.errors import OutcomeUnknown, UnsupportedByVault, VaultUnavailable
from app.http.message import Effect, VaultHttp, VaultRequest
from app.providers.base import failed_reply, read_errors, text
from app.providers.loanpro.mapping import NAME
from app.vault.enums import NextActionKind
from app.vault.model import NextAction
from app.vault.payments import Tokenization
from app.vault.provider import Call
from app.vault.secret import Secret


class CaptureForms:
    """`http` is the client for Secure Payments; None if that is not configured."""

    def __init__(self, http: VaultHttp | None, base_url: str) -> None:
        self._http = http
        self._base_url = base_url.rstrip("/")

    async def tokenization(self, call: Call) -> Tokenization:
        """The card form's URL. The bank form uses ``check-capture-form`` with the same token."""
        if self._http is None:
            raise UnsupportedByVault(NAME, "LoanPro's Secure Payments is not configured.")
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
        url = f"{self._base_url}/capture-form/{token}"
        return Tokenization(action=NextAction(kind=NextActionKind.EMBED, url=url, client_token=Secret(token)))

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
