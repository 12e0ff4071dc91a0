"""Worlds in which much is wrong, the same for the same seed: vaults that fail, records that break every promise."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from app.errors import CircuitOpen, VaultError, VaultRefusedUs, VaultThrottled, VaultTimeout, VaultUnavailable
from app.vault.enums import (
    AuthStatus,
    BankRail,
    CardBrand,
    CardFunding,
    CustomerRef,
    MethodRef,
    NextActionKind,
    PaymentMethodStatus,
    ProviderName,
)
from app.vault.model import BankAccount, Expiry, NextAction, OtherMethod, ThreeDSecure, VaultWallet
from app.vault.provider import Call
from app.wallet.caller import ALL_SCOPES, Caller
from app.wallet.reads.policy import ReadPolicy
from resolvers.context import Context
from tests.support.memory import MemoryVault, P, World, card, observed

SCOPES: Final[Sequence[frozenset[str]]] = (
    ALL_SCOPES,
    ALL_SCOPES,
    ALL_SCOPES,
    frozenset({"customers:read", "payment_methods:read"}),
    frozenset({"customers:read", "payment_methods:read", "payment_methods:bin", "links:read"}),
    frozenset({"customers:read"}),
    frozenset(),
)
_FAILURES: Final[Sequence[Callable[[ProviderName], Exception]]] = (
    VaultUnavailable,
    VaultTimeout,
    VaultThrottled,
    CircuitOpen,
    VaultRefusedUs,
    lambda name: RuntimeError("a bug"),
)
_PATIENCE_S: Final = 3600.0  # a machine that stalls must not look like a vault that does, nor make snapshots old
_NOON: Final = datetime(2027, 5, 4, 12, 30, tzinfo=UTC)
# What a mapping with a bug could hand us, by field: nulls where none may be, other types, values of no enum.
_ODD: Final[Mapping[str, Sequence[Any]]] = {
    "brand": (None, "VISA", "NOPE", 7, CardBrand.UNKNOWN),
    "funding": (None, CardFunding.DEBIT, "DEBIT", 3),
    "last4": (None, 4242, True, b"4242", "0000"),
    "bin": (None, 424242, "42424242"),
    "holder_name": (None, 5, 1.5, ["a"], ValueError("a value that is an error"), "Alex"),
    "status_detail": (None, "detail", object),
    "created_at": (None, "2027-05-04", _NOON),
    "updated_at": (_NOON, 12),
    "is_secondary": (None, True, 1, "yes"),
    "is_provider_default": (None, True, False),
    "status": (PaymentMethodStatus.INACTIVE, PaymentMethodStatus.EXPIRED, PaymentMethodStatus.ACTIVE),
    "expiry": (None, Expiry(2027, 1), Expiry(2028, 4)),
}


class SlowVault(MemoryVault):
    """Answers after some turns of the loop, which shuffles what ends first."""

    turns = 0

    async def wallets(self, refs: Sequence[CustomerRef], call: Call) -> Mapping[CustomerRef, VaultWallet | VaultError]:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        return await super().wallets(refs, call)


def troubled(seed: int) -> World:
    """One world; call again for an equal one."""
    random, world = Random(seed), World(policy=ReadPolicy(deadline_s=_PATIENCE_S, fresh_for_s=_PATIENCE_S))
    for name, vault in world.vaults.items():
        vault.__class__ = SlowVault
        vault.turns = random.choice([0, 0, 1, 3, 8])  # type: ignore[attr-defined]
        ref = next(iter(vault.held))
        vault.put(ref, *_methods(random), skipped=random.choice([0, 0, 0, 2]), truncated=random.random() < 0.1)
        if random.random() < 0.15:
            vault.failure = random.choice(_FAILURES)(name)
        if random.random() < 0.05:
            vault.held.clear()
    for method in ("m0", "m1", "m2"):
        if random.random() < 0.5:
            world.vaults[P.JPMORGAN].results[MethodRef(method)] = _status(random)
    world.search.expiring = [
        observed("cus_a", provider, ref, method, "2028-04", _NOON)
        for provider, ref, method in ((P.LOANPRO, "37", "m0"), (P.ALOHA, "al", "nope"), (P.LOANPRO, "99", "m1"))
    ]
    world.directory.add("cus_b", {P.LOANPRO: "38"})
    world.directory.add("cus_none", {})
    return world


def caller(seed: int) -> Caller:
    return Caller(name="equal", scopes=Random(seed).choice(SCOPES))


def contexts(seed: int) -> Callable[[], Context]:
    """A world, as what makes its requests: the first fills its snapshots."""
    world = troubled(seed)

    def context() -> Context:
        deadline_at = asyncio.get_running_loop().time() + _PATIENCE_S
        return Context.create(world.services, caller(seed), "req-equal", deadline_at)

    return context


def _methods(random: Random) -> list[Any]:
    made: list[Any] = []
    for index in range(random.randint(0, 4)):
        roll = random.random()
        if roll < 0.65:
            made.append(card(f"m{index}", **_odd(random)))
        elif roll < 0.9:
            rail = random.choice([BankRail.ACH, BankRail.SEPA, None, "ACH"])
            base = {"provider": P.LOANPRO, "customer_ref": CustomerRef("-"), "method_ref": MethodRef(f"m{index}")}
            made.append(BankAccount(**base, last4="6789", rail=rail, bank_name=random.choice([None, "First", 5])))
        else:
            base = {"provider": P.LOANPRO, "customer_ref": CustomerRef("-"), "method_ref": MethodRef(f"m{index}")}
            made.append(OtherMethod(**base, provider_kind=random.choice(["GIFT", None, 9])))
    return made


def _odd(random: Random) -> dict[str, Any]:
    """Mostly nothing odd; sometimes a few fields."""
    if random.random() < 0.5:
        return {}
    return {name: random.choice(_ODD[name]) for name in random.sample(sorted(_ODD), random.randint(1, 3))}


def _status(random: Random) -> ThreeDSecure | VaultError:
    if random.random() < 0.3:
        return VaultUnavailable(P.JPMORGAN)
    action = NextAction(kind=NextActionKind.REDIRECT, url="https://bank.example/x") if random.random() < 0.3 else None
    status = random.choice([AuthStatus.AUTHENTICATED, AuthStatus.CHALLENGE_REQUIRED, AuthStatus.FAILED])
    return ThreeDSecure(status=status, next_action=action)
