"""Writes of the torture test, with effects that can be distinguished in the vault, and the expected result."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from app.providers.registry import specs
from app.sandbox.demo import DemoCustomer, load_customer
from app.vault.enums import ProviderCapability, ProviderName

VAULTS: Final = tuple(spec.name for spec in specs().values() if spec.sandbox is not None)
CUSTOMERS: Final = 40
Json = dict[str, Any]

ANSWER: Final = (
    """operation { id state replayed } userErrors { code path retryable ... on ProviderError { outcome } }"""
)
ADD: Final = f"""mutation ($input: AddPaymentMethodInput!) {{ done: addPaymentMethod(input: $input) {{ {ANSWER}
  paymentMethod {{ id last4 provider }} }} }}"""
UPDATE: Final = f"""mutation ($input: UpdatePaymentMethodInput!) {{ done: updatePaymentMethod(input: $input) {{ {ANSWER}
  paymentMethod {{ id last4 provider }} }} }}"""
SET_DEFAULT: Final = f"""mutation ($input: SetDefaultPaymentMethodInput!) {{
  done: setDefaultPaymentMethod(input: $input) {{ {ANSWER} customer {{ id }} }} }}"""
DELETE: Final = f"""mutation ($input: DeletePaymentMethodInput!) {{ done: deletePaymentMethod(input: $input) {{ {ANSWER}
  deletedId }} }}"""


@dataclass(slots=True, kw_only=True)
class Write:
    """One key. `expects` is the vault's expected final data; `answers` are the final replies."""

    kind: str
    document: str
    input: Json
    customer: DemoCustomer
    provider: str
    last4: str
    nickname: str | None = None
    is_done: bool = False
    sent: int = 0
    final: Json | None = None
    wrong: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        return str(self.input["idempotencyKey"])


@dataclass(slots=True)
class Added:
    """An added method and its gateway id."""

    write: Write
    method_id: str
    is_deleted: bool = False
    nickname: str | None = None


def can(provider: str, operation: ProviderCapability) -> bool:
    return operation in specs()[ProviderName(provider)].capabilities.operations


class Plan:
    """Makes writes of all kinds, each with an unambiguous effect.

    Adds use a last4 that is new for the customer at that vault. No other write touches a method that is about to be
    deleted.
    """

    def __init__(self, rng: random.Random, control: Any) -> None:
        self._rng = rng
        self._control = control
        self._used: set[tuple[str, str, str]] = set()
        self._numbers = 0
        self.added: list[Added] = []
        self.customers = [load_customer(number) for number in range(1, CUSTOMERS + 1)]

    async def round(self, size: int) -> list[Write]:
        """Writes for one round; half of them add."""
        busy: set[str] = set()
        made: list[Write] = []
        for place in range(size):
            alive = [one for one in self.added if not one.is_deleted and one.method_id not in busy]
            kind = "add" if place % 2 == 0 or not alive else self._rng.choice(["default", "update", "delete"])
            if kind == "add":
                made.append(await self._add())
                continue
            able = [one for one in alive if kind != "delete" or can(one.write.provider, ProviderCapability.DELETE)]
            if able:
                chosen = self._rng.choice(able)
                busy.add(chosen.method_id)
                made.append(self._touch(kind, chosen))
        return made

    def note(self, write: Write, answer: Json) -> None:
        """A write is done: records what later rounds may change."""
        if write.kind == "add":
            self.added.append(Added(write, answer["paymentMethod"]["id"], nickname=write.nickname))
            return
        known = next(one for one in self.added if one.method_id == _target(write))
        if write.kind == "delete":
            known.is_deleted = True
        if write.kind == "update":
            known.nickname = write.nickname

    async def _add(self) -> Write:
        provider = self._rng.choice(VAULTS)
        customer, number = await self._unused(provider)
        value: Json = {
            "customerId": customer.id,
            "idempotencyKey": str(uuid.uuid4()),
            "method": await self._method(provider, number),
            "makeDefault": self._rng.random() < 0.3,
            "nickname": f"n{self._numbers}" if self._rng.random() < 0.5 else None,
        }
        return Write(
            kind="add", document=ADD, input=value, customer=customer, provider=provider, last4=number[-4:],
            nickname=value["nickname"],
        )  # fmt: skip

    async def _unused(self, provider: str) -> tuple[DemoCustomer, str]:
        """A customer and a number whose last4 none of that customer's methods has, the demo data's included."""
        while True:
            customer = self._rng.choice(self.customers)
            self._numbers += 1
            number = with_check_digit(f"411111{self._rng.randrange(10**9):09d}")
            ref = customer.refs[provider]
            place = (provider, ref, number[-4:])
            held = await self._control("GET", f"/customers/{provider}/{ref}")
            if place not in self._used and number[-4:] not in {method["last4"] for method in held}:
                self._used.add(place)
                return customer, number

    async def _method(self, provider: str, number: str) -> Json:
        if provider == "jpmorgan":
            way = self._rng.choice(["jpmRawCard", "jpmNetworkToken"])
            secret = {"accountNumber": number} if way == "jpmRawCard" else {"token": number}
            return {way: {**secret, "expiry": "2031-07", "brand": "VISA", "firstName": "Ada", "lastName": "Example"}}
        if provider == "aloha":
            return {
                "alohaToken": {
                    "paymentProvider": "CONNECTED_PAYMENTS",
                    "token": f"201:{uuid.uuid4()}",
                    "maskedCardNumber": f"411111******{number[-4:]}",
                    "expiry": "2031-07",
                    "brand": "VISA",
                }
            }
        wish = {"number": number, "exp_month": 7, "exp_year": 2031, "holder_name": "Ada Example"}
        minted = await self._control("POST", "/tokens", {"provider": provider, "kind": "card", **wish})
        if provider == "loanpro":
            return {"loanproToken": {"token": minted["token"], "kind": "CARD"}}
        card = {
            "fingerprint": minted["token"],
            "last4": minted["last4"],
            "expiry": "2031-07",
            "bin": minted["bin"],
            "brand": "VISA",
            "holderName": "Ada Example",
        }
        return {"caselleToken": {"card": card}}

    def _touch(self, kind: str, chosen: Added) -> Write:
        key, of = str(uuid.uuid4()), chosen.write
        document, nickname = {"default": SET_DEFAULT, "update": UPDATE, "delete": DELETE}[kind], None
        if kind == "default":
            value: Json = {
                "customerId": of.customer.id,
                "paymentMethodId": chosen.method_id,
                "idempotencyKey": key,
            }
        else:
            value = {"id": chosen.method_id, "idempotencyKey": key}
        if kind == "update":
            self._numbers += 1
            value["nickname"] = nickname = f"u{self._numbers}"
            if of.provider == "jpmorgan":
                value["expiry"] = f"20{self._rng.randrange(32, 40)}-0{self._rng.randrange(1, 10)}"
        return Write(
            kind=kind, document=document, input=value, customer=of.customer, provider=of.provider, last4=of.last4,
            nickname=nickname,
        )  # fmt: skip


def _target(write: Write) -> str:
    return str(write.input["paymentMethodId"] if write.kind == "default" else write.input["id"])


def with_check_digit(digits: str) -> str:
    """A card number: the digits and their ISO/IEC 7812-1 check digit."""
    doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits))]
    total = sum(value - 9 if value > 9 else value for value in doubled)
    return f"{digits}{-total % 10}"


def faults(rng: random.Random) -> Iterator[Json]:
    """The faults of a round: replies lost, or with any status, before or after the vault processes the request."""
    for provider in VAULTS:
        if rng.random() < 0.6:
            yield {
                "provider": provider,
                "times": rng.randrange(1, 4),
                "method": rng.choice(["PUT", "POST", "PATCH", "DELETE"]),
                **rng.choice(
                    [
                        {"kind": "drop_before"},
                        {"kind": "drop_after"},
                        {"kind": "status", "status": 504, "commit": True},
                        {"kind": "status", "status": 502},
                        {"kind": "garbage", "commit": True},
                        {"kind": "truncate"},
                        {"kind": "delay", "delay_ms": rng.randrange(20, 200)},
                        {"kind": "status", "status": rng.randrange(200, 600), "commit": True},
                        {"kind": "status", "status": rng.randrange(200, 600)},
                        {"kind": "rewrite", "status": rng.randrange(200, 600)},
                    ]
                ),
            }
        if rng.random() < 0.2:
            yield {
                "provider": provider,
                "times": rng.randrange(2, 16),
                "method": "GET",
                "kind": "status",
                "status": 503,
            }
