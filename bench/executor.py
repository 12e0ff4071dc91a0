"""The compiled path against Strawberry's own executor: same schema, same documents, same process, alternating rounds.

    python -m bench.executor [--rounds 5] [--methods 10000]

No HTTP and no vaults: providers are in memory and return at once, so that only execution is measured. CPU time per
operation; the median of the rounds. "Strawberry" is `schema.execute` with its parser and validation caches.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson
import strawberry
import uvloop
from strawberry.extensions import ParserCache, ValidationCache

from app.errors import VaultError
from app.execution.documents import Document, DocumentCache
from app.execution.plan import Plan
from app.execution.run import run_operation
from app.store.records import CustomerRecord, DirectoryEntry, LinkRecord
from app.vault.enums import (
    AddRoute,
    CardBrand,
    CardFunding,
    CustomerRef,
    LinkProof,
    MethodRef,
    ProviderCapability,
    ProviderName,
)
from app.vault.model import Capabilities, Card, Expiry, PaymentMethod, ThreeDSecure, VaultWallet
from app.vault.provider import Call
from app.wallet.caller import ALL_SCOPES, Caller
from app.wallet.ids import Ids
from app.wallet.reads.build_wallet import WalletRules
from app.wallet.reads.cache import SnapshotCache
from app.wallet.reads.customers import CustomerCache
from app.wallet.reads.policy import ReadPolicy
from app.wallet.reads.reader import WalletReader
from resolvers.context import Context, Services
from resolvers.schema import schema

WALLET = """query Wallet($id: ID!) {
  customer(id: $id) {
    id name email
    paymentMethods { ...Method }
    defaultMethod { id label }
    defaultMethodInfo { state reason }
    sources { provider state methodCount skippedCount isStale fetchedAt }
    isComplete
  }
}
fragment Method on PaymentMethod {
  __typename id provider kind status label last4 isDefault
  ... on Card { brand expiry expiryState }
  ... on BankAccount { rail bankName }
}"""
WALLET_WITH_STATUS = WALLET.replace("last4 isDefault", "last4 isDefault authStatus")
METHODS = """query Methods($id: ID!, $first: Int!) {
  customer(id: $id) {
    paymentMethods(first: $first) { __typename id provider label last4 isDefault ... on Card { brand expiryState } }
  }
}"""
SINCE = datetime(2026, 1, 2, tzinfo=UTC)
EVERY = frozenset({ProviderCapability.LIST, ProviderCapability.DELETE, ProviderCapability.PAY})


class FakeVault:
    """Returns a fixed number of cards for every customer, at once."""

    def __init__(self, name: ProviderName, count: int) -> None:
        self.name = name
        asks = frozenset({ProviderCapability.THREE_D_SECURE}) if name is ProviderName.JPMORGAN else frozenset()
        self.capabilities = Capabilities(EVERY | asks, frozenset({AddRoute.PROVIDER_TOKEN}), batch_limit=50)
        self._cards = [self._card(index) for index in range(count)]

    def _card(self, index: int) -> PaymentMethod:
        return Card(
            provider=self.name,
            customer_ref=CustomerRef("-"),
            method_ref=MethodRef(f"{self.name}-{index}"),
            brand=CardBrand.VISA if index % 2 else CardBrand.MASTERCARD,
            funding=CardFunding.CREDIT,
            last4=f"{index % 10_000:04}",
            expiry=Expiry(2035, 1 + index % 12),
            holder_name="Alex Morales",
            created_at=SINCE,
        )

    async def wallets(self, refs: Sequence[CustomerRef], call: Call) -> Mapping[CustomerRef, VaultWallet | VaultError]:
        return {
            ref: VaultWallet(
                provider=self.name,
                customer_ref=ref,
                methods=tuple(replace(one, customer_ref=ref) for one in self._cards),
            )
            for ref in refs
        }

    async def three_d_secure(self, ref: CustomerRef, method: MethodRef, call: Call) -> ThreeDSecure | None:
        return None


class FakeDirectory:
    async def entries(self, ids: Sequence[str]) -> dict[str, DirectoryEntry]:
        return {one: _entry(one) for one in ids}


def _entry(customer_id: str) -> DirectoryEntry:
    record = CustomerRecord(
        id=customer_id,
        external_id=f"ext-{customer_id}",
        first_name="Alex",
        last_name="Morales",
        email="alex@example.com",
        created_at=SINCE,
    )
    links = tuple(
        LinkRecord(
            customer_id=customer_id,
            provider=name,
            customer_ref=CustomerRef(f"{name}-ref"),
            proof=LinkProof.TRUSTED_BACKEND,
            linked_at=SINCE,
            linked_by="bench",
        )
        for name in ProviderName
    )
    return DirectoryEntry(customer=record, links=links)


def services(counts: Mapping[ProviderName, int], *, list_limit: int) -> Services:
    vaults: Any = {name: FakeVault(name, counts.get(name, 0)) for name in ProviderName}
    ids = Ids("k" * 32)
    reader = WalletReader(
        vaults, SnapshotCache(500_000_000), ids, dict.fromkeys(ProviderName, ReadPolicy(fresh_for_s=600))
    )
    return Services(
        directory=CustomerCache(FakeDirectory()),  # type: ignore[arg-type]
        reader=reader,
        ids=ids,
        rules=WalletRules(
            operations={name: vaults[name].capabilities.operations for name in vaults},
            precedence=tuple(ProviderName),
            group_secret=b"g" * 32,
        ),
        list_limit=list_limit,
    )


@dataclass(frozen=True)
class Case:
    name: str
    text: str
    variables: dict[str, Any]
    services: Services
    repeats: int


Run = Callable[[Any], Awaitable[Any]]


def cached_strawberry() -> strawberry.Schema:
    """The same schema, with Strawberry's parser and validation caches."""
    made: Any = type(schema)(
        query=schema.query,
        types=[one.origin for one in _object_types()],
        config=schema.config,
        scalar_overrides=None,
        extensions=[*schema.extensions, ParserCache, ValidationCache],
        federation_version="2.9",
    )
    return made  # type: ignore[no-any-return]


def _object_types() -> list[Any]:
    from resolvers.types.payment_method import GraphBankAccount, GraphCard, GraphOtherMethod

    return [one.__strawberry_definition__ for one in (GraphCard, GraphBankAccount, GraphOtherMethod)]  # type: ignore[attr-defined]


def runners(case: Case, document: Document, baseline: strawberry.Schema) -> dict[str, Run]:
    operation = document.operation(None)
    assert operation is not None
    careful = Plan(schema, operation, document.fragments, is_fast=False)
    fast = Plan(schema, operation, document.fragments)

    async def by_strawberry(context: Any) -> Any:
        return await baseline.execute(case.text, dict(case.variables), context_value=context)

    async def by_graphql_core(context: Any) -> Any:
        return await run_operation(schema, document, None, case.variables, context)

    return {
        "strawberry": by_strawberry,
        "graphql-core": by_graphql_core,
        "careful": lambda context: careful.start(case.variables, context, hide_suggestions=True),
        "plan": lambda context: fast.start(case.variables, context, hide_suggestions=True),
    }


async def measured(case: Case, run: Run) -> float:
    """Microseconds of CPU for one operation, including creating its context, which every request needs."""
    caller = Caller(name="bench", scopes=ALL_SCOPES)
    began = time.process_time()
    for _ in range(case.repeats):
        context = Context.create(case.services, caller, "bench")
        await run(context)
        context.close()
    return (time.process_time() - began) / case.repeats * 1e6


async def compare(case: Case, rounds: int) -> None:
    documents = DocumentCache(schema._schema, max_bytes=1_000_000, max_tokens=10_000, suggest=False)
    document = documents.get(case.text)
    assert not document.errors, document.errors
    chosen = runners(case, document, cached_strawberry())
    answers = {}
    for name, run in chosen.items():
        for _ in range(3):  # warm-up: caches filled, plans compiled, snapshots fresh
            context = Context.create(case.services, Caller(name="bench", scopes=ALL_SCOPES), "bench")
            result = await run(context)
            assert not result.errors, result.errors
        answers[name] = orjson.dumps(result.data)
    assert len(set(answers.values())) == 1, "the executors do not agree"
    taken: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(rounds):
        for name, run in chosen.items():
            taken[name].append(await measured(case, run))
    base = taken["strawberry"]
    print(f"\n{case.name} ({len(answers['plan'])} bytes of data)")
    for name, found in taken.items():
        ratio = statistics.median(one / other for one, other in zip(base, found, strict=True))
        print(f"  {name:<14}{statistics.median(found):>12,.0f} us   x{ratio:.1f}")


async def main(rounds: int, methods: int) -> None:
    small = dict.fromkeys(ProviderName, 0) | {
        ProviderName.LOANPRO: 3,
        ProviderName.ALOHA: 2,
        ProviderName.JPMORGAN: 2,
        ProviderName.CASELLE: 3,
    }
    wallet = services(small, list_limit=100)
    many = services({ProviderName.LOANPRO: methods}, list_limit=methods)
    cases = [
        Case("wallet, 10 methods", WALLET, {"id": "cus_bench"}, wallet, 300),
        Case("wallet with authStatus of each method", WALLET_WITH_STATUS, {"id": "cus_bench"}, wallet, 300),
        Case(f"{methods:,} methods", METHODS, {"id": "cus_bench", "first": methods}, many, 3),
    ]
    for case in cases:
        await compare(case, rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--methods", type=int, default=10_000)
    chosen_options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(chosen_options.rounds, chosen_options.methods))
