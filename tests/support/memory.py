"""In-memory vaults and directory for tests of the layers above. They keep the reading contract of `VaultProvider` and
count calls.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from app.errors import RejectReason, VaultError, VaultRejected
from app.store.records import (
    ChoiceRecord,
    CustomerCriteria,
    CustomerPage,
    CustomerPosition,
    CustomerRecord,
    DirectoryEntry,
    ExpiryPosition,
    LinkRecord,
    ObservedRecord,
)
from app.vault.enums import (
    AddRoute,
    CardBrand,
    CircuitState,
    CustomerRef,
    LinkProof,
    MethodRef,
    PaymentMethodStatus,
    ProviderCapability,
    ProviderName,
)
from app.vault.model import (
    Address,
    AddressLabels,
    Capabilities,
    Card,
    Expiry,
    PaymentMethod,
    Phone,
    StoredAddress,
    ThreeDSecure,
    VaultProfile,
    VaultWallet,
)
from app.vault.provider import Call, VaultProvider
from app.wallet.caller import ALL_SCOPES, Caller
from app.wallet.ids import Ids
from app.wallet.reads.build_wallet import WalletRules
from app.wallet.reads.cache import SnapshotCache
from app.wallet.reads.customers import CustomerCache
from app.wallet.reads.policy import ReadPolicy
from app.wallet.reads.reader import WalletReader
from resolvers.context import Context, Services
from resolvers.schema import schema

NOW = datetime(2028, 3, 15, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
P = ProviderName
OPERATIONS = frozenset({ProviderCapability.LIST, ProviderCapability.DELETE, ProviderCapability.PAY})
CAPABILITIES = {
    P.LOANPRO: Capabilities(OPERATIONS, frozenset({AddRoute.PROVIDER_TOKEN}), batch_limit=50),
    P.ALOHA: Capabilities(frozenset({ProviderCapability.LIST}), frozenset({AddRoute.PROVIDER_TOKEN})),
    P.JPMORGAN: Capabilities(
        OPERATIONS | {ProviderCapability.THREE_D_SECURE}, frozenset({AddRoute.BANK_ACCOUNT, AddRoute.NETWORK_TOKEN})
    ),
    P.CASELLE: Capabilities(OPERATIONS, frozenset({AddRoute.PROVIDER_TOKEN})),
}


class MemoryVault:
    """Read-only. `failure` is raised by every call; `hang` blocks forever and ignores deadlines."""

    def __init__(self, name: ProviderName) -> None:
        self.name = name
        self.capabilities = CAPABILITIES[name]
        self.held: dict[CustomerRef, VaultWallet] = {}
        self.results: dict[MethodRef, ThreeDSecure | VaultError] = {}
        self.calls: list[list[str]] = []
        self.status_calls: list[str] = []
        self.at_once = self.most_at_once = 0
        self.failure: Exception | None = None
        self.hang = False
        self.cancelled = 0

    def put(
        self,
        ref: str,
        *methods: PaymentMethod,
        skipped: int = 0,
        truncated: bool = False,
        profile: VaultProfile | None = None,
    ) -> None:
        customer_ref = CustomerRef(ref)
        owned = tuple(replace(one, provider=self.name, customer_ref=customer_ref) for one in methods)
        self.held[customer_ref] = VaultWallet(
            provider=self.name,
            customer_ref=customer_ref,
            methods=owned,
            skipped=skipped,
            truncated=truncated,
            profile=profile,
        )

    async def wallets(self, refs: Sequence[CustomerRef], call: Call) -> Mapping[CustomerRef, VaultWallet | VaultError]:
        self.calls.append(list(refs))
        await self._answer()
        unknown = VaultRejected(self.name, RejectReason.CUSTOMER_NOT_FOUND)
        return {ref: self.held.get(ref, unknown) for ref in refs}

    async def three_d_secure(self, ref: CustomerRef, method: MethodRef, call: Call) -> ThreeDSecure | None:
        self.status_calls.append(method)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self._answer()
            await asyncio.sleep(0.001)
        finally:
            self.at_once -= 1
        result = self.results.get(method)
        if isinstance(result, VaultError):
            raise result
        return result

    async def _answer(self) -> None:
        try:
            await asyncio.sleep(3600 if self.hang else 0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure:
            raise self.failure


class MemoryDirectory:
    def __init__(self) -> None:
        self.known: dict[str, DirectoryEntry] = {}
        self.reads: list[list[str]] = []

    def add(self, customer_id: str, refs: Mapping[ProviderName, str], **fields: Any) -> None:
        record = CustomerRecord(
            id=customer_id,
            external_id=f"ext-{customer_id}",
            first_name="Alex",
            last_name="Morales",
            email="alex@example.com",
            created_at=LONG_AGO,
        )
        links = tuple(
            LinkRecord(
                customer_id=customer_id,
                provider=name,
                customer_ref=CustomerRef(ref),
                proof=LinkProof.TRUSTED_BACKEND,
                linked_at=LONG_AGO,
                linked_by="test",
            )
            for name, ref in refs.items()
        )
        self.known[customer_id] = DirectoryEntry(customer=record, links=links, **fields)

    async def entries(self, ids: Collection[str]) -> dict[str, DirectoryEntry]:
        self.reads.append(list(ids))
        return {key: self.known[key] for key in ids if key in self.known}

    async def customer_by_external_id(self, external_id: str) -> CustomerRecord | None:
        return next((e.customer for e in self.known.values() if e.customer.external_id == external_id), None)

    async def customer_by_ref(self, provider: ProviderName, customer_ref: CustomerRef) -> CustomerRecord | None:
        owner = (await self.owners_of(provider, [customer_ref])).get(customer_ref)
        return self.known[owner].customer if owner else None

    async def owners_of(self, provider: ProviderName, refs: Collection[CustomerRef]) -> dict[CustomerRef, str]:
        return {
            link.customer_ref: key
            for key, entry in self.known.items()
            for link in entry.links
            if link.provider == provider and link.customer_ref in refs
        }


def observed(
    customer_id: str, provider: ProviderName, ref: str, method: str, expiry: str, at: datetime
) -> ObservedRecord:
    return ObservedRecord(
        customer_id=customer_id,
        provider=provider,
        customer_ref=CustomerRef(ref),
        method_ref=MethodRef(method),
        status=PaymentMethodStatus.ACTIVE,
        expiry=expiry,
        seen_at=at,
    )


class MemorySearch:
    """Searches a directory; `expiring` are the methods observed."""

    def __init__(self, directory: MemoryDirectory) -> None:
        self._directory = directory
        self.expiring: list[ObservedRecord] = []

    async def find(
        self,
        wanted: CustomerCriteria,
        *,
        first: int,
        after: CustomerPosition | None = None,
        among: Collection[str] | None = None,
    ) -> CustomerPage:
        walk = wanted.walk(is_restricted=among is not None)
        found = [
            self._directory.known[one].customer
            for one in sorted(self._directory.known)
            if (among is None or one in among) and (after is None or one > after.id)
        ]
        found = [one for one in found if wanted.email in (None, one.email)]
        page = CustomerPage(walk, found[:first], None)
        return replace(page, next=CustomerPosition.of(page.walk, found[first - 1])) if len(found) > first else page

    async def next_to_expire(
        self, after: ExpiryPosition, before: str, *, limit: int, among: Collection[str] | None = None
    ) -> list[ObservedRecord]:
        found = [
            (ExpiryPosition(str(one.expiry), one.provider, one.customer_ref, one.method_ref), one)
            for one in self.expiring
            if among is None or one.customer_id in among
        ]
        return [one for at, one in sorted(found, key=lambda found: found[0]) if after < at and at.expiry < before][
            :limit
        ]


def card(ref: str, **fields: Any) -> Card:
    """A valid Visa 4242, not linked to a customer."""
    defaults: dict[str, Any] = {"brand": CardBrand.VISA, "last4": "4242", "expiry": Expiry(2030, 1), "bin": "424242"}
    return Card(provider=P.LOANPRO, customer_ref=CustomerRef("-"), method_ref=MethodRef(ref), **{**defaults, **fields})


def choice_of(
    customer_id: str, provider: ProviderName, ref: str, method: str, *, at: datetime = LONG_AGO, allow: bool = False
) -> ChoiceRecord:
    return ChoiceRecord(
        customer_id=customer_id,
        provider=provider,
        customer_ref=CustomerRef(ref),
        method_ref=MethodRef(method),
        allow_expired=allow,
        set_at=at,
        set_by="test",
    )


@dataclass
class World:
    """Four vaults, a directory, and the services on top. `cus_a` is linked everywhere."""

    policy: ReadPolicy = field(default_factory=ReadPolicy)
    enabled: Collection[ProviderName] = tuple(ProviderName)
    list_limit: int = 100
    circuit: Callable[[ProviderName], CircuitState] = lambda name: CircuitState.CLOSED
    vault: type[MemoryVault] = MemoryVault
    vaults: dict[ProviderName, MemoryVault] = field(init=False)
    directory: MemoryDirectory = field(init=False)
    search: MemorySearch = field(init=False)
    services: Services = field(init=False)
    ids: Ids = field(init=False)
    context: Context | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.vaults = {name: self.vault(name) for name in ProviderName}
        self.directory = MemoryDirectory()
        self.search = MemorySearch(self.directory)
        self.ids = Ids("k" * 32)
        providers: dict[ProviderName, VaultProvider] = {
            name: self.vaults[name]  # type: ignore[misc]
            for name in self.enabled
        }
        reader = WalletReader(
            providers,
            SnapshotCache(10_000_000, utc_now=lambda: NOW),
            self.ids,
            dict.fromkeys(ProviderName, self.policy),
        )
        self.services = Services(
            directory=CustomerCache(self.directory),
            reader=reader,
            ids=self.ids,
            rules=WalletRules(
                operations={name: self.vaults[name].capabilities.operations for name in self.enabled},
                precedence=(P.LOANPRO, P.JPMORGAN, P.CASELLE, P.ALOHA),
                group_secret=b"g" * 32,
            ),
            list_limit=self.list_limit,
            customer_search=self.search,
            observed=self.search,
            circuit=self.circuit,
            utc_now=lambda: NOW,
        )
        self.directory.add("cus_a", {P.LOANPRO: "37", P.ALOHA: "al", P.JPMORGAN: "PACJGQ", P.CASELLE: "cs"})
        self.vaults[P.LOANPRO].put("37", card("9"), card("10", last4="1111"))
        self.vaults[P.ALOHA].put("al", card("tok", last4="2222"))
        home = StoredAddress(ref="a-1", address=Address(line1="300 Elton Street"), labels=AddressLabels())
        profile = VaultProfile(addresses=(home,), phones=(Phone(number="8888888828"),))
        self.vaults[P.JPMORGAN].put("PACJGQ", card("pm1", last4="3333", is_provider_default=True), profile=profile)
        self.vaults[P.CASELLE].put("cs", card("uid", last4="5555"))

    def id(self, provider: ProviderName, ref: str, method: str) -> str:
        return self.ids.encode(provider, CustomerRef(ref), MethodRef(method))

    async def ask(
        self,
        query: str,
        variables: dict[str, Any] | None = None,
        *,
        caller: Caller | None = None,
        within: float | None = None,
    ) -> Any:
        """Execute; returns Strawberry's result."""
        until = None if within is None else asyncio.get_running_loop().time() + within
        caller = caller or Caller(name="tests", scopes=ALL_SCOPES)
        self.context = Context.create(self.services, caller, "req-1", until)
        return await schema.execute(query, variables, context_value=self.context)

    async def data(self, query: str, variables: dict[str, Any] | None = None, **how: Any) -> Any:
        """The data of a reply that must have no errors."""
        result = await self.ask(query, variables, **how)
        assert result.errors is None, result.errors
        return result.data

    def calls(self) -> dict[str, int]:
        return {name.name: len(vault.calls) for name, vault in self.vaults.items() if vault.calls}
