"""Walks all customers page by page, reads their linked vaults at a bounded pace, and compares. Holds one page."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeVar

from app.cli.operator_log import note
from app.cli.reconcile_file import ProgressFile, Row
from app.errors import VaultError
from app.store import Store, Transaction
from app.store.records import BY_ID, CustomerCriteria, CustomerPosition, DirectoryEntry, MethodAddress
from app.vault.enums import CustomerRef, ProviderName, SourceState
from app.vault.model import VaultWallet
from app.vault.provider import Call, CallMeter, VaultProvider
from app.wallet.changes.drift import (
    CheckedLink,
    Finding,
    FindingCode,
    clear_default,
    findings_of,
    store_gone,
    store_list,
)
from app.wallet.ids import Ids
from app.wallet.reads.reader import is_not_found, state_of

_log = logging.getLogger("vaultgraph.reconcile")
PAGE: Final = 100
_WITHIN_S: Final = 10.0
_FAILURES: Final = 5
_LISTS: Final = frozenset({FindingCode.METHOD_NOT_SEEN, FindingCode.METHOD_GONE})
T = TypeVar("T")


class Pace:
    """At most `concurrency` requests at once to one vault, and `calls_per_s` calls per second."""

    def __init__(self, calls_per_s: float, concurrency: int) -> None:
        self._interval_s = 1 / calls_per_s
        self._slots = asyncio.Semaphore(concurrency)
        self._next_at = 0.0

    async def run(self, work: Callable[[CallMeter], Awaitable[T]]) -> T:
        """`work` counts the calls that it makes, pages and retries included."""
        meter = CallMeter()
        async with self._slots:
            now = asyncio.get_running_loop().time()
            start = max(now, self._next_at)
            self._next_at = start + self._interval_s
            await asyncio.sleep(start - now)
            try:
                return await work(meter)
            finally:
                self._next_at += max(0, meter.calls - 1) * self._interval_s


@dataclass(slots=True)
class Totals:
    """`unread` counts the links that were not checked, by vault and reason."""

    checked: int = 0
    unread: dict[str, Counter[str]] = field(default_factory=dict)

    def as_row(self) -> Row:
        return {"checked": self.checked, "unread": self.unread}

    @classmethod
    def of(cls, row: Row) -> "Totals":
        unread = {name: Counter(counts) for name, counts in row["unread"].items()}
        return cls(row["checked"], unread)


class Reconciliation:
    """One run. `vaults` are the enabled ones, `only` those to be checked."""

    def __init__(
        self,
        store: Store,
        vaults: Mapping[ProviderName, VaultProvider],
        only: Collection[ProviderName],
        most_methods: Mapping[ProviderName, int],
        ids: Ids,
        progress: ProgressFile,
        *,
        calls_per_s: float,
        concurrency: int,
        applies: bool,
    ) -> None:
        self._store = store
        self._vaults = vaults
        self._only = only
        self._most = most_methods
        self._ids = ids
        self._progress = progress
        self._applies = applies
        self._paces = {name: Pace(calls_per_s, concurrency) for name in vaults}
        self._failures: Counter[ProviderName] = Counter()
        self.totals = Totals.of(progress.counts)

    async def run(self, advance: Callable[[int], None]) -> None:
        everyone, after = CustomerCriteria(), self._progress.after
        at = CustomerPosition(BY_ID, after) if after else None
        while True:
            page = await self._store.customer_search.find(everyone, first=PAGE, after=at)
            ids = [one.id for one in page.customers]
            advance(await self._page(ids))
            if ids:
                self._progress.finish_page(ids[-1], self.totals.as_row())
            if page.next is None:
                return
            at = page.next

    async def _page(self, ids: Sequence[str]) -> int:
        """Check one page of customers. Returns the number of links."""
        before, seen_before = await self._stored(ids)
        checked = await self._read(before)
        after, seen_after = await self._stored(ids)
        seen, throughout = seen_before | seen_after, seen_before & seen_after
        by_customer: dict[str, set[MethodAddress]] = {}
        for address, owner in throughout:
            by_customer.setdefault(owner, set()).add(address)
        every = {address for address, _ in seen}
        found: list[tuple[Finding, DirectoryEntry]] = []
        for customer_id, entry in after.items():
            if before.get(customer_id) != entry:
                continue  # changed meanwhile: the next run will see
            links = [link for link in entry.links if link.provider in self._only]
            own = {link.provider: checked[link.provider, link.customer_ref] for link in links}
            found += [(one, entry) for one in findings_of(entry, own, every, by_customer.get(customer_id, ()))]
        self._progress.add([self._row(one) for one, _ in found])
        for (provider, _), link in checked.items():
            if link.unread is None:
                self.totals.checked += 1
            else:
                self.totals.unread.setdefault(provider.value, Counter())[link.unread.value] += 1
        if self._applies:
            await self._apply(found, checked)
        return len(checked)

    async def _stored(self, ids: Sequence[str]) -> tuple[dict[str, DirectoryEntry], set[tuple[MethodAddress, str]]]:
        entries = await self._store.directory.entries(ids)
        observed = await self._store.observed_methods.of_customers(ids)
        addresses = {
            (MethodAddress(one.provider, one.customer_ref, one.method_ref), one.customer_id) for one in observed
        }
        return entries, addresses

    def _row(self, one: Finding) -> Row:
        vaults = {address.provider.value for address in one.methods}
        if one.provider is not None:
            vaults.add(one.provider.value)
        methods = [self._id_of(address) for address in one.methods]
        return {
            "key": _key(one),
            "code": one.code,
            "customer_id": one.customer_id,
            "vaults": sorted(vaults),
            "payment_method_ids": [one for one in methods if one],
            "message": one.message,
        }

    def _id_of(self, address: MethodAddress) -> str | None:
        try:
            return self._ids.encode_address(address)
        except ValueError:  # refs that are too long: the graph does not show such a method
            return None

    # ---- vaults --------------------------------------------------------------------------------------------------

    async def _read(self, entries: Mapping[str, DirectoryEntry]) -> dict[tuple[ProviderName, CustomerRef], CheckedLink]:
        refs: dict[ProviderName, list[CustomerRef]] = {}
        for entry in entries.values():
            for link in entry.links:
                if link.provider in self._only:
                    refs.setdefault(link.provider, []).append(link.customer_ref)
        batches = [
            (provider, of_vault[start : start + size])
            for provider, of_vault in refs.items()
            for size in [self._batch_limit(provider)]
            for start in range(0, len(of_vault), size)
        ]
        read = await asyncio.gather(*(self._read_batch(provider, batch) for provider, batch in batches))
        return {
            (provider, ref): link
            for (provider, batch), links in zip(batches, read, strict=True)
            for ref, link in zip(batch, links, strict=True)
        }

    def _batch_limit(self, provider: ProviderName) -> int:
        vault = self._vaults.get(provider)
        return 1 if vault is None else max(1, vault.capabilities.batch_limit)

    async def _read_batch(self, provider: ProviderName, refs: Sequence[CustomerRef]) -> list[CheckedLink]:
        vault = self._vaults.get(provider)
        if vault is None:
            return [_unread(SourceState.DISABLED)] * len(refs)
        if self._failures[provider] >= _FAILURES:
            return [_unread(SourceState.SKIPPED)] * len(refs)
        links = await self._paces[provider].run(lambda meter: self._ask(vault, refs, meter))
        if any(link.unread not in (None, SourceState.PARTIAL) for link in links):
            self._failures[provider] += 1
        else:
            self._failures[provider] = 0
        return links

    async def _ask(self, vault: VaultProvider, refs: Sequence[CustomerRef], meter: CallMeter) -> list[CheckedLink]:
        asked_at = datetime.now(UTC)
        deadline_at = asyncio.get_running_loop().time() + _WITHIN_S
        call = Call(deadline_at=deadline_at, request_id="vaultgraph-reconcile", client="reconcile", meter=meter)
        found: Mapping[CustomerRef, VaultWallet | VaultError]
        try:
            found = await vault.wallets(refs, call)
        except VaultError as error:
            found = dict.fromkeys(refs, error)
        except Exception:  # noqa: BLE001 - an adapter's bug: nothing is known about these links
            _log.exception("%s could not be read", vault.name)
            found = {}
        most = self._most[vault.name]
        return [_checked(found.get(ref), asked_at, most) for ref in refs]

    # ---- --apply -------------------------------------------------------------------------------------------------

    async def _apply(
        self,
        found: Sequence[tuple[Finding, DirectoryEntry]],
        checked: Mapping[tuple[ProviderName, CustomerRef], CheckedLink],
    ) -> None:
        stored: dict[tuple[str, ProviderName | None], bool] = {}
        for one, entry in found:
            is_done = False
            link = entry.link(one.provider) if one.provider else None
            if one.code is FindingCode.DEFAULT_GONE:
                is_done = await self._apply_default(entry)
            elif link is not None and one.code is FindingCode.CUSTOMER_GONE:
                is_done = await self._store.transaction(_store_gone, one.customer_id, link.provider, link.customer_ref)
            elif link is not None and one.code in _LISTS:
                where = one.customer_id, one.provider
                if where not in stored:
                    list_ = checked[link.provider, link.customer_ref]
                    stored[where] = await self._store.transaction(_store_list, one.customer_id, link.provider, list_)
                is_done = stored[where]
            self._progress.applied(_key(one), is_done=is_done)

    async def _apply_default(self, entry: DirectoryEntry) -> bool:
        """Read the vault a second time: one list never clears a default."""
        choice = entry.choice
        assert choice is not None
        asked_at = datetime.now(UTC)
        link = entry.link(choice.provider)
        if link is not None and link.customer_ref == choice.customer_ref:
            (again,) = await self._read_batch(choice.provider, [choice.customer_ref])
            asked_at = again.asked_at
            # A customer that the vault does not know has no list: with another tenant's credentials that is everyone.
            if again.wallet is None or any(one.method_ref == choice.method_ref for one in again.methods):
                return False

        def clear(tx: Transaction) -> bool:
            is_done = clear_default(tx, choice, asked_at=asked_at)
            if is_done:
                _note(tx, choice.customer_id, choice.provider, "default cleared")
            return is_done

        return await self._store.transaction(clear)


def _store_gone(tx: Transaction, customer_id: str, provider: ProviderName, ref: CustomerRef) -> bool:
    if store_gone(tx, provider, ref):
        _note(tx, customer_id, provider, "marked as not found")
    return True


def _store_list(tx: Transaction, customer_id: str, provider: ProviderName, link: CheckedLink) -> bool:
    is_done = store_list(tx, customer_id, link)
    if is_done:
        _note(tx, customer_id, provider, "list stored")
    return is_done


def _note(tx: Transaction, customer_id: str, provider: ProviderName, change: str) -> None:
    note(tx, "reconcile --apply", customer_id=customer_id, vault=provider.value, change=change)


def _key(one: Finding) -> str:
    methods = sorted(f"{address.provider}/{address.customer_ref}/{address.method_ref}" for address in one.methods)
    return "|".join((one.code, one.customer_id, one.provider or "", *methods))


def _unread(state: SourceState) -> CheckedLink:
    return CheckedLink(asked_at=datetime.now(UTC), unread=state)


def _checked(read: VaultWallet | VaultError | None, asked_at: datetime, most: int) -> CheckedLink:
    if isinstance(read, VaultWallet):
        if read.skipped or read.truncated or len(read.methods) > most:
            return CheckedLink(asked_at=asked_at, unread=SourceState.PARTIAL)
        return CheckedLink(asked_at=asked_at, wallet=read)
    if read is None:
        return CheckedLink(asked_at=asked_at, unread=SourceState.UNAVAILABLE)
    if is_not_found(read):
        return CheckedLink(asked_at=asked_at, is_gone=True)
    return CheckedLink(asked_at=asked_at, unread=state_of(read))
