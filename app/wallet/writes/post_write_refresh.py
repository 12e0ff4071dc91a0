"""Reads the vault after a write and stores the result as last seen, so that later differences count as new changes.

The read runs in the background and is shared with the read of the response, if there is one. The lists of the writes
that ended within a short time are stored in one transaction.
"""

import asyncio
import logging
from collections.abc import Collection, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from app.store import Transaction
from app.store.errors import logged
from app.store.journal_reads import is_disturbed
from app.store.observed_methods import is_list_unchanged
from app.store.records import EventOrigin, NewEvent, OperationState
from app.vault.enums import SourceState
from app.vault.model import VaultWallet
from app.wallet.changes.detector import SeenList, compare_list, settle_list, to_observed
from app.wallet.writes.deps import Deps, VaultRef, loop_time, until
from app.wallet.writes.handler import CompletedWrite
from app.wallet.writes.intents import Intent
from app.wallet.writes.run import WriteRun

_log = logging.getLogger("vaultgraph.writing")
_WITHIN_S: Final = 2.0
_STORED_TOGETHER_S: Final = 0.02

Seen = tuple[VaultWallet, datetime]
"""A list, and when its read began."""


@dataclass(slots=True)
class _Lists:
    """The vault's lists around one write; `after` is None if the read failed. `written` are the write's events."""

    customer_id: str
    at: VaultRef
    written: Collection[NewEvent]
    before: Seen | None
    is_unknown: bool
    after: Seen | None = None


class PostWriteRefresh:
    """A failed read is not repeated: the next list is compared as usual."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._tasks: set[asyncio.Task[None]] = set()
        self._read: list[_Lists] = []
        self._timer: asyncio.TimerHandle | None = None

    def schedule(self, run: WriteRun[Intent], done: CompletedWrite) -> None:
        """Schedule the reads. The operation has ended, and its transaction is committed."""
        customer_id = run.operation.customer_id
        if customer_id is None or not run.changed:
            return
        is_unknown = done.state is OperationState.UNKNOWN
        named = {(event.provider, event.customer_ref) for event in done.events}
        at = run.changed | {(name, ref) for name, ref in named if name is not None and ref is not None}
        for name, ref in at | run.before.keys():
            lists = _Lists(customer_id, (name, ref), done.events, run.before.get((name, ref)), is_unknown)
            if is_unknown or name not in self._deps.providers or (name, ref) not in at:
                self._store_soon(lists)
                continue
            self._deps.drop(name, ref)  # only a new read shows the state after the write
            self._start(self._refresh(run, lists))

    async def drain(self) -> None:
        """Wait until everything scheduled is stored."""
        while self._tasks or self._timer is not None:
            if self._timer is not None:
                self._timer.cancel()
                self._begin_storing()
            await asyncio.wait(self._tasks.copy())

    async def _refresh(self, run: WriteRun[Intent], lists: _Lists) -> None:
        call = until(run.call, loop_time() + _WITHIN_S)
        try:
            name, ref = lists.at
            (reading,) = await self._deps.reader.read_many(name, [ref], call)
            if reading.state is SourceState.OK and reading.asked_at is not None and reading.wallet is not None:
                lists.after = reading.wallet, reading.asked_at
        except Exception:  # noqa: BLE001 - the write itself has succeeded
            _log.exception("the state at %s after a write could not be read", lists.at[0].value)
        self._store_soon(lists)

    def _store_soon(self, lists: _Lists) -> None:
        self._read.append(lists)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_STORED_TOGETHER_S, self._begin_storing)

    def _begin_storing(self) -> None:
        self._timer = None
        read, self._read = self._read, []
        self._start(self._store(read))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _store(self, read: Collection[_Lists]) -> None:
        with logged(_log, "the state of vaults after writes could not be recorded"):
            await self._deps.store.transaction(_store_lists, read)


def _store_lists(tx: Transaction, read: Collection[_Lists]) -> None:
    unsettled: dict[VaultRef, _Lists] = {}
    for lists in read:
        if lists.before is not None:
            _store_before(tx, lists, unsettled.pop(lists.at, None))
        if not _store_after(tx, lists) and not lists.is_unknown:
            unsettled[lists.at] = lists


def _store_before(tx: Transaction, lists: _Lists, earlier: _Lists | None) -> None:
    """Changes that others made before the write. After an earlier write whose own read is not stored, this list shows
    what that write did."""
    assert lists.before is not None
    wallet, asked_at = lists.before
    if wallet.skipped or wallet.truncated:
        return
    if earlier is not None:
        settle_list(tx, wallet, lists.customer_id, earlier.written, asked_at=asked_at)
    elif not is_list_unchanged(tx, wallet.provider, wallet.customer_ref, to_observed(wallet.methods)):
        seen = SeenList(wallet, lists.customer_id, EventOrigin.RECONCILIATION, asked_at)
        compare_list(tx, seen, is_settled=True)


def _store_after(tx: Transaction, lists: _Lists) -> bool:
    """False if there is no complete list, or another write may have changed the state since it was read."""
    if lists.after is None:
        return False
    wallet, asked_at = lists.after
    if wallet.skipped or wallet.truncated or is_disturbed(tx, lists.customer_id, wallet.provider, asked_at):
        return False
    settle_list(tx, wallet, lists.customer_id, lists.written, asked_at=asked_at)
    return True
