"""One customer's wallet within one request: read once for all fields that ask, only at the vaults that they need."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from app.vault.model import Card
from app.vault.names import ProviderName, SourceState
from app.wallet.assemble import SourceRow, Wallet
from app.wallet.directory import DirectoryEntry
from app.wallet.reading import SourceReading, StatusReading
from resolvers.loaders import status_key

if TYPE_CHECKING:
    from resolvers.context import Context

View = TypeVar("View")

ALL: Final = frozenset(ProviderName)
_TURNS: Final = 4  # of the loop, until what waited for the same wallet has gone on and asked for more


class CustomerWallet:
    """Fields say what they need (`want`) while graphql-core is still starting their siblings, and await it afterwards.

    So all vaults that any field needs are read together, and `sources` can tell which ones nobody needed.
    """

    def __init__(self, context: "Context", entry: DirectoryEntry) -> None:
        self.entry = entry
        self._context = context
        self._wanted: frozenset[ProviderName] = frozenset()
        self._covered: frozenset[ProviderName] | None = None
        self._task: asyncio.Task[Wallet] | None = None
        self._statuses: dict[Any, tuple[ProviderName, asyncio.Future[StatusReading]]] = {}
        self._view: tuple[Wallet, object] | None = None

    def want(self, providers: Collection[ProviderName] = ALL) -> None:
        """Say what is needed: at once, not after an await."""
        self._wanted |= frozenset(providers)
        is_collecting = self._task is not None and self._covered is None
        if not is_collecting and (self._covered is None or not self._wanted <= self._covered):
            self._covered = None
            self._task = self._context.spawn(self._read())

    async def wallet(self) -> Wallet:
        """What was wanted so far. A field that is cancelled leaves the others' read alone."""
        if self._task is None:
            self.want()
        assert self._task is not None
        return await asyncio.shield(self._task)

    async def rows(self) -> list[SourceRow]:
        """One row per vault, once everything that this request asks of them is in."""
        await asyncio.sleep(0)
        if self._task is None:
            self.want()
        while True:
            task = self._task  # before waiting: whoever waits for the same may ask for more before we go on
            wallet = await self.wallet()
            if self._more_may_be_asked(wallet):
                await self._settle()
            if self._task is task:
                return self._rows(wallet)

    def status(self, card: Card) -> "asyncio.Future[StatusReading]":
        """The card's 3-D Secure status: asked once per request, however many fields show it; done where it is fresh."""
        key = status_key(card)
        if key not in self._statuses:
            self._statuses[key] = card.provider, self._ask_status(card)
        asked = self._statuses[key][1]
        return asked if asked.done() else asyncio.shield(asked)

    def _ask_status(self, card: Card) -> "asyncio.Future[StatusReading]":
        ready = self._context.services.reader.status_at_hand(card)
        if ready is None:
            return self._context.statuses.load(card)
        done: asyncio.Future[StatusReading] = asyncio.get_running_loop().create_future()
        done.set_result(ready)
        return done

    def view(self, wallet: Wallet, build: Callable[[Wallet], View], told_again: Callable[[View, Wallet], View]) -> View:
        """`build` once per wallet, and once for all requests that see the same methods."""
        if self._view is None or self._view[0] is not wallet:
            self._view = wallet, self._context.services.assembler.view(wallet, build, told_again)
        return self._view[1]  # type: ignore[return-value]

    def troubles(self) -> list[Mapping[str, Any]]:
        """The rows that make the answer incomplete, as they are echoed in `extensions.sources`."""
        task = self._task
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return []
        return [_echo(self.entry, row) for row in self._rows(task.result()) if not row.is_harmless]

    async def _read(self) -> Wallet:
        await asyncio.sleep(0)
        wanted = self._covered = self._wanted
        context, services = self._context, self._context.services
        links = [link for link in self.entry.links if link.provider in wanted and link.provider in context.vaults]
        readings: dict[ProviderName, SourceReading] = {}
        loads: dict[ProviderName, asyncio.Future[SourceReading]] = {}
        for link in links:
            vault = context.vaults[link.provider]
            if (ready := vault.at_hand(link.customer_ref)) is not None:
                readings[link.provider] = ready
            else:
                loads[link.provider] = vault.load(link.customer_ref)
        if loads:
            await asyncio.wait(loads.values())
            readings.update((name, load.result()) for name, load in loads.items())
        wallet = services.assembler.assemble(self.entry, readings, services.utc_now())
        if wallet.default.choice_is_gone:
            await services.directory.clear_gone_choice(self.entry)
        return wallet

    def _more_may_be_asked(self, wallet: Wallet) -> bool:
        reader = self._context.services.reader
        return any(row.state is SourceState.SKIPPED for row in wallet.sources.values()) or any(
            reader.asks_status(one.method) for one in wallet.methods
        )

    async def _settle(self) -> None:
        """Let the siblings that waited for the same wallet go on, and wait for the statuses that they ask for."""
        while True:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            pending = [future for _, future in self._statuses.values() if not future.done()]
            if not pending:
                return
            await asyncio.wait(pending)

    def _rows(self, wallet: Wallet) -> list[SourceRow]:
        unread = {
            name
            for name, future in self._statuses.values()
            if future.done() and not future.cancelled() and future.exception() is None and future.result().failed
        }
        return [_with_statuses(wallet.sources[name], name in unread) for name in ProviderName]


def _with_statuses(row: SourceRow, is_unread: bool) -> SourceRow:
    if not is_unread or row.state is not SourceState.OK:
        return row
    return replace(row, state=SourceState.PARTIAL, message="A card's 3-D Secure status could not be read.")


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
