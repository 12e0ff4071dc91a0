"""Adds a payment method: duplicate check, the vault's customer if missing, the add, the default."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from app.errors import FieldFault
from app.store import Connection, Transaction
from app.store.records import EventType, MethodAddress, NewEvent, OperationRecord, OperationState, WriteOutcome
from app.vault.enums import SourceState
from app.vault.provider import VaultProvider
from app.wallet.commands import Actor, AddMethod, WriteResult
from app.wallet.problems import WriteProblem, invalid, not_found, unsupported
from app.wallet.reads.build_wallet import Wallet
from app.wallet.writes import provision
from app.wallet.writes.adding import (
    AddingHandler,
    MethodToAdd,
    OneAdded,
    keeps_names,
    method_digest,
    not_linked,
    path_in,
    with_title,
)
from app.wallet.writes.defaults import keeps, method_event
from app.wallet.writes.delete import forget_method
from app.wallet.writes.handler import Apply, CompletedWrite, PreparedWrite, applied_row
from app.wallet.writes.intents import AddMethodIntent, BeforeAddNote
from app.wallet.writes.interrupts import WriteRefused
from app.wallet.writes.run import WriteRun
from app.wallet.writes.wallets import alike_in, duplicate_warnings, read_wallet, with_short_deadline

_NOT_LINKED = "The customer is not linked to this vault: link it, or add with `provision`."


class AddMethodHandler(AddingHandler[AddMethod, AddMethodIntent]):
    command = AddMethod
    mutation = "addPaymentMethod"

    def digest(self, command: AddMethod) -> Mapping[str, Any]:
        reference = command.card_on_file_reference
        return {
            **({} if reference is None else {"card_on_file_reference": reference}),
            **({} if command.consent is None else {"consent": command.consent}),
            "customer_id": command.customer_id,
            "method": method_digest(command.method),
            "nickname": command.nickname,
            "make_default": command.make_default,
            "provision": command.provision,
            "on_duplicate": command.on_duplicate,
        }

    def path_of(self, intent: AddMethodIntent, fault: FieldFault) -> tuple[str, ...]:
        return path_in(intent, fault)

    def prepare(
        self, tx: Connection, command: AddMethod, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[AddMethodIntent]:
        entry = self.entry_of(tx, command.customer_id, actor)
        name = command.method.provider
        vault = self.vault_of(name, *command.method_path)
        link = entry.link(name)
        new, memory = with_title(command, vault), provision.ProvisionMemory()
        if link is None:
            if not command.provision:
                raise WriteRefused(not_linked(name, _NOT_LINKED))
            new, customer = provision.prepared(vault, entry, new, command.card_on_file_reference)
            memory = provision.ProvisionMemory(customer)
        ref = link.customer_ref if link else provision.lock_ref(entry.customer.id)
        intent = self.intent_of(command, vault, ref)
        is_created = link is None or known is not None  # an operation that runs again may have linked it
        problems = self.problems_of_add(command, vault, new, intent)
        if problems := (*problems, *_misplaced_reference(command, vault, is_created)):
            raise WriteRefused(*problems)
        return PreparedWrite(
            intent=intent, customer_id=entry.customer.id, entry=entry, provider=name, new=new, memory=memory
        )

    async def execute(self, run: WriteRun[AddMethodIntent]) -> CompletedWrite:
        name = run.intent.provider
        entry = await run.entry()
        if entry is None:
            raise WriteRefused(not_found("There is no such customer.", "customer_id"))
        link = entry.link(name)
        if provision.is_profile(run, name, link):
            added = OneAdded(await provision.create_with_method(run, name), was_duplicate=False)
        else:
            ref = link.customer_ref if link else await provision.create(run, name)
            added = await self.add_one(run, MethodToAdd(run.intent, run.new), ref)
            run.next_action = added.next_action
        return await self._follow_up(run, added)

    async def _follow_up(self, run: WriteRun[AddMethodIntent], added: OneAdded) -> CompletedWrite:
        address = added.address
        entry = await run.entry()
        gone: list[MethodAddress] = []
        problems: tuple[WriteProblem, ...] = ()
        warnings: tuple[WriteProblem, ...] = ()
        applies: tuple[Apply, ...] = ()
        if run.intent.make_default:
            problems, warnings, applies = await self.make_default(run, address)
        if entry is not None and not added.was_duplicate:
            is_chosen = bool(applies) or (entry.choice is not None and not entry.choice.is_kept)
            # Wait longer for slow vaults if the default may change; less if only look-alikes are wanted.
            wallet = await read_wallet(self.deps, entry, with_short_deadline(run.call) if is_chosen else run.call)
            if not run.is_resumed:
                warnings = (*warnings, *duplicate_warnings(alike_in(wallet, address)))
            at = address.provider, address.customer_ref
            kept = None if is_chosen else self.replaced_default(run, wallet, lambda one: one == address, at, "before")
            if kept is not None:
                applies = (keeps(run, kept),)
            gone = self._replaced_methods(run, wallet, address)
            applies = (*(partial(_forget, run=run, address=one) for one in gone), *applies)
        applies = (*applies, *keeps_names(run, address, run.intent))
        return CompletedWrite(
            result=WriteResult(
                customer_id=run.customer_id,
                method=address,
                was_duplicate=added.was_duplicate,
                problems=problems,
                warnings=warnings,
            ),
            state=OperationState.PARTIAL if problems else OperationState.SUCCEEDED,
            outcome=WriteOutcome.APPLIED,
            rows=applied_row(address),
            apply=applies,
            events=() if added.was_duplicate else tuple(_events(address, gone)),
        )

    def _replaced_methods(
        self, run: WriteRun[AddMethodIntent], wallet: Wallet, added: MethodAddress
    ) -> list[MethodAddress]:
        """The methods that the vault has replaced by the added one, as far as a complete list shows."""
        before = run.progress.notes.get("before")
        if not run.intent.replaces_others or not isinstance(before, BeforeAddNote):
            return []
        if wallet.sources[added.provider].state is not SourceState.OK:
            return []
        now = {one.method.method_ref for one in wallet.methods if one.method.provider is added.provider}
        return [replace(added, method_ref=ref) for ref in before.refs if ref not in now]


def _events(added: MethodAddress, gone: list[MethodAddress]) -> Iterator[NewEvent]:
    yield method_event(EventType.METHOD_ADDED, added)
    for one in gone:
        yield method_event(EventType.METHOD_DELETED, one)


def _forget(tx: Transaction, *, run: WriteRun[AddMethodIntent], address: MethodAddress) -> None:
    forget_method(tx, run, address)


def _misplaced_reference(command: AddMethod, vault: VaultProvider, is_created: bool) -> tuple[WriteProblem, ...]:
    if command.card_on_file_reference is None:
        return ()
    path = "card_on_file_reference"
    if not vault.capabilities.keeps_profiles:
        return (unsupported(vault.name, "This vault keeps no such reference.", path),)
    if not is_created:
        return (invalid("It can be set only when the customer is created in the vault, with `provision`.", path),)
    return ()
