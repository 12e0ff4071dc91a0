"""Wallets assembled once for as long as their parts are the same: every reader of a fresh snapshot sees one.

Nothing is kept longer than the snapshots that it was made of: when one of them is dropped (a write, a notification, an
erasure, its age), what was assembled from it goes too.
"""

import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from app.store.records import DirectoryEntry
from app.vault.names import ProviderName
from app.vault.rules.expiry import ExpiryClock
from app.wallet.assemble import AssemblyRules, SourceRow, Wallet, assemble, read_age
from app.wallet.reading import Content, SourceReading

View = TypeVar("View")
_VAULTS: Final = tuple(ProviderName)
MOST_METHODS: Final = 20_000  # some 50 MB, with the graph's objects


@dataclass(slots=True)
class _Record:
    """`parts` is what the methods depend on; `view` is what the graph made of them.

    `wallet` was made at `hour` (since 1970; no card expires within one) of `readings`, which snapshots keep.
    """

    parts: tuple[object, ...]
    wallet: Wallet
    contents: tuple[weakref.ref[Content], ...]
    hour: int = 0
    readings: tuple[weakref.ref[SourceReading], ...] = ()
    view: Any = None


class Assembler:
    """One per process; belongs to one event loop."""

    def __init__(self, rules: AssemblyRules, most_methods: int = MOST_METHODS) -> None:
        self._rules = rules
        self._most = most_methods
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._methods = 0

    def __len__(self) -> int:
        return len(self._records)

    def assemble(self, entry: DirectoryEntry, readings: Mapping[ProviderName, SourceReading], now: datetime) -> Wallet:
        """As `assemble`; the methods and the default are those of last time where no part of them has changed."""
        key, hour = entry.customer.id, int(now.timestamp() // 3600)
        known = self._records.get(key)
        if known is not None and known.hour == hour and known.wallet.entry is entry and _are(known.readings, readings):
            self._records.move_to_end(key)
            return known.wallet
        parts = _parts(entry, readings, self._rules, ExpiryClock.at(now, self._rules.expiring_soon_days))
        if known is not None and known.parts == parts:
            self._records.move_to_end(key)
            known.wallet = _told_anew(known.wallet, readings)
            known.hour, known.readings = hour, _references(readings)
            return known.wallet
        wallet = assemble(entry, readings, self._rules, now)
        self._drop(key)
        contents = [reading.held.content for reading in readings.values() if reading.held is not None]
        if contents and len(wallet.methods) <= self._most:
            drop = self._dropper(key)
            gone = tuple([weakref.ref(one, drop) for one in contents])
            self._keep(key, _Record(parts, wallet, gone, hour, _references(readings)))
        return wallet

    def view(self, wallet: Wallet, build: Callable[[Wallet], View]) -> View:
        """`build` once for the same methods; always the same function, and nobody changes what it answers."""
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

    def _dropper(self, key: str) -> Callable[[weakref.ref[Content]], None]:
        """Called when what a vault held is gone; a record that was made of something later stays."""

        def drop(gone: weakref.ref[Content]) -> None:
            record = self._records.get(key)
            if record is not None and any(one is gone for one in record.contents):
                self._drop(key)

        return drop


def _references(readings: Mapping[ProviderName, SourceReading]) -> tuple[weakref.ref[SourceReading], ...]:
    return tuple([weakref.ref(one) for one in readings.values()])


def _are(known: tuple[weakref.ref[SourceReading], ...], readings: Mapping[ProviderName, SourceReading]) -> bool:
    """Whether these are the very same readings, as they are when all come from snapshots that were read before."""
    if len(known) != len(readings):
        return False
    for reference, one in zip(known, readings.values(), strict=True):  # noqa: SIM110 - each hit pays: a third of `all`
        if reference() is not one:
            return False
    return True


def _told_anew(wallet: Wallet, readings: Mapping[ProviderName, SourceReading]) -> Wallet:
    """The same wallet, its rows telling of these readings' calls."""
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
    """What of a row is the call's own; the rest follows from the parts that are the same."""
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
    entry: DirectoryEntry, readings: Mapping[ProviderName, SourceReading], rules: AssemblyRules, clock: ExpiryClock
) -> tuple[object, ...]:
    """Large things by identity: a record lives no longer than they do, so that an identity is not used twice.

    When the vaults were asked is no part, but for what it proves about the customer's choice.
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
