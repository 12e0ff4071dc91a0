"""Adds several methods of one vault as one write, in one vault call where the vault can; each has its own result.

One call is one step of the journal, sent once for all its methods; otherwise each method has a step, in the items'
order. The same key runs again only the items that were not added.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from app.errors import OutcomeUnknown
from app.store import Connection
from app.store.records import EventType, MethodAddress, OperationRecord, OperationState, WriteOutcome
from app.vault.enums import CustomerRef, MethodRef
from app.vault.model import BeforeAdd, NewCard, NewMethod, NextAction
from app.vault.provider import BatchAddingVault, Call, VaultProvider
from app.wallet.commands import Actor, AddMethod, AddMethods, ItemResult, WriteResult
from app.wallet.problems import WriteProblem, invalid, not_found
from app.wallet.writes.adding import (
    AddingHandler,
    MethodToAdd,
    OneAdded,
    claimed_refs,
    existing_of,
    keeps_names,
    method_digest,
    not_linked,
    path_in,
    with_title,
)
from app.wallet.writes.defaults import keeps, method_event
from app.wallet.writes.deps import loop_time, until
from app.wallet.writes.handler import CompletedWrite, PreparedWrite, row_of
from app.wallet.writes.intents import AddMethodsIntent, BeforeAddNote, EarlierItems, MethodsFacts
from app.wallet.writes.interrupts import NotApplied, NothingSent, StillUnknown, WriteRefused
from app.wallet.writes.match_new_method import assign, candidates
from app.wallet.writes.refusals import in_progress, outcome_unknown
from app.wallet.writes.run import Ambiguous, Applied, NotFound, PartlyApplied, ReconcileResult, WriteRun
from app.wallet.writes.vault_results import VaultResult, rows_summary, run_at_vault
from app.wallet.writes.wallets import read_wallet

MOST_ITEMS: Final = 10
_TOGETHER: Final = "add"
_NOT_LINKED: Final = (
    "The customer is not linked to this vault: link it, or add the first method with `addPaymentMethod`."
)

Run = WriteRun[AddMethodsIntent]


@dataclass(slots=True)
class _Memory:
    """The methods to add, and what the last look at a lost call showed of them, by item."""

    news: tuple[NewMethod, ...] = ()
    seen: dict[int, MethodRef] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Ended:
    """One item's result: `added` is set if the vault has the method now."""

    result: VaultResult
    added: OneAdded | None = None

    def to_item(self, number: int) -> ItemResult:
        added = self.added
        return ItemResult(
            state=self.result.state,
            outcome=self.result.outcome,
            method=added.address if added else None,
            was_duplicate=bool(added and added.was_duplicate),
            problems=tuple(_at_item(number, one) for one in self.result.problems),
            next_action=added.next_action if added else None,
        )


class AddMethodsHandler(AddingHandler[AddMethods, AddMethodsIntent]):
    command = AddMethods
    mutation = "addPaymentMethods"

    def digest(self, command: AddMethods) -> Mapping[str, Any]:
        items = [
            {
                "method": method_digest(one.method),
                "nickname": one.nickname,
                "make_default": one.make_default,
                **({} if one.consent is None else {"consent": one.consent}),
            }
            for one in command.items
        ]
        return {"customer_id": command.customer_id, "on_duplicate": command.on_duplicate, "items": items}

    # ---- checks without a vault call ----

    def prepare(
        self, tx: Connection, command: AddMethods, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[AddMethodsIntent]:
        items = command.items
        if not 1 <= len(items) <= MOST_ITEMS:
            raise WriteRefused(invalid(f"There must be 1 to {MOST_ITEMS} items.", "items"))
        name = items[0].method.provider
        entry = self.entry_of(tx, command.customer_id, actor)
        vault = self.vault_of(name, "items", "0", *items[0].method_path)
        if problems := tuple(_faults_of_list(items)):
            raise WriteRefused(*problems)
        link = entry.link(name)
        if link is None:
            raise WriteRefused(not_linked(name, _NOT_LINKED))
        news = tuple(with_title(one, vault) for one in items)
        intents = tuple(self.intent_of(one, vault, link.customer_ref) for one in items)
        parts = zip(items, news, intents, strict=True)
        found = [
            _at_item(number, problem)
            for number, (one, new, intent) in enumerate(parts)
            for problem in self.problems_of_add(one, vault, new, intent)
        ]
        if found:
            raise WriteRefused(*found)
        return PreparedWrite(
            intent=AddMethodsIntent(refs=((name, link.customer_ref),), provider=name, items=intents),
            customer_id=entry.customer.id,
            entry=entry,
            provider=name,
            rows=tuple(row_of(at, name, OperationState.PENDING, WriteOutcome.UNKNOWN) for at in range(len(items))),
            memory=_Memory(news),
        )

    # ---- execution ----

    async def execute(self, run: Run) -> CompletedWrite:
        if await run.entry() is None:
            raise WriteRefused(not_found("There is no such customer.", "customer_id"))
        ((_, ref),) = run.intent.refs
        earlier = await run.read_once("earlier", EarlierItems, partial(self._earlier, run))
        known, news = dict(earlier.methods), run.memory(_Memory).news
        adds = {
            at: MethodToAdd(intent, news[at] if news else None, f"before:{at}", f"{_TOGETHER}:{at}")
            for at, intent in enumerate(run.intent.items)
            if at not in known
        }
        add = self._add_together if self._is_together(run, adds.values()) else self._add_each
        done = await self._done(run, ref, await add(run, adds, ref), earlier)
        items = done.result.items
        return replace(done, rows=tuple(replace(row, was_duplicate=items[row.row].was_duplicate) for row in done.rows))

    async def _earlier(self, run: Run) -> EarlierItems:
        page = await self.deps.store.journal.results(run.operation.id, first=MOST_ITEMS)
        done = [row for row in page.rows if row.state is OperationState.SUCCEEDED and row.method_ref is not None]
        return EarlierItems(
            methods=tuple((row.row, row.method_ref) for row in done if row.method_ref is not None),
            no_default=next((row.row for row in done if row.error is not None), None),
        )

    async def _earlier_items(self, run: Run, ref: CustomerRef, earlier: EarlierItems) -> dict[int, ItemResult]:
        if not earlier.methods:
            return {}
        page = await self.deps.store.journal.results(run.operation.id, first=MOST_ITEMS)
        duplicates = {row.row for row in page.rows if row.was_duplicate}
        return {
            at: ItemResult(
                state=OperationState.SUCCEEDED,
                outcome=WriteOutcome.APPLIED,
                method=MethodAddress(run.intent.provider, ref, method_ref),
                was_duplicate=at in duplicates,
            )
            for at, method_ref in earlier.methods
        }

    def _is_together(self, run: Run, adds: Collection[MethodToAdd]) -> bool:
        """As an earlier process has begun it, else in one call if the vault can."""
        begun = {*run.progress.doing, *run.progress.done}
        if _TOGETHER in begun or any(step.startswith(f"{_TOGETHER}:") for step in begun):
            return _TOGETHER in begun
        vault = run.vault(run.intent.provider)
        if not isinstance(vault, BatchAddingVault) or not 1 < len(adds) <= vault.capabilities.add_limit:
            return False
        return vault.can_add_all([one.new for one in adds if one.new is not None])

    async def _add_each(self, run: Run, adds: Mapping[int, MethodToAdd], ref: CustomerRef) -> dict[int, _Ended]:
        """One after the other: each looks at the vault's list before it. After an unknown outcome no further item is
        sent, because it could not be distinguished."""
        ended: dict[int, _Ended] = {}
        for at, one in adds.items():
            found: list[OneAdded] = []

            async def work(one: MethodToAdd = one, found: list[OneAdded] = found) -> CustomerRef:
                begun = one.step in run.progress.doing or one.step in run.progress.done
                if not begun and any(each.result.state is OperationState.UNKNOWN for each in ended.values()):
                    raise WriteRefused(in_progress(), is_final=False)
                found.append(await self.add_one(run, one, ref))
                return ref

            run.call = until(run.call, loop_time() + self.deps.deadline_s([run.intent.provider]))
            result = await run_at_vault(run.intent.provider, work, path_of=partial(path_in, one.intent))
            ended[at] = _ended(result, found[0] if found else None)
        return ended

    async def _add_together(self, run: Run, adds: Mapping[int, MethodToAdd], ref: CustomerRef) -> dict[int, _Ended]:
        ended: dict[int, _Ended] = {}
        to_send: dict[int, MethodToAdd] = {}
        befores: dict[int, BeforeAdd] = {}
        for at, one in adds.items():
            found: list[OneAdded] = []

            async def work(at: int = at, one: MethodToAdd = one, found: list[OneAdded] = found) -> CustomerRef:
                read = partial(self._read_together, run, adds, befores, at, ref)
                existing = existing_of(one.intent, await run.read_once(one.note, BeforeAddNote, read), ref)
                if existing is not None:
                    found.append(OneAdded(existing, was_duplicate=True))
                return ref

            result = await run_at_vault(run.intent.provider, work, path_of=partial(path_in, one.intent))
            if found or result.state is not OperationState.SUCCEEDED:
                ended[at] = _ended(result, found[0] if found else None)
            else:
                to_send[at] = one
        return ended if not to_send else {**ended, **await self._send_together(run, to_send, ref)}

    async def _read_together(
        self, run: Run, adds: Mapping[int, MethodToAdd], befores: dict[int, BeforeAdd], at: int, ref: CustomerRef
    ) -> BeforeAddNote:
        """All items' state before the call, from one list."""
        if not befores:
            found = await _batch(run).before_add_all(ref, _news_of(adds.values()), run.call)
            befores.update(zip(adds, found, strict=True))
        return await self.checked_before(run, adds[at], ref, befores[at])

    async def _send_together(self, run: Run, adds: Mapping[int, MethodToAdd], ref: CustomerRef) -> dict[int, _Ended]:
        name, ones = run.intent.provider, list(adds.values())
        before = _note(run, ones[0])
        actions: list[NextAction | None] = [None] * len(ones)
        found: list[MethodsFacts] = []

        async def send(call: Call) -> MethodsFacts:
            default = next((at for at, one in enumerate(ones) if one.intent.make_default), None)
            known = BeforeAdd(method_refs=frozenset(before.refs), default_ref=before.default)
            added = await _batch(run).add_all(ref, _news_of(ones), known, default, call)
            refs = tuple(one.method_ref for one in added)
            if len(set(refs)) != len(ones) or not known.method_refs.isdisjoint(refs):
                raise OutcomeUnknown(name, "The vault did not return one new method for each.")
            actions[:] = [one.next_action for one in added]
            return MethodsFacts(method_refs=refs)

        async def work() -> CustomerRef:
            is_known = all(one.new is not None for one in ones)
            look = partial(self._look_together, run, adds, ref, before)
            found.append(await run.run_step(_TOGETHER, MethodsFacts, (name, ref), send if is_known else None, look))
            return ref

        result = await run_at_vault(name, work, path_of=lambda _: ())
        made: Sequence[MethodRef | None] = found[0].method_refs if found else [None] * len(ones)
        seen = run.memory(_Memory).seen if result.state is OperationState.UNKNOWN else {}
        ended: dict[int, _Ended] = {}
        for at, method_ref, action in zip(adds, made, actions, strict=True):
            held = method_ref or seen.get(at)
            if held is not None:
                ended[at] = _ended(_succeeded(run, ref), OneAdded(MethodAddress(name, ref, held), False, action))
            elif found:  # the others are there, and this one is not
                ended[at] = _Ended(await run_at_vault(name, partial(_raise, NotApplied(name))))
            else:
                ended[at] = _Ended(result)
        return ended

    async def _look_together(
        self, run: Run, adds: Mapping[int, MethodToAdd], ref: CustomerRef, before: BeforeAddNote, call: Call
    ) -> ReconcileResult[MethodsFacts]:
        name = run.intent.provider
        wallet = await run.wallet(name, ref, call)
        claimed = await claimed_refs(run, name, ref)
        options = {
            at: candidates(before.refs, wallet.methods, one.intent.look, claimed, self.deps.digest_keys)
            for at, one in adds.items()
        }
        if any(len(found) > 1 for found in options.values()) and all(one.new is not None for one in adds.values()):
            after = await _batch(run).before_add_all(ref, _news_of(adds.values()), call)
            for at, state in zip(adds, after, strict=True):
                options[at] = [one for one in options[at] if one == state.duplicate_of] or options[at]
        if wallet.skipped or wallet.truncated:
            unreadable = await self.unreadable(run, next(iter(adds.values())), ref, wallet, before.refs, call)
            options = {at: found or unreadable for at, found in options.items()}
        found = assign(options)
        run.memory(_Memory).seen = found
        if any(refs and at not in found for at, refs in options.items()):
            return Ambiguous(tuple(sorted({one for refs in options.values() for one in refs})))
        facts = MethodsFacts(method_refs=tuple(found.get(at) for at in adds))
        if len(found) == len(adds):
            return Applied(facts)
        return PartlyApplied(facts) if found else NotFound()

    # ---- after the adds ----

    async def _done(
        self, run: Run, ref: CustomerRef, ended: dict[int, _Ended], earlier: EarlierItems
    ) -> CompletedWrite:
        settled = [OperationState.SUCCEEDED] * len(earlier.methods)
        done = rows_summary({at: one.result for at, one in ended.items()}, settled)
        items = {at: one.to_item(at) for at, one in ended.items()}
        items |= await self._earlier_items(run, ref, earlier)
        added = {at: one.added for at, one in ended.items() if one.added is not None}
        applies = [apply for at, one in added.items() for apply in keeps_names(run, one.address, run.intent.items[at])]
        new = {at: one.address for at, one in added.items() if not one.was_duplicate}
        done = replace(done, apply=tuple(applies), result=self._result(run, items))
        if done.state is OperationState.UNKNOWN:
            return done
        done = replace(done, events=tuple(method_event(EventType.METHOD_ADDED, one) for one in new.values()))
        chosen = next((at for at in added if run.intent.items[at].make_default), earlier.no_default)
        if chosen is not None:
            return await self._with_default(run, done, items, chosen)
        return await self._with_kept_default(run, done, frozenset(new.values()), next(iter(new), None))

    def _result(self, run: Run, items: Mapping[int, ItemResult]) -> WriteResult:
        ordered = tuple(items[at] for at in sorted(items))
        problems = tuple(problem for one in ordered for problem in one.problems)
        return WriteResult(customer_id=run.customer_id, items=ordered, problems=problems)

    async def _with_default(
        self, run: Run, done: CompletedWrite, items: dict[int, ItemResult], at: int
    ) -> CompletedWrite:
        address = items[at].method
        assert address is not None
        try:
            problems, warnings, applies = await self.make_default(run, address)
        except StillUnknown as unknown:
            problem = replace(outcome_unknown(unknown.provider, unknown.error), path=("make_default",))
            items[at] = replace(items[at], problems=(_at_item(at, problem),))
            return replace(
                done,
                state=OperationState.UNKNOWN,
                outcome=WriteOutcome.UNKNOWN,
                for_person=unknown.for_person,
                look_at=unknown.look_at,
                result=self._result(run, items),
                events=(),
            )
        items[at] = replace(items[at], problems=tuple(_at_item(at, one) for one in problems))
        # The row keeps the problem, so that a repeat of the key sets the default too.
        row = row_of(
            at,
            address.provider,
            items[at].state,
            items[at].outcome,
            customer_ref=address.customer_ref,
            method_ref=address.method_ref,
            problem=items[at].problems[0] if problems else None,
        )
        is_whole = done.state is OperationState.SUCCEEDED and not problems
        return replace(
            done,
            state=OperationState.SUCCEEDED if is_whole else OperationState.PARTIAL,
            result=replace(self._result(run, items), warnings=tuple(_at_item(at, one) for one in warnings)),
            rows=(*(one for one in done.rows if one.row != at), row),
            apply=(*done.apply, *applies),
        )

    async def _with_kept_default(
        self, run: Run, done: CompletedWrite, new: Collection[MethodAddress], first: int | None
    ) -> CompletedWrite:
        entry = await run.entry()
        if first is None or entry is None or (entry.choice is not None and not entry.choice.is_kept):
            return done
        wallet = await read_wallet(self.deps, entry, run.call)
        ((name, ref),) = run.intent.refs
        kept = self.replaced_default(run, wallet, lambda one: one in new, (name, ref), f"before:{first}")
        return done if kept is None else replace(done, apply=(*done.apply, keeps(run, kept)))


def _faults_of_list(items: Sequence[AddMethod]) -> Iterator[WriteProblem]:
    """Rules over several items."""
    defaults = 0
    for at, one in enumerate(items):
        if one.method.provider is not items[0].method.provider:
            yield invalid("All items must be for the same vault.", "items", str(at), *one.method_path)
        elif any(_is_same(one.method, other.method) for other in items[:at]):
            yield invalid("An item before has the same token or number.", "items", str(at), *one.method_path)
        if isinstance(one.method, NewCard) and one.method.replace_existing and len(items) > 1:
            yield invalid("It would replace the other items.", "items", str(at), *one.method_path, "replace_existing")
        defaults += one.make_default
        if one.make_default and defaults > 1:
            yield invalid("Only one method can be the default.", "items", str(at), "make_default")


def _is_same(one: NewMethod, other: NewMethod) -> bool:
    """The samples of a vault show one token for a card and an account: only equal kinds are compared."""
    return one.kind is other.kind and one.secret == other.secret


def _at_item(number: int, problem: WriteProblem) -> WriteProblem:
    return replace(problem, path=("items", str(number), *problem.path))


def _ended(result: VaultResult, added: OneAdded | None) -> _Ended:
    return _Ended(result if added is None else replace(result, method_ref=added.address.method_ref), added)


def _succeeded(run: Run, ref: CustomerRef) -> VaultResult:
    return VaultResult(
        provider=run.intent.provider,
        state=OperationState.SUCCEEDED,
        outcome=WriteOutcome.APPLIED,
        customer_ref=ref,
    )


def _note(run: Run, one: MethodToAdd) -> BeforeAddNote:
    found = run.progress.notes[one.note]
    assert isinstance(found, BeforeAddNote)
    return found


def _batch(run: Run) -> BatchAddingVault:
    """Raises StillUnknown if this process's adapter cannot do what an earlier one has begun."""
    vault: VaultProvider = run.vault(run.intent.provider)
    if not isinstance(vault, BatchAddingVault):
        raise StillUnknown(run.intent.provider)
    return vault


def _news_of(ones: Collection[MethodToAdd]) -> list[NewMethod]:
    """Raises NothingSent in a resumed run."""
    news = [one.new for one in ones if one.new is not None]
    if len(news) != len(ones):
        raise NothingSent
    return news


async def _raise(error: Exception) -> CustomerRef:
    raise error
