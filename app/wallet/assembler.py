"""Wallets assembled once for as long as their parts are the same: every reader of a fresh snapshot sees one.

Nothing is kept longer than the snapshots that it was made of: when one of them is dropped (a write, a notification, an
erasure, its age), what was assembled from it goes too.
"""

import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeVar

from app.store.records import DirectoryEntry
from app.vault.names import ProviderName
from app.vault.rules.expiry import ExpiryClock
from app.wallet.assemble import AssemblyRules, SourceRow, Wallet, assemble
from app.wallet.reading import Held, SourceReading

View = TypeVar("View")
_VAULTS: Final = tuple(ProviderName)
MOST_METHODS: Final = 20_000  # some 50 MB, with the graph's objects


@dataclass(slots=True)
class _Record:
    """`parts` is what the methods depend on; `view` is what the graph made of them."""

    parts: tuple[object, ...]
    wallet: Wallet
    held: tuple[weakref.ref[Held], ...]
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
        key = entry.customer.id
        parts = _parts(entry, readings, ExpiryClock.at(now, self._rules.expiring_soon_days))
        known = self._records.get(key)
        if known is not None and known.parts == parts:
            self._records.move_to_end(key)
            return _told_anew(known.wallet, readings)
        wallet = assemble(entry, readings, self._rules, now)
        self._drop(key)
        held = [reading.held for reading in readings.values() if reading.held is not None]
        if held and len(wallet.methods) <= self._most:
            self._keep(key, _Record(parts, wallet, tuple(weakref.ref(one, self._dropper(key)) for one in held)))
        return wallet

    def view(self, wallet: Wallet, build: Callable[[Wallet], View]) -> View:
        """`build` once for the same methods; always the same `build`, whose result nobody changes."""
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

    def _dropper(self, key: str) -> Callable[[weakref.ref[Held]], None]:
        """Called when a snapshot is gone; a record that was made of a later one stays."""

        def drop(gone: weakref.ref[Held]) -> None:
            record = self._records.get(key)
            if record is not None and any(one is gone for one in record.held):
                self._drop(key)

        return drop


def _told_anew(wallet: Wallet, readings: Mapping[ProviderName, SourceReading]) -> Wallet:
    """The same wallet, its rows telling of these readings' calls."""
    rows = {name: _row(row, readings.get(name)) for name, row in wallet.sources.items()}
    if all(rows[name] is row for name, row in wallet.sources.items()):
        return wallet
    return replace(wallet, sources=rows)


def _row(row: SourceRow, reading: SourceReading | None) -> SourceRow:
    """What of a row is the call's own; the rest follows from the parts that are the same."""
    if reading is None:
        return row
    told = (reading.latency_ms, reading.retry_after_s, reading.message, reading.provider_request_id)
    if told == (row.latency_ms, row.retry_after_s, row.message, row.provider_request_id):
        return row
    latency_ms, retry_after_s, message, request_id = told
    return replace(
        row, latency_ms=latency_ms, retry_after_s=retry_after_s, message=message, provider_request_id=request_id
    )


def _parts(
    entry: DirectoryEntry, readings: Mapping[ProviderName, SourceReading], clock: ExpiryClock
) -> tuple[object, ...]:
    """Large things by identity: a record lives no longer than they do, so that an identity is not used twice."""
    return (
        id(entry),
        clock.current,
        clock.soon,
        *(
            (
                name,
                id(one.held) if one.held is not None else None,
                one.state,
                one.asked_at,
                one.fetched_at,
                one.is_stale,
            )
            for name in _VAULTS
            if (one := readings.get(name)) is not None
        ),
    )
