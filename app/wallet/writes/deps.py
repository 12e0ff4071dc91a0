"""Dependencies of the write handlers; created once per process."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from app.errors import VaultError, VaultReplyUnreadable
from app.store import Store
from app.store.records import MethodAddress
from app.vault.enums import CustomerRef, ProviderName
from app.vault.model import PaymentMethod, VaultWallet
from app.vault.provider import Call, VaultProvider
from app.wallet.digest import DigestKeys
from app.wallet.ids import Ids
from app.wallet.reads.build_wallet import WalletRules
from app.wallet.reads.reader import WalletReader
from app.wallet.writes.lease import WorkerLease

DEFAULT_DEADLINE_S: Final = 8.0
SENDING_SHARE: Final = 0.75
"""The share of a write's deadline for its request; the rest is for looking up a lost answer."""

VaultRef = tuple[ProviderName, CustomerRef]


def _pass(point: str) -> None:
    return None


@dataclass(kw_only=True)
class Deps:
    """`deadlines_s` is the total time of a write per vault. `reached` is called with the name of each point between two
    steps: tests kill the process there."""

    store: Store
    reader: WalletReader
    ids: Ids
    rules: WalletRules
    owner: WorkerLease
    digest_keys: DigestKeys
    deadlines_s: Mapping[ProviderName, float] = field(default_factory=dict)
    utc_now: Callable[[], datetime] = lambda: datetime.now(UTC)
    reached: Callable[[str], None] = _pass

    @property
    def providers(self) -> Mapping[ProviderName, VaultProvider]:
        return self.reader.providers

    def deadline_s(self, providers: Collection[ProviderName]) -> float:
        """Seconds that a write at these vaults may take, including waits and lookups."""
        return max((self.deadlines_s.get(name, DEFAULT_DEADLINE_S) for name in providers), default=DEFAULT_DEADLINE_S)

    def drop(self, provider: ProviderName, ref: CustomerRef) -> None:
        self.reader.snapshots.drop(provider, ref)


async def fresh_wallet(vault: VaultProvider, ref: CustomerRef, call: Call) -> VaultWallet:
    """The vault's current list, bypassing every cache. Raises VaultError."""
    found = (await vault.wallets([ref], call)).get(ref)
    if found is None:
        raise VaultReplyUnreadable(vault.name)
    if isinstance(found, VaultError):
        raise found
    return found


def find(wallet: VaultWallet, address: MethodAddress) -> PaymentMethod | None:
    return next((one for one in wallet.methods if one.method_ref == address.method_ref), None)


def loop_time() -> float:
    return asyncio.get_running_loop().time()


def until(call: Call, deadline_at: float) -> Call:
    return replace(call, deadline_at=deadline_at)
