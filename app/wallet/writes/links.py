"""Links a vault's customer to a customer of the gateway, and unlinks it: for staff and backends, not for end users."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from app.store import Connection, Transaction
from app.store.directory import link_customer, unlink_customer
from app.store.errors import LinkConflict, UnstorableText
from app.store.journal import mark_operation
from app.store.journal_reads import operations_of_customer
from app.store.records import (
    EventType,
    LinkConflictReason,
    LinkRecord,
    MethodAddress,
    NewEvent,
    OperationRecord,
    OperationState,
    WriteOutcome,
)
from app.store.text import is_storable
from app.vault.enums import CustomerRef, LinkProof, ProviderName
from app.wallet.commands import Actor, LinkCustomer, UnlinkCustomer, WriteResult
from app.wallet.defaults.kept_default import default_taken_away
from app.wallet.problems import invalid, not_found
from app.wallet.writes.defaults import keeps
from app.wallet.writes.handler import CompletedWrite, PreparedWrite, WriteHandler, row_of
from app.wallet.writes.intents import LinkCustomerIntent, UnlinkCustomerIntent
from app.wallet.writes.interrupts import WriteRefused
from app.wallet.writes.provision import link_conflict
from app.wallet.writes.run import WriteRun
from app.wallet.writes.wallets import read_wallet, with_short_deadline

_LONGEST_REF: Final = 255
_LONGEST_REASON: Final = 500


class LinkCustomerHandler(WriteHandler[LinkCustomer, LinkCustomerIntent]):
    command = LinkCustomer
    mutation = "linkProviderCustomer"

    def prepare(
        self, tx: Connection, command: LinkCustomer, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[LinkCustomerIntent]:
        _refuse_end_users(actor)
        entry = self.entry_of(tx, command.customer_id, actor)
        vault = self.vault_of(command.provider, "provider")
        ref = command.customer_ref
        if not ref or len(ref.encode("utf-8", "surrogatepass")) > _LONGEST_REF or not is_storable(ref):
            raise WriteRefused(invalid("This is not a valid customer key of a vault.", "customer_ref"))
        ref = vault.canonical_ref(ref)
        return PreparedWrite(
            intent=LinkCustomerIntent(refs=((command.provider, ref),), provider=command.provider, ref=ref),
            customer_id=entry.customer.id,
            entry=entry,
            provider=command.provider,
        )

    async def execute(self, run: WriteRun[LinkCustomerIntent]) -> CompletedWrite:
        name, ref = run.intent.provider, run.intent.ref
        await self._refuse_conflicts(run, name, ref)
        if not await run.vault(name).customer_exists(ref, run.call):
            raise WriteRefused(not_found("The vault does not know this customer.", "customer_ref"))
        link = _link(run, self.deps.utc_now())
        result = WriteResult(customer_id=run.operation.customer_id, link=link)
        kept = await self._replaced_default(run, link)

        def apply(tx: Transaction) -> None:
            self._apply(tx, run, name, ref)
            if kept is not None:
                keeps(run, kept)(tx)

        event = NewEvent(type=EventType.LINK_CHANGED, provider=name, customer_ref=ref, detail={"linked": True})
        row = row_of(0, name, OperationState.SUCCEEDED, WriteOutcome.APPLIED, customer_ref=ref)
        return CompletedWrite(result=result, rows=(row,), apply=(apply,), events=(event,))

    async def _replaced_default(self, run: WriteRun[LinkCustomerIntent], link: LinkRecord) -> MethodAddress | None:
        """The default by the rules that the vault's methods would replace."""
        entry = await self.deps.store.directory.entry(link.customer_id)
        if entry is None or not entry.links or entry.link(link.provider) is not None:
            return None
        linked = replace(entry, links=(*entry.links, link))
        wallet = await read_wallet(self.deps, linked, with_short_deadline(run.call))
        place = (link.provider, link.customer_ref)
        return default_taken_away(wallet, lambda one: (one.provider, one.customer_ref) == place, self.deps.rules)

    async def _refuse_conflicts(self, run: WriteRun[LinkCustomerIntent], name: ProviderName, ref: CustomerRef) -> None:
        """Early check, before the vault is asked; the store's constraints decide in the end."""
        customer_id = run.customer_id
        owner = (await self.deps.store.directory.owners_of(name, [ref])).get(ref)
        if owner not in (None, customer_id):
            raise WriteRefused(link_conflict(name, LinkConflictReason.REF_TAKEN, "customer_ref"))
        entry = await self.deps.store.directory.entry(customer_id)
        linked = entry.link(name) if entry else None
        if linked is not None and linked.customer_ref != ref:
            raise WriteRefused(link_conflict(name, LinkConflictReason.CUSTOMER_LINKED, "provider"))

    def _apply(self, tx: Transaction, run: WriteRun[LinkCustomerIntent], name: ProviderName, ref: CustomerRef) -> None:
        customer_id, proof = run.customer_id, LinkProof.TRUSTED_BACKEND
        try:
            link_customer(tx, customer_id, name, ref, proof=proof, linked_by=run.progress.by)
        except LinkConflict as conflict:
            raise WriteRefused(link_conflict(name, conflict.reason, "customer_ref")) from None
        except UnstorableText:
            raise WriteRefused(invalid("This is not a valid customer key of a vault.", "customer_ref")) from None
        for waiting in operations_of_customer(tx, customer_id):
            # An UNKNOWN create is decided once an operator links the created record: look it up again.
            if waiting.provider is name and waiting.state is OperationState.UNKNOWN and waiting.reconcile_at is None:
                mark_operation(
                    tx,
                    waiting,
                    OperationState.UNKNOWN,
                    outcome=WriteOutcome.UNKNOWN,
                    reconcile_at=self.deps.utc_now(),
                )


class UnlinkCustomerHandler(WriteHandler[UnlinkCustomer, UnlinkCustomerIntent]):
    command = UnlinkCustomer
    mutation = "unlinkProviderCustomer"

    def prepare(
        self, tx: Connection, command: UnlinkCustomer, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[UnlinkCustomerIntent]:
        _refuse_end_users(actor)
        entry = self.entry_of(tx, command.customer_id, actor)
        if len(command.reason) > _LONGEST_REASON:
            raise WriteRefused(invalid(f"A reason has at most {_LONGEST_REASON} characters.", "reason"))
        link = entry.link(command.provider)
        return PreparedWrite(
            intent=UnlinkCustomerIntent(
                refs=((command.provider, link.customer_ref),) if link else (),
                provider=command.provider,
                reason=command.reason,
            ),
            customer_id=entry.customer.id,
            entry=entry,
            provider=command.provider,
        )

    async def execute(self, run: WriteRun[UnlinkCustomerIntent]) -> CompletedWrite:
        name, customer_id = run.intent.provider, run.customer_id
        entry = await self.deps.store.directory.entry(customer_id)
        link = entry.link(name) if entry else None
        ref = link.customer_ref if link else None
        row = row_of(0, name, OperationState.SUCCEEDED, WriteOutcome.APPLIED, customer_ref=ref)
        if link is None:
            return CompletedWrite(result=WriteResult(customer_id=customer_id), rows=(row,))

        def apply(tx: Transaction) -> None:
            unlink_customer(tx, customer_id, name)

        event = NewEvent(
            type=EventType.LINK_CHANGED, provider=name, customer_ref=link.customer_ref, detail={"linked": False}
        )
        self.deps.drop(name, link.customer_ref)
        return CompletedWrite(result=WriteResult(customer_id=customer_id), rows=(row,), apply=(apply,), events=(event,))


def _refuse_end_users(actor: Actor) -> None:
    if actor.is_end_user:
        raise WriteRefused(not_found("There is no such customer.", "customer_id"))


def _link(run: WriteRun[LinkCustomerIntent], now: datetime) -> LinkRecord:
    """The link to be stored; a replay shows the directory's own record."""
    return LinkRecord(
        customer_id=run.customer_id,
        provider=run.intent.provider,
        customer_ref=run.intent.ref,
        proof=LinkProof.TRUSTED_BACKEND,
        linked_at=now,
        linked_by=run.progress.by,
    )
