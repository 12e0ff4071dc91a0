"""One customer's wallet within one request, shared by all fields. Reads only the vaults that the fields need."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from app.vault.enums import CustomerRef, MethodRef, ProviderName, SourceState
from app.vault.model import Card
from app.wallet.reads.build_wallet import SourceRow, Wallet
from app.wallet.reads.customers import DirectoryEntry
from app.wallet.reads.prefetch import PrefetchHints, Question
from app.wallet.reads.reader import SourceReading
from app.wallet.reads.three_d_secure import StatusReading, StatusSeat

if TYPE_CHECKING:
    from resolvers.context import Context

Made = TypeVar("Made")
View = TypeVar("View")

_OneMethod = tuple[ProviderName, MethodRef]

ALL: Final = frozenset(ProviderName)
_TURNS: Final = 4  # turns of the event loop, so that fields awaiting the same wallet continue and request more


class CustomerWallet:
    """Fields declare what they need (`want`) while the executor starts their siblings, and await it afterwards.

    So the vaults that all fields need are read together, and `sources` shows which ones no field needed. A vault is
    read once per request, even if fields need it later.
    """

    def __init__(self, context: "Context", entry: DirectoryEntry) -> None:
        self.entry = entry
        self._context: Context = context
        self._is_wanted = False
        self._wanted: frozenset[ProviderName] = frozenset()
        self._covered: frozenset[ProviderName] = frozenset()
        self._requested: set[ProviderName] = set()
        self._readings: dict[ProviderName, SourceReading] = {}
        self._absent_of: frozenset[ProviderName] | None = None  # not all of these were cached at the last look
        self._wallet: Wallet | None = None
        self._task: asyncio.Task[Wallet] | None = None
        self._statuses: dict[_OneMethod, StatusReading | asyncio.Future[StatusReading]] = {}
        self._foreseen: dict[_OneMethod, StatusSeat] = {}
        self._has_asked_status = False
        self._view: tuple[Wallet, object] | None = None

    def want(self, providers: Collection[ProviderName] = ALL) -> None:
        """Declare the vaults needed, before any await."""
        self._is_wanted = True
        self._wanted = self._wanted.union(providers)

    async def wallet(self) -> Wallet:
        """The wallet with everything wanted so far. Cancelling one field does not cancel the read of others."""
        if not self._is_wanted:
            self.want()
        if self._task is None or not self._wanted <= self._covered:
            ready = self._at_hand()
            if ready is not None:
                return ready
            self._task = self._context.spawn(self._read(self._task))
            self._covered = self._wanted
        if not self._task.done():
            return await _await_shared(self._task)
        self._task.result()  # raises the task's exception
        assert self._wallet is not None
        return self._wallet  # includes cached parts that were wanted later

    def when_read(self, providers: Collection[ProviderName], make: Callable[[Wallet], Made]) -> Made | Awaitable[Made]:
        """`make(wallet)`, synchronously if fresh snapshots contain all that is wanted."""
        self.want(providers)
        ready = self._at_hand()
        return make(ready) if ready is not None else self._made(make)

    async def _made(self, make: Callable[[Wallet], Made]) -> Made:
        return make(await self.wallet())

    def rows(self) -> list[SourceRow] | Awaitable[list[SourceRow]]:
        """One row per vault: at once if no pending field can change one, else after all reads of this request."""
        if self._wanted == ALL:
            ready = self._at_hand()
            if ready is not None and not self._may_read_more(ready):
                return self._rows(ready)
        return self._settled_rows()

    async def _settled_rows(self) -> list[SourceRow]:
        await asyncio.sleep(0)
        if not self._is_wanted:
            self.want()
        while True:
            wanted = self._wanted  # read before waiting: fields awaiting the same wallet may want more meanwhile
            wallet = await self.wallet()
            if self._may_read_more(wallet):
                await self._settle()
            if self._wanted == wanted:
                return self._rows(wallet)

    def status(self, card: Card) -> StatusReading | Awaitable[StatusReading]:
        """The card's 3-D Secure status, at once if fresh. Requested once per request, however many fields show it."""
        key = card.provider, card.method_ref
        found = self._statuses.get(key)
        if found is None:
            found = self._statuses[key] = self._status(key, card)
        if isinstance(found, StatusReading):
            return found
        return found.result() if found.done() else _await_shared(found)

    def _status(self, key: _OneMethod, card: Card) -> "StatusReading | asyncio.Future[StatusReading]":
        statuses, call = self._context.services.reader.statuses, self._context.call
        seat = self._foreseen.pop(key, None)
        if seat is None:
            ready = statuses.get_fresh(card)
            if ready is not None:
                return ready
        self._has_asked_status = True
        status_read = statuses.prefetched(card, seat, call) if seat else statuses.read(card, call)
        return status_read if isinstance(status_read, StatusReading) else self._context.spawn(status_read)

    def as_of(self, name: ProviderName) -> datetime:
        """When a vault returned the data shown."""
        assert self._wallet is not None
        fetched_at = self._wallet.sources[name].fetched_at
        assert fetched_at is not None
        return fetched_at

    def view(self, wallet: Wallet, build: Callable[[Wallet], View]) -> View:
        """`build` once per wallet, shared by all requests that see the same methods."""
        if self._view is None or self._view[0] is not wallet:
            self._view = wallet, self._context.services.assembler.view(wallet, build)
        return self._view[1]  # type: ignore[return-value]

    def incomplete_sources(self) -> list[Mapping[str, Any]]:
        """The rows that make the response incomplete, for `extensions.sources`."""
        wallet = self._wallet
        if wallet is None:
            return []
        return [_echo(self.entry, row) for row in self._rows(wallet) if not row.is_harmless]

    def let_go(self) -> None:
        """End of the request: release the context, cancel unused prefetches. Then only `incomplete_sources` works."""
        context = self.__dict__.pop("_context", None)
        if context is not None and (self._has_asked_status or self._foreseen):
            context.services.reader.statuses.cancel_unused(self._foreseen.values())
            self._learn(context.asks)

    def _learn(self, question: Question | None) -> None:
        """Remember, for the next equal operation on the same lists, which statuses were needed and which were not."""
        needed: dict[ProviderName, list[MethodRef]] = {}
        for name, method_ref in self._statuses:
            needed.setdefault(name, []).append(method_ref)
        cancel_unused = {name for name, _ in self._foreseen}
        for name in cancel_unused.union(needed):
            reading = self._readings.get(name)
            if question is None or reading is None or reading.held is None:
                continue
            content = reading.held.content
            if content.foresight is None:
                content.foresight = PrefetchHints()
            if name in cancel_unused:
                content.foresight.forget(question)
            else:
                content.foresight.learn(question, needed[name])

    def _at_hand(self) -> Wallet | None:
        """The wallet if fresh snapshots contain all of it, without a task or a turn of the loop."""
        if self._wallet is not None and self._wanted <= self._covered:
            return self._wallet
        if self._absent_of is not None and self._absent_of <= self._wanted:
            return None
        is_reading = self._task is not None and not self._task.done()
        if is_reading or self._missing():
            self._absent_of = self._wanted
            return None
        wallet = self._assembled()
        if wallet.default.choice_change is not None:
            return None
        self._covered = self._wanted
        self._wallet = wallet
        return wallet

    async def _read(self, before: "asyncio.Task[Wallet] | None") -> Wallet:
        """Read the vaults that are wanted and not requested yet. `before` is the earlier read."""
        reader, call = self._context.services.reader, self._context.call
        missing, self._absent_of = self._missing(), None
        self._requested.update([name for name, _ in missing])
        seats = [reader.ask(name, ref, call) for name, ref in missing]
        for name, ref in missing:
            for method_ref, seat in reader.prefetch(name, ref, self._context.asks, call).items():
                self._foreseen[name, method_ref] = seat
        for (name, _), reading in zip(missing, await reader.answers(seats), strict=True):
            self._readings[name] = reading
        if before is not None:
            await _await_shared(before)
        wallet = self._wallet = self._assembled()
        if wallet.default.choice_change is not None and await self._context.services.note_choice(wallet.default):
            self.entry = replace(self.entry, choice=None)
            wallet = self._wallet = self._assembled()
        return wallet

    def _missing(self) -> list[tuple[ProviderName, CustomerRef]]:
        """The vaults to read. Fresh snapshots are used, and kept for the rest of the request."""
        reader = self._context.services.reader
        missing: list[tuple[ProviderName, CustomerRef]] = []
        for link in self.entry.links:
            name = link.provider
            is_known = name in self._readings or name in self._requested
            if is_known or name not in self._wanted or name not in reader.providers:
                continue
            ready = reader.get_fresh(name, link.customer_ref)
            if ready is None:
                missing.append((name, link.customer_ref))
            else:
                self._readings[name] = ready
        return missing

    def _assembled(self) -> Wallet:
        services = self._context.services
        return services.assembler.get_or_build(self.entry, self._readings, services.utc_now())

    def _may_read_more(self, wallet: Wallet) -> bool:
        """True if a pending field may still trigger an uncached vault or 3-D Secure read."""
        sources, statuses = wallet.sources, self._context.services.reader.statuses
        for row in sources.values():
            if row.state is SourceState.SKIPPED:
                return True
        asking = [name for name in statuses.vaults if sources[name].method_count]
        if asking:
            for one in wallet.methods:
                method = one.method
                if method.provider in asking and isinstance(method, Card) and statuses.must_ask(method):
                    return True
        return False

    async def _settle(self) -> None:
        """Wait for pending statuses, and let fields that awaited the same wallet continue, until they
        request no more.
        """
        while True:
            for status_read in self._pending():
                await _done_waiter(status_read)
            await _turns(_TURNS)
            if not self._pending():
                return

    def _pending(self) -> list["asyncio.Future[StatusReading]"]:
        return [one for one in self._statuses.values() if not isinstance(one, StatusReading) and not one.done()]

    def _rows(self, wallet: Wallet) -> list[SourceRow]:
        rows = list(wallet.sources.values())
        if not self._statuses:
            return rows
        unread = {name for (name, _), status_read in self._statuses.items() if _is_unread(status_read)}
        return [_with_statuses(row, row.provider in unread) for row in rows] if unread else rows


async def _await_shared(shared: "asyncio.Future[Made]") -> Made:
    """The task's result. Like `asyncio.shield`: cancelling the caller does not cancel the shared task."""
    await _done_waiter(shared)
    return shared.result()


def _done_waiter(shared: "asyncio.Future[Any]") -> "asyncio.Future[None]":
    """A future that is done when `shared` is."""
    waiter: asyncio.Future[None] = shared.get_loop().create_future()
    if shared.done():
        waiter.set_result(None)
    else:
        shared.add_done_callback(partial(_wake, waiter))
    return waiter


def _wake(waiter: "asyncio.Future[None]", shared: "asyncio.Future[Any]") -> None:
    if not waiter.done():
        waiter.set_result(None)
    elif not shared.cancelled():
        shared.exception()  # the waiter is gone: mark the exception as retrieved, or asyncio logs it


def _is_unread(status_read: "StatusReading | asyncio.Future[StatusReading]") -> bool:
    if isinstance(status_read, StatusReading):
        return status_read.failed
    is_done = status_read.done() and not status_read.cancelled() and status_read.exception() is None
    return is_done and status_read.result().failed


async def _turns(count: int) -> None:
    """Wait for `count` turns of the loop. Uses callbacks: waking a task for each turn would cost several
    times as much.
    """
    loop = asyncio.get_running_loop()
    turned = loop.create_future()
    loop.call_soon(_turn, loop, turned, count - 2)  # this callback and waking the task take one turn each
    await turned


def _turn(loop: asyncio.AbstractEventLoop, turned: "asyncio.Future[None]", left: int) -> None:
    if left:
        loop.call_soon(_turn, loop, turned, left - 1)
    elif not turned.done():
        turned.set_result(None)


def _with_statuses(row: SourceRow, is_unread: bool) -> SourceRow:
    if not is_unread or row.state is not SourceState.OK:
        return row
    message = "A card's 3-D Secure status could not be read."
    return replace(row, state=SourceState.PARTIAL, message=message)


def _echo(entry: DirectoryEntry, row: SourceRow) -> Mapping[str, Any]:
    shown = {
        "customerId": entry.customer.id,
        "provider": row.provider.name,
        "state": row.state.value,
        "message": row.message,
        "retryAfterSeconds": row.retry_after_seconds,
        "providerRequestId": row.provider_request_id,
    }
    return {key: value for key, value in shown.items() if value is not None}
