"""Cache of built wallets: rebuilt only when their inputs change.

An entry lives no longer than the snapshots it was built from: dropping one of them (write, webhook, erasure, expiry)
drops the wallet too.
"""

import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from app.store.records import DirectoryEntry
from app.vault.enums import ProviderName
from app.vault.rules.expiry import ExpiryClock
from app.wallet.reads.build_wallet import SourceRow, Wallet, WalletRules, build_wallet, read_age
from app.wallet.reads.reader import CachedContent, SourceReading

View = TypeVar("View")
_VAULTS: Final = tuple(ProviderName)
MOST_METHODS: Final = 20_000  # some 50 MB, with the graph's objects


@dataclass(slots=True)
class _Record:
    """`parts` are the inputs of the methods; `view` is the graph object built from them.

    `wallet` was built in `hour` (hours since 1970; card expiry changes only at an hour's start) from `readings`, which
    snapshots keep alive.
    """

    parts: tuple[object, ...]
    wallet: Wallet
    contents: tuple[weakref.ref[CachedContent], ...]
    hour: int = 0
    readings: tuple[weakref.ref[SourceReading], ...] = ()
    view: Any = None


class WalletCache:
    """One per process; belongs to one event loop."""

    def __init__(self, rules: WalletRules, most_methods: int = MOST_METHODS) -> None:
        self._rules = rules
        self._most = most_methods
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._methods = 0

    def __len__(self) -> int:
        return len(self._records)

    def get_or_build(
        self, entry: DirectoryEntry, readings: Mapping[ProviderName, SourceReading], now: datetime
    ) -> Wallet:
        """As `build_wallet`, but reuses the methods and the default while their inputs are unchanged."""
        key, hour = entry.customer.id, int(now.timestamp() // 3600)
        known = self._records.get(key)
        if (
            known is not None
            and known.hour == hour
            and known.wallet.entry is entry
            and _are_same(known.readings, readings)
        ):
            self._records.move_to_end(key)
            return known.wallet
        parts = _parts(entry, readings, self._rules, ExpiryClock.at(now, self._rules.expiring_soon_days))
        if known is not None and known.parts == parts:
            self._records.move_to_end(key)
            known.wallet = _with_new_rows(known.wallet, readings)
            known.hour, known.readings = hour, _references(readings)
            return known.wallet
        wallet = build_wallet(entry, readings, self._rules, now)
        self._drop(key)
        contents = [reading.held.content for reading in readings.values() if reading.held is not None]
        if contents and len(wallet.methods) <= self._most:
            drop = self._dropper(key)
            gone = tuple([weakref.ref(one, drop) for one in contents])
            self._keep(key, _Record(parts, wallet, gone, hour, _references(readings)))
        return wallet

    def view(self, wallet: Wallet, build: Callable[[Wallet], View]) -> View:
        """Calls `build` once for the same methods. `build` must always be the same function, and its result is never
        changed."""
        record = self._records.get(wallet.entry.customer.id)
        if record is None or record.wallet.methods is not wallet.methods:
            return build(wallet)
        if record.view is None:
            record.view = build(wallet)
        found: View = record.view
        return found

    def _keep(self, key: str, record: _Record) -> None:
        self._records[key] = record
        self._methods += len(record.wallet.methods)
        while self._methods > self._most:
            self._drop(next(iter(self._records)))

    def _drop(self, key: str) -> None:
        dropped = self._records.pop(key, None)
        if dropped is not None:
            self._methods -= len(dropped.wallet.methods)

    def _dropper(self, key: str) -> Callable[[weakref.ref[CachedContent]], None]:
        """A callback for when a vault's content is freed; records built from newer content stay."""

        def drop(gone: weakref.ref[CachedContent]) -> None:
            record = self._records.get(key)
            if record is not None and any(one is gone for one in record.contents):
                self._drop(key)

        return drop


def _references(readings: Mapping[ProviderName, SourceReading]) -> tuple[weakref.ref[SourceReading], ...]:
    return tuple([weakref.ref(one) for one in readings.values()])


def _are_same(known: tuple[weakref.ref[SourceReading], ...], readings: Mapping[ProviderName, SourceReading]) -> bool:
    """True if these are the same reading objects, as when all come from cached snapshots."""
    if len(known) != len(readings):
        return False
    for reference, one in zip(known, readings.values(), strict=True):  # noqa: SIM110 - runs on every hit: a third of the cost of `all`
        if reference() is not one:
            return False
    return True


def _with_new_rows(wallet: Wallet, readings: Mapping[ProviderName, SourceReading]) -> Wallet:
    """The same wallet with source rows that describe the calls of these readings."""
    rows = {name: _row(row, readings.get(name)) for name, row in wallet.sources.items()}
    if all(rows[name] is row for name, row in wallet.sources.items()):
        return wallet
    return Wallet(
        entry=wallet.entry,
        methods=wallet.methods,
        visible=wallet.visible,
        default=wallet.default,
        sources=rows,
    )


def _row(row: SourceRow, reading: SourceReading | None) -> SourceRow:
    """The row with the fields of the new call; the other fields follow from unchanged inputs."""
    if reading is None or (
        reading.fetched_at == row.fetched_at
        and reading.latency_ms == row.latency_ms
        and reading.retry_after_s == row.retry_after_s
        and reading.message == row.message
        and reading.provider_request_id == row.provider_request_id
    ):
        return row
    return SourceRow(
        provider=row.provider,
        state=row.state,
        method_count=row.method_count,
        skipped_count=row.skipped_count,
        truncated=row.truncated,
        fetched_at=reading.fetched_at,
        is_stale=row.is_stale,
        latency_ms=reading.latency_ms,
        retry_after_s=reading.retry_after_s,
        message=reading.message,
        provider_request_id=reading.provider_request_id,
    )


def _parts(
    entry: DirectoryEntry, readings: Mapping[ProviderName, SourceReading], rules: WalletRules, clock: ExpiryClock
) -> tuple[object, ...]:
    """The inputs that decide the result. Large ones by identity: a record lives no longer than they do, so an identity
    is not reused.

    Of the time of the read, only its relation to the customer's stored choice matters.
    """
    parts: list[object] = [id(entry), clock.current, clock.soon]
    for name in _VAULTS:
        one = readings.get(name)
        if one is not None:
            held = one.held
            truncated = held is not None and held.wallet.truncated
            content = None if held is None else id(held.content)
            parts += (name, content, truncated, one.state, one.is_stale, read_age(entry, name, one, rules))
    return tuple(parts)
