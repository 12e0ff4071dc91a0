"""Moves pairs of payment methods: checks each row, links what is not linked, reads the new vault, stores the pair.

Holds one chunk of rows. Each row is a transaction of its own, and a row that is done is not sent anywhere again.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from app.cli.import_file import FileShape
from app.cli.local_gateway import OPERATOR, call_of_command, deadline_in
from app.cli.operator_log import note
from app.cli.reconcile_run import Pace
from app.errors import VaultError
from app.providers.registry import canonical_ref
from app.store import Transaction
from app.store.moves import Moved, MoveState, find_move, move_method
from app.store.records import DirectoryEntry, MethodAddress
from app.vault.enums import CustomerRef, MethodRef, PaymentMethodStatus, ProviderName
from app.vault.model import VaultWallet
from app.vault.pan import looks_like_card_number
from app.vault.provider import CallMeter, VaultProvider
from app.wallet.changes.drift import CheckedLink, store_list
from app.wallet.commands import LinkCustomer
from app.wallet.writes.wallets import read_wallet

if TYPE_CHECKING:
    from app.main import Gateway

_log = logging.getLogger("vaultgraph.move")
_SIDES: Final = ("old", "new")
_PARTS: Final = ("provider", "customer_ref", "method_ref")
COLUMNS: Final = tuple(f"{side}_{part}" for side in _SIDES for part in ("id", *_PARTS))
SHAPE: Final = FileShape(COLUMNS)
_WITHIN_S: Final = 10.0
Place = tuple[ProviderName, CustomerRef]


class RowRefused(ValueError):
    """A row that cannot be moved; the message never quotes a value."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a row. `state` is MOVED, READY (in a dry run: would be moved now), PENDING or REJECTED."""

    row: int
    state: str
    code: str = ""
    message: str = ""
    customer_id: str = ""
    has_default: bool = False


@dataclass(slots=True, kw_only=True)
class _Pair:
    row: int
    old: MethodAddress
    new: MethodAddress
    entry: DirectoryEntry
    needs_link: bool


class MoveRun:
    def __init__(self, gateway: "Gateway", *, applies: bool, calls_per_s: float) -> None:
        self._gateway = gateway
        self._store = gateway.store
        self._applies = applies
        self._paces = {name: Pace(calls_per_s, 4) for name in gateway.providers}

    async def chunk(self, first_row: int, rows: Sequence[Mapping[str, str]]) -> list[Outcome]:
        """The outcomes in the rows' order."""
        found: dict[int, Outcome] = {}
        pairs: list[_Pair] = []
        for number, values in enumerate(rows, start=first_row):
            try:
                prepared = await self._prepared(number, values)
                if isinstance(prepared, Outcome):
                    found[number] = prepared
                else:
                    pairs.append(prepared)
            except RowRefused as refused:
                found[number] = _rejected(number, refused)
        lists = await self._read(pairs)
        for pair in pairs:
            try:
                found[pair.row] = await self._move(pair, lists.get((pair.new.provider, pair.new.customer_ref)))
            except RowRefused as refused:
                found[pair.row] = _rejected(pair.row, refused, pair.entry.customer.id)
        return [found[number] for number in sorted(found)]

    # ---- before anything is written ------------------------------------------------------------------------------

    async def _prepared(self, row: int, values: Mapping[str, str]) -> "_Pair | Outcome":
        for name, value in values.items():
            if looks_like_card_number(value):
                raise RowRefused("PAN_NOT_ALLOWED", f"{name} holds a card number, which is not allowed there")
        old, new = (self._address(side, values) for side in _SIDES)
        if old == new:
            raise RowRefused("INVALID_INPUT", "both methods are the same")
        entry = await self._store.directory.entry_at(old.provider, old.customer_ref)
        if entry is None:
            raise RowRefused("NOT_LINKED", "no customer is linked to the old method's vault customer")
        known = await self._store.moves.find(old)
        if known is not None and known.new != new:
            raise RowRefused("CONFLICT", "the old method moves to another method already")
        if known is not None and known.done_at is not None:
            return Outcome(row=row, state="MOVED", message="moved before", customer_id=entry.customer.id)
        owner = (await self._store.directory.owners_of(new.provider, [new.customer_ref])).get(new.customer_ref)
        link = entry.link(new.provider)
        if owner not in (None, entry.customer.id):
            raise RowRefused("LINK_CONFLICT", "the new method's vault customer is linked to another customer")
        if owner is None and link is not None:
            raise RowRefused("LINK_CONFLICT", "the customer is linked to another customer of the new method's vault")
        return _Pair(row=row, old=old, new=new, entry=entry, needs_link=owner is None)

    def _address(self, side: str, values: Mapping[str, str]) -> MethodAddress:
        named = {part: values.get(f"{side}_{part}", "").strip() for part in ("id", *_PARTS)}
        if named["id"]:
            if any(named[part] for part in _PARTS):
                raise RowRefused("INVALID_INPUT", f"{side}_id and {side}_provider exclude each other")
            found = self._gateway.ids.decode(named["id"])
            if found is None:
                raise RowRefused("NOT_FOUND", f"{side}_id is not the id of a payment method")
            return found
        if missing := [f"{side}_{part}" for part in _PARTS if not named[part]]:
            raise RowRefused("REQUIRED", f"without {side}_id, {', '.join(missing)} is needed")
        try:
            provider = ProviderName(named["provider"].lower())
        except ValueError:
            raise RowRefused("INVALID_INPUT", f"{side}_provider is none of {', '.join(ProviderName)}") from None
        ref = canonical_ref(provider, named["customer_ref"])
        return MethodAddress(provider, ref, MethodRef(named["method_ref"]))

    # ---- the new vault's lists -----------------------------------------------------------------------------------

    async def _read(self, pairs: Sequence[_Pair]) -> dict[Place, CheckedLink]:
        """The lists of new methods that were not seen yet, each once; what a vault does not answer is absent."""
        wanted: dict[ProviderName, dict[CustomerRef, None]] = {}
        for pair in pairs:
            if not await self._store.moves.is_seen(pair.new):
                wanted.setdefault(pair.new.provider, {})[pair.new.customer_ref] = None
        batches = [
            (vault, list(refs)[start : start + size])
            for name, refs in wanted.items()
            if (vault := self._gateway.providers.get(name)) is not None
            for size in [max(1, vault.capabilities.batch_limit)]
            for start in range(0, len(refs), size)
        ]
        found: dict[Place, CheckedLink] = {}
        for part in await asyncio.gather(*(self._read_batch(vault, refs) for vault, refs in batches)):
            found.update(part)
        return found

    async def _read_batch(self, vault: VaultProvider, refs: Sequence[CustomerRef]) -> dict[Place, CheckedLink]:
        async def ask(meter: CallMeter) -> dict[Place, CheckedLink]:
            asked_at = datetime.now(UTC)
            call = replace(call_of_command(), deadline_at=deadline_in(_WITHIN_S), client="move", meter=meter)
            try:
                read = await vault.wallets(refs, call)
            except VaultError:
                return {}
            except Exception:  # noqa: BLE001 - an adapter's bug: nothing is known about these lists
                _log.exception("%s could not be read", vault.name)
                return {}
            return {
                (vault.name, ref): CheckedLink(asked_at=asked_at, wallet=wallet)
                for ref, wallet in read.items()
                if isinstance(wallet, VaultWallet) and not wallet.skipped and not wallet.truncated
            }

        return await self._paces[vault.name].run(ask)

    # ---- one row -------------------------------------------------------------------------------------------------

    async def _move(self, pair: _Pair, read: CheckedLink | None) -> Outcome:
        choice = pair.entry.choice
        done = Outcome(
            row=pair.row,
            state="READY",
            customer_id=pair.entry.customer.id,
            has_default=choice is not None and choice.address == pair.old,
        )
        if not self._applies:
            if _lists(read, pair.new) or await self._store.moves.is_seen(pair.new):
                return replace(done, message="with a new link" if pair.needs_link else "")
            return replace(done, state="PENDING", message=_why(read))
        if pair.needs_link:
            await self._link(pair)
        if choice is None:
            await self._keep_default(pair)
        moved = await self._store.transaction(_move, pair, read)
        if moved.state is MoveState.DONE:
            return replace(done, state="MOVED", has_default=moved.has_default)
        if moved.state is MoveState.PENDING:
            return replace(done, state="PENDING", message=_why(read), has_default=moved.has_default)
        raise RowRefused(moved.state.value, "the links changed meanwhile: run the command again")

    async def _link(self, pair: _Pair) -> None:
        """As `vaultgraph link`: the vault must know its customer, and the default by the rules is kept."""
        customer_id = pair.entry.customer.id
        key = sha256(f"{customer_id}|{pair.new.provider}|{pair.new.customer_ref}".encode()).hexdigest()[:40]
        write = LinkCustomer(
            customer_id=customer_id,
            idempotency_key=f"move:{key}",
            provider=pair.new.provider,
            customer_ref=pair.new.customer_ref,
        )
        result = await self._gateway.writer.run(write, OPERATOR, call_of_command())
        if result.problems:
            first = result.problems[0]
            raise RowRefused(first.code.value, f"the link could not be made: {first.message}")

    async def _keep_default(self, pair: _Pair) -> None:
        """Without a stored default the rules decide: keep the old method, if they choose it now, until the new one
        answers."""
        entry = await self._store.directory.entry(pair.entry.customer.id)
        if entry is None or entry.choice is not None:
            return
        call = replace(call_of_command(), deadline_at=deadline_in(_WITHIN_S), client="move")
        default = (await read_wallet(self._gateway.writer.deps, entry, call)).default_method
        if default is not None and default.address == pair.old:
            await self._store.directory.set_choice(entry.customer.id, pair.old, set_by=OPERATOR.id, is_kept=True)


def _move(tx: Transaction, pair: _Pair, read: CheckedLink | None) -> Moved:
    customer_id = pair.entry.customer.id
    if read is not None:
        store_list(tx, customer_id, read)
    is_new = find_move(tx, pair.old) is None
    moved = move_method(tx, pair.old, pair.new, moved_by=OPERATOR.id, is_listed=_lists(read, pair.new))
    if is_new or moved.state is MoveState.DONE:
        note(tx, "move --apply", customer_id=customer_id, vault=pair.new.provider.value, change=moved.state.value)
    return moved


def _lists(read: CheckedLink | None, method: MethodAddress) -> bool:
    listed = read.methods if read is not None else ()
    return any(one.method_ref == method.method_ref and one.status is PaymentMethodStatus.ACTIVE for one in listed)


def _why(read: CheckedLink | None) -> str:
    if read is None:
        return "the new vault's list could not be read completely"
    return "the new vault does not list the new method as ACTIVE yet"


def _rejected(row: int, refused: RowRefused, customer_id: str = "") -> Outcome:
    return Outcome(row=row, state="REJECTED", code=refused.code, message=str(refused), customer_id=customer_id)
