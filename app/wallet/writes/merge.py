"""Merges a customer into another one: links, default, nicknames, events, writes and payments, in one transaction.

No vault is called: its customers and methods stay as they are. A conflict refuses the whole merge.
"""

from dataclasses import replace
from typing import Final

from app.store import Connection, Transaction
from app.store.directory_reads import stored_choice
from app.store.errors import CustomerUnknown
from app.store.events import append_event
from app.store.merging import lock_both, merge_conflicts, merge_customers
from app.store.records import (
    DirectoryEntry,
    EventType,
    LinkRecord,
    NewEvent,
    OperationRecord,
    OperationState,
    WriteOutcome,
)
from app.vault.enums import ProviderName
from app.wallet.commands import Actor, MergeCustomers, MergedCustomer, WriteResult
from app.wallet.problems import ProblemCode, WriteProblem, invalid, not_found
from app.wallet.writes.defaults import method_event
from app.wallet.writes.handler import CompletedWrite, PreparedWrite, WriteHandler, row_of
from app.wallet.writes.intents import MergeCustomersIntent
from app.wallet.writes.interrupts import WriteRefused
from app.wallet.writes.refusals import in_progress
from app.wallet.writes.run import WriteRun

_LONGEST_REASON: Final = 500


class MergeCustomersHandler(WriteHandler[MergeCustomers, MergeCustomersIntent]):
    command = MergeCustomers
    mutation = "mergeCustomers"

    def prepare(
        self, tx: Connection, command: MergeCustomers, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[MergeCustomersIntent]:
        if actor.is_end_user:
            raise WriteRefused(not_found("There is no such customer.", "from_id"))
        if command.from_id == command.into_id:
            raise WriteRefused(invalid("A customer cannot be merged into itself.", "into_id"))
        if command.reason is not None and len(command.reason) > _LONGEST_REASON:
            raise WriteRefused(invalid(f"A reason has at most {_LONGEST_REASON} characters.", "reason"))
        merged = self.entry_of(tx, command.from_id, actor, "from_id")
        into = self.entry_of(tx, command.into_id, actor, "into_id")
        self._refuse_conflicts(tx, merged, into, command.keep_default_of)
        links = (*merged.links, *into.links)
        return PreparedWrite(
            intent=MergeCustomersIntent(
                refs=tuple((link.provider, link.customer_ref) for link in links),
                from_id=merged.customer.id,
                into_id=into.customer.id,
                keep_default_of=command.keep_default_of,
                reason=command.reason,
            ),
            customer_id=into.customer.id,
            entry=into,
            provider=None,
        )

    async def execute(self, run: WriteRun[MergeCustomersIntent]) -> CompletedWrite:
        entry = await self.deps.store.directory.entry(run.intent.from_id)
        links = entry.links if entry else ()
        rows = tuple(
            row_of(
                number,
                link.provider,
                OperationState.SUCCEEDED,
                WriteOutcome.APPLIED,
                customer_ref=link.customer_ref,
            )
            for number, link in enumerate(links)
        )
        return CompletedWrite(
            result=WriteResult(customer_id=run.intent.into_id), rows=rows, apply=(lambda tx: self._apply(tx, run),)
        )

    def _apply(self, tx: Transaction, run: WriteRun[MergeCustomersIntent]) -> None:
        """Everything is checked again, with both customers locked. Raises WriteRefused."""
        asked = run.intent
        try:
            merged, into = lock_both(tx, asked.from_id, asked.into_id)
        except CustomerUnknown:
            raise WriteRefused(not_found("There is no such customer any more.")) from None
        self._refuse_conflicts(tx, merged, into, asked.keep_default_of)
        keeps = None if asked.keep_default_of is None else asked.keep_default_of is MergedCustomer.FROM
        moved = merge_customers(tx, merged, into, keeps_merged_choice=keeps, merged_by=run.progress.by)
        choice = stored_choice(tx, asked.into_id)
        if choice is not None and (into.choice is None or into.choice.address != choice.address):
            append_event(tx, run.attributed(method_event(EventType.DEFAULT_CHANGED, choice.address)))
        for link in moved:
            self._tell(tx, run, asked.from_id, link, is_linked=False)
            self._tell(tx, run, asked.into_id, link, is_linked=True)
        if not moved:
            self._tell(tx, run, asked.from_id, None, is_linked=False)

    def _tell(
        self,
        tx: Transaction,
        run: WriteRun[MergeCustomersIntent],
        customer_id: str,
        link: LinkRecord | None,
        *,
        is_linked: bool,
    ) -> None:
        """Streams of the merged customer end with the event; the caches that show the link read it again."""
        event = NewEvent(
            type=EventType.LINK_CHANGED,
            provider=link.provider if link else None,
            customer_ref=link.customer_ref if link else None,
            detail={"linked": is_linked, "merged": True},
        )
        append_event(tx, replace(run.attributed(event), customer_id=customer_id))

    def _refuse_conflicts(
        self, db: Connection, merged: DirectoryEntry, into: DirectoryEntry, keep: MergedCustomer | None
    ) -> None:
        found = merge_conflicts(db, merged, into, mutation=self.mutation)
        problems = [_two_links(name) for name in found.links]
        if found.has_two_choices and keep is None:
            problems.append(_TWO_DEFAULTS)
        if problems:
            raise WriteRefused(*problems)
        if found.is_busy:
            raise WriteRefused(in_progress(), is_final=False)


_TWO_DEFAULTS: Final = WriteProblem(
    ProblemCode.DEFAULT_REQUIRED,
    "Both customers have chosen a default: say with keepDefaultOf whose is kept.",
    ("keep_default_of",),
)


def _two_links(name: ProviderName) -> WriteProblem:
    return WriteProblem(
        ProblemCode.LINK_CONFLICT,
        f"Both customers have a link to {name.name}, and a customer has one link to each vault. Decide which record "
        "there is theirs, and unlink the other one first.",
        ("from_id",),
        provider=name,
    )
