"""The Aloha emulator in process, with its credentials."""

from typing import Any

from app.sandbox.aloha import AlohaEmulator
from app.sandbox.base import SandboxClock
from app.sandbox.demo import ALEX
from tests.support.asgi import Reply, call

ALEX_REF = ALEX.refs["aloha"]
TOKEN_PATH = "/v1/Customers/Payment/Token"
UNKNOWN_CUSTOMER = "11111111-2222-4333-8444-555555555555"
PAYMENTS = f"/v1/Customers/{ALEX_REF}/Payments"


def header(**changes: Any) -> dict[str, Any]:
    """A CustomerCreditCardTokenHeader, valid unless changed."""
    return {
        "CustomerId": ALEX_REF,
        "ProviderType": 2,
        "MaskedCardNumber": "222300******0007",
        "ExpirationDate": "09/31",
        "CardToken": "201:7290000000000001",
        "CardType": 6,
        "CardHolderName": None,
        **changes,
    }


def faults(reply: Reply) -> list[str]:
    """The fields named by a 400."""
    assert reply.status == 400
    return sorted(reply.json()["ModelState"])


class Aloha:
    def __init__(self, **switches: str) -> None:
        self.emulator = AlohaEmulator(SandboxClock())
        for name, value in switches.items():
            self.emulator.set_switch(name, value)
        self.app = self.emulator.asgi()
        self.headers: dict[str, str] = self.emulator.credentials("http://sandbox.test")["headers"]

    async def call(self, method: str, path: str, json: Any = None, body: bytes = b"", **headers: str) -> Reply:
        """Keyword names are header names with ``_`` for ``-``; an empty value omits the header."""
        sent = {name.lower(): value for name, value in self.headers.items()}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in sent.items() if value}
        return await call(self.app, method, path, json=json, body=body, headers=sent)

    async def listed(self) -> Any:
        reply = await self.call("GET", PAYMENTS)
        assert reply.status == 200
        return reply.json()

    async def add(self, **changes: Any) -> Reply:
        return await self.call("PUT", TOKEN_PATH, header(**changes))
