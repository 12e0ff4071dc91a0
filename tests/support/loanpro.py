"""The LoanPro emulator in process, with its credentials."""

from typing import Any

from app.sandbox.base import SandboxClock
from app.sandbox.loanpro import LoanProEmulator
from tests.support.asgi import Reply, call

LMS = "/api/public/api/1/"
WALLET = "/secure-payments/api/"
VISA = "4111111111111111"


class LoanPro:
    """One emulator with demo data, and calls with valid headers."""

    def __init__(self, **switches: str) -> None:
        self.emulator = LoanProEmulator(SandboxClock())
        for name, value in switches.items():
            self.emulator.set_switch(name, value)
        self.app = self.emulator.asgi()
        shown = self.emulator.credentials("http://sandbox.test")
        self.headers: dict[str, str] = shown["headers"]
        self.pair: dict[str, str] = shown["secure_payments"]["headers"]

    async def lms(self, method: str, path: str, sent: Any = None, **kwargs: Any) -> Reply:
        return await call(
            self.app, method, LMS + path, json=sent, headers=kwargs.pop("headers", self.headers), **kwargs
        )

    async def wallet(self, method: str, path: str, sent: Any = None, **kwargs: Any) -> Reply:
        return await call(
            self.app, method, WALLET + path, json=sent, headers=kwargs.pop("headers", self.pair), **kwargs
        )

    async def obo(self) -> dict[str, str]:
        reply = await self.wallet("POST", "users/obo-token")
        assert reply.status == 200
        return {"Authorization": reply.json()["token"]}

    async def link(self, customer: int, *elements: dict[str, Any]) -> Reply:
        return await self.lms("PUT", f"odata.svc/Customers({customer})", {"PaymentAccounts": {"results": [*elements]}})

    async def accounts(self, customer: int, query: str = "$expand=CheckingAccount,CreditCard&nopaging=true") -> Any:
        reply = await self.lms("GET", f"odata.svc/Customers({customer})/PaymentAccounts?{query}")
        assert reply.status == 200
        return reply.json()["d"]["results"]

    def card(self, number: str = VISA, **flags: Any) -> dict[str, Any]:
        """A new element with a new card token."""
        fields = {"kind": "card", "number": number, "exp_month": 7, "exp_year": 2031, "holder_name": "Ada Example"}
        token = self.emulator.mint_token(fields)["token"]
        return {"title": "Card", "type": "paymentAccount.type.credit", "CreditCard": {"token": token}, **flags}

    def bank(self, number: str = "12345678", **flags: Any) -> dict[str, Any]:
        token = self.emulator.mint_token({"kind": "bank", "number": number, "holder_name": "Ada Example"})["token"]
        child = {"accountType": "bankacct.type.checking", "token": token}
        return {"title": "Bank", "type": "paymentAccount.type.checking", "CheckingAccount": child, **flags}
