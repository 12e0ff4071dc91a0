"""Cache of built wallets, with the graph objects made of them: rebuilt only when their inputs change.

A built wallet is dropped with any of the snapshots that it was built from (write, webhook, erasure, eviction).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace as with_changes

from app.caching.lru import LruCache
from app.store.records import DirectoryEntry
from app.vault.enums import CustomerRef, ProviderName
from app.vault.model import Card, VaultWallet
from app.vault.rules.expiry import ExpiryClock
from app.wallet.reads.build_wallet import Wallet, WalletRules, build_wallet, read_age
from app.wallet.reads.cache import Key, Snapshot, SnapshotCache
from app.wallet.reads.reader import SourceReading

MOST_METHODS: Final = 20_000  # some 50 MB, with the graph's objects, and up to 33 MB for each selection kept encoded

WalletKey = tuple[str, frozenset[ProviderName]]
"""Customer id, and the vaults that the wallet shows."""


class BuiltWallet(Struct):  # created in C, once per read
    """A wallet, the graph's objects of its methods, and the graph's customer, both set by their maker.

    `inputs` decide the methods and the default, `clock` their expiry states; it changes only at an hour's start (hours
    since 1970). `snapshots` are those that the wallet shows, None if it shows anything else. `is_without_calls`: its
    sources do not show the calls that it was read with. `cards` are those that selections show, as its reader keeps
    them.
    """

    wallet: Wallet
    inputs: list[object]
    clock: ExpiryClock
    hour: float
    snapshots: list[Snapshot[VaultWallet]] | None
    methods: Any = None
    customer: Any = None
    is_without_calls: bool = False
    cards: dict[Any, list[Card]] = {}


class WalletCache:
    """One per process; belongs to one event loop."""

    def __init__(self, rules: WalletRules, snapshots: SnapshotCache, most_methods: int = MOST_METHODS) -> None:
        self._rules = rules
        self._snapshots = snapshots
        self._built: LruCache[WalletKey, BuiltWallet] = LruCache(most_methods, on_evict=self._evicted)
        self._keys: dict[tuple[ProviderName, CustomerRef], set[WalletKey]] = {}  # by the snapshots that they show
        snapshots.on_removed = self._drop

    def __len__(self) -> int:
        return len(self._built)

    def get_fresh(self, entry: DirectoryEntry, vaults: frozenset[ProviderName], now: datetime) -> BuiltWallet | None:
        """The wallet if all that it shows is fresh, and nothing else has changed."""
        key = entry.customer.id, vaults
        built = self._built.peek(key)
        if built is None or built.snapshots is None or built.wallet.entry is not entry:
            return None
        if not self._snapshots.are_fresh(built.snapshots) or built.hour != now.timestamp() // 3600:
            return None
        if not built.is_without_calls:
            return self._without_calls(key, built)
        self._built.touch(key)
        return built

    def last(self, customer_id: str, vaults: frozenset[ProviderName]) -> BuiltWallet | None:
        """The wallet built last, however old."""
        return self._built.peek((customer_id, vaults))

    def get_or_build(
        self,
        entry: DirectoryEntry,
        vaults: frozenset[ProviderName],
        readings: Mapping[ProviderName, SourceReading],
        now: datetime,
    ) -> BuiltWallet:
        """As `build_wallet`, but reuses the methods, the default and the graph's objects while their inputs are
        unchanged."""
        key, hour = (entry.customer.id, vaults), now.timestamp() // 3600
        known = self._built.peek(key)
        # Besides the entry and the clock. Cached wallets are compared by identity; of the time of the read, only its
        # relation to the customer's stored choice matters.
        inputs: list[object] = []
        shown: Any = []
        for name in readings:
            one = readings[name]
            age = read_age(entry, name, one, self._rules) if entry.choice is not None else None
            inputs += (name, one.cached, one.state, one.is_stale, age)
            shown += (one.snapshot,)
        if None in shown:
            shown = None
        if known is not None and known.hour == hour:
            clock = known.clock
        else:
            clock = ExpiryClock.at(now, self._rules.expiring_soon_days)
        is_same = known is not None and known.wallet.entry is entry and known.inputs == inputs
        if known is None or not is_same or (known.clock is not clock and known.clock != clock):
            built = BuiltWallet(build_wallet(entry, readings, self._rules, now), inputs, clock, hour, shown)
            self._keep(key, built, readings)
            return built
        last = known.wallet
        wallet = Wallet(  # the same vaults were read for the same entry: the rows of the others are the same too
            entry=entry,
            methods=last.methods,
            visible=last.visible,
            default=last.default,
            sources={**last.sources, **readings},
        )
        built = BuiltWallet(wallet, inputs, clock, hour, shown, known.methods, cards=known.cards)
        self._built.put(key, built, weight=len(wallet.methods) or 1)
        return built

    def _without_calls(self, key: WalletKey, built: BuiltWallet) -> BuiltWallet:
        sources = {name: with_changes(one, latency_ms=None) for name, one in built.wallet.sources.items()}
        wallet = with_changes(built.wallet, sources=sources)
        made = with_changes(built, wallet=wallet, customer=None, is_without_calls=True)
        self._built.put(key, made, weight=max(1, len(made.wallet.methods)))
        return made

    def _keep(self, key: WalletKey, built: BuiltWallet, readings: Mapping[ProviderName, SourceReading]) -> None:
        self._remove(key)
        shown = [(one, link) for link in built.wallet.entry.links if (one := readings.get(link.provider)) is not None]
        shown = [(one, link) for one, link in shown if one.cached is not None]
        is_cached = self._snapshots.is_cached
        if not shown or not all(is_cached((link.provider, link.customer_ref, None), one.cached) for one, link in shown):
            return
        for _, link in shown:
            self._keys.setdefault((link.provider, link.customer_ref), set()).add(key)
        self._built.put(key, built, weight=max(1, len(built.wallet.methods)))

    def _drop(self, snapshot: Key) -> None:
        if snapshot[2] is None:
            for key in tuple(self._keys.get(snapshot[:2], ())):
                self._remove(key)

    def _remove(self, key: WalletKey) -> None:
        built = self._built.pop(key)
        if built is not None:
            self._evicted(key, built)

    def _evicted(self, key: WalletKey, built: BuiltWallet) -> None:
        for link in built.wallet.entry.links:
            where = link.provider, link.customer_ref
            keys = self._keys.get(where)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._keys[where]
