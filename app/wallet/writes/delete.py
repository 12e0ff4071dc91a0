"""Deletes a payment method: sets another default first if requested, and lists remaining look-alikes."""

from typing import Any, Final

from app.store import Connection, Transaction
from app.store.directory import clear_default_choice, drop_method_names
from app.store.events import append_event
from app.store.records import DirectoryEntry, EventType, MethodAddress, OperationRecord, Topic
from app.vault.enums import DefaultState, PaymentMethodStatus, ProviderCapability
from app.vault.model import PaymentMethod
from app.vault.provider import Call
from app.vault.rules.lookalikes import look_of
from app.wallet.commands import Actor, DeleteMethod, IfDefault, WriteResult
from app.wallet.problems import ProblemCode, WriteProblem, invalid, not_found, unsupported
from app.wallet.writes.defaults import choose, method_event, mirrors, set_vault_default
from app.wallet.writes.deps import find
from app.wallet.writes.handler import CompletedWrite, PreparedWrite, WriteHandler, applied_row
from app.wallet.writes.intents import NO_FACTS, DeleteCheck, DeleteMethodIntent, Intent, NoFacts
from app.wallet.writes.interrupts import WriteRefused
from app.wallet.writes.run import Applied, NotFound, ReconcileResult, WriteRun
from app.wallet.writes.wallets import address_of_choice, lookalikes, read_wallet, unfit_as_default

_REPLACEMENT: Final = "replacement_default_id"
GONE: Final = frozenset({PaymentMethodStatus.INACTIVE, PaymentMethodStatus.DELETED})


class DeleteMethodHandler(WriteHandler[DeleteMethod, DeleteMethodIntent]):
    command = DeleteMethod
    mutation = "deletePaymentMethod"
    changes_methods = True

    def prepare(
        self, tx: Connection, command: DeleteMethod, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[DeleteMethodIntent]:
        address, entry = self.method_of(tx, command.method_id, actor, "id")
        vault = self.vault_of(address.provider, "id")
        if ProviderCapability.DELETE not in vault.capabilities.operations:
            raise WriteRefused(unsupported(vault.name, "This vault cannot delete payment methods.", "id"))
        replacement = self._replacement(command, address, entry)
        both = [address] if replacement is None else [address, replacement]
        return PreparedWrite(
            intent=DeleteMethodIntent(
                refs=tuple(dict.fromkeys((one.provider, one.customer_ref) for one in both)),
                method=address,
                replacement=replacement,
                if_default=command.if_default,
            ),
            customer_id=entry.customer.id,
            entry=entry,
            provider=address.provider,
        )

    def _replacement(
        self, command: DeleteMethod, address: MethodAddress, entry: DirectoryEntry
    ) -> MethodAddress | None:
        if command.replacement_id is None:
            return None
        found = self.method_in(entry, command.replacement_id, _REPLACEMENT)
        if found == address:
            raise WriteRefused(invalid("A method cannot replace itself.", _REPLACEMENT))
        self.vault_of(found.provider, _REPLACEMENT)
        return found

    async def execute(self, run: WriteRun[DeleteMethodIntent]) -> CompletedWrite:
        address, replacement = run.intent.method, run.intent.replacement
        checked = await run.read_once("checked", DeleteCheck, lambda: self._check(run, address, replacement))
        if replacement is not None:
            await self._replace(run, replacement, is_mirrored=checked.mirror)
        if not checked.gone:
            await delete_method(run, "delete", address)
        return await self._done(run, address, checked)

    async def _check(
        self, run: WriteRun[DeleteMethodIntent], address: MethodAddress, replacement: MethodAddress | None
    ) -> DeleteCheck:
        entry = await run.entry()
        held = find(await run.wallet(address.provider, address.customer_ref), address)
        if run.intent.if_default is IfDefault.REJECT and replacement is None and entry is not None:
            await self._refuse_default(run, entry, address)
        mirror = False
        if replacement is not None:
            other = find(await run.wallet(replacement.provider, replacement.customer_ref), replacement)
            self._refuse_unfit(other)
            mirror = mirrors(run, replacement) and other is not None and not other.is_provider_default
        return DeleteCheck(
            gone=held is None or held.status in GONE, look=look_of(held) if held else None, mirror=mirror
        )

    def _refuse_unfit(self, replacement: PaymentMethod | None) -> None:
        if replacement is None:
            raise WriteRefused(not_found("The vault does not have this payment method.", _REPLACEMENT))
        unfit = unfit_as_default(self.deps, replacement, _REPLACEMENT)
        if unfit is not None:
            raise WriteRefused(unfit)

    async def _refuse_default(
        self, run: WriteRun[DeleteMethodIntent], entry: DirectoryEntry, address: MethodAddress
    ) -> None:
        wallet = await read_wallet(self.deps, entry, run.call, force_fresh=(address.provider,))
        if wallet.default.state is DefaultState.UNKNOWN:
            raise WriteRefused(_default_unknown(), is_final=False)
        default = wallet.default_method
        if default is not None and default.address == address:
            raise WriteRefused(_in_use())

    async def _replace(
        self, run: WriteRun[DeleteMethodIntent], replacement: MethodAddress, *, is_mirrored: bool
    ) -> None:
        """Set the other default, at the vault and as choice, before the delete: a failed delete does not undo it."""
        if is_mirrored:
            await set_vault_default(run, replacement, "replace")
        entry = await run.entry()
        if entry is not None and address_of_choice(entry) != replacement:
            await self.deps.store.transaction(choose(run, replacement))
            run.forget_entry()
            self.deps.reached("replaced")

    async def _done(
        self, run: WriteRun[DeleteMethodIntent], address: MethodAddress, checked: DeleteCheck
    ) -> CompletedWrite:
        entry = await run.entry()
        alike: list[MethodAddress] = []
        if entry is not None and not run.is_resumed:
            alike = await lookalikes(self.deps, entry, checked.look, address, run.call)
        return CompletedWrite(
            result=WriteResult(customer_id=run.operation.customer_id, deleted=address, lookalikes=tuple(alike)),
            rows=applied_row(address),
            apply=(lambda tx: forget_method(tx, run, address),),
            events=() if checked.gone else (method_event(EventType.METHOD_DELETED, address),),
        )


def forget_method(tx: Transaction, run: WriteRun[Any], address: MethodAddress) -> None:
    """Clear what the gateway keeps of a method that its vault no longer has: its names, and the choice of it."""
    tx.touch(Topic.CUSTOMER, run.customer_id)
    if clear_default_choice(tx, run.customer_id, only_if=address) is not None:
        append_event(tx, run.attributed(method_event(EventType.DEFAULT_CHANGED, address)))
    drop_method_names(tx, run.customer_id, address)


def _in_use() -> WriteProblem:
    return WriteProblem(ProblemCode.METHOD_IN_USE, "The method is the customer's default.", ("id",))


def _default_unknown() -> WriteProblem:
    return WriteProblem(
        ProblemCode.DEFAULT_UNKNOWN,
        "Not every vault answered, so it is unknown whether this is the default.",
        ("if_default",),
        retryable=True,
    )


async def delete_method(run: WriteRun[Intent], step: str, address: MethodAddress) -> None:
    """Delete at the vault. Raises what `WriteRun.run_step` raises."""
    provider, ref, method_ref = address.provider, address.customer_ref, address.method_ref
    vault = run.vault(provider)

    async def send(call: Call) -> NoFacts:
        await vault.delete(ref, method_ref, call)
        return NO_FACTS

    async def look(call: Call) -> ReconcileResult[NoFacts]:
        held = find(await run.wallet(provider, ref, call), address)
        return Applied(NO_FACTS) if held is None or held.status in GONE else NotFound()

    await run.run_step(step, NoFacts, (provider, ref), send, look)
