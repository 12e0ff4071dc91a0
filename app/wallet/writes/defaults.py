"""Sets the default: first at the vault if it has one, then as the customer's choice."""

from typing import Any, Final

from app.store import Connection, Transaction
from app.store.directory import lock_choice, set_default_choice
from app.store.events import append_event
from app.store.records import EventType, MethodAddress, NewEvent, OperationRecord
from app.vault.enums import ProviderCapability
from app.vault.provider import Call
from app.wallet.commands import Actor, SetDefault, WriteResult
from app.wallet.defaults.kept_default import By, keep_default
from app.wallet.problems import ProblemCode, WriteProblem, not_found
from app.wallet.writes.deps import find
from app.wallet.writes.handler import Apply, CompletedWrite, PreparedWrite, WriteHandler, applied_row
from app.wallet.writes.intents import NO_FACTS, DefaultCheck, Intent, NoFacts, SetDefaultIntent
from app.wallet.writes.interrupts import WriteRefused
from app.wallet.writes.run import Applied, NotFound, ReconcileResult, WriteRun
from app.wallet.writes.wallets import effective_default, unfit_as_default

_PATH: Final = "payment_method_id"
NOT_MIRRORED: Final = WriteProblem(
    ProblemCode.DEFAULT_NOT_MIRRORED, "This vault has no default: only the gateway stores the choice."
)


class SetDefaultHandler(WriteHandler[SetDefault, SetDefaultIntent]):
    command = SetDefault
    mutation = "setDefaultPaymentMethod"
    changes_methods = True

    def prepare(
        self, tx: Connection, command: SetDefault, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[SetDefaultIntent]:
        entry = self.entry_of(tx, command.customer_id, actor)
        address = self.method_in(entry, command.method_id, _PATH)
        self.vault_of(address.provider, _PATH)
        return PreparedWrite(
            intent=SetDefaultIntent(
                refs=((address.provider, address.customer_ref),),
                method=address,
                allow_expired=command.allow_expired,
                mirror=command.mirror_to_provider,
            ),
            customer_id=entry.customer.id,
            entry=entry,
            provider=address.provider,
        )

    async def execute(self, run: WriteRun[SetDefaultIntent]) -> CompletedWrite:
        address = run.intent.method
        checked = await run.read_once("checked", DefaultCheck, lambda: self._check(run, address))
        if checked.mirror:
            await set_vault_default(run, address)
        return CompletedWrite(
            result=WriteResult(
                customer_id=run.customer_id,
                method=address,
                previous=checked.previous,
                warnings=(NOT_MIRRORED,) if checked.warn else (),
            ),
            rows=applied_row(address),
            apply=(choose(run, address, allow_expired=run.intent.allow_expired),),
        )

    async def _check(self, run: WriteRun[SetDefaultIntent], address: MethodAddress) -> DefaultCheck:
        """The vault must have the method now, and it must be usable as default. A vault that already marks it is not
        called."""
        wallet = await run.wallet(address.provider, address.customer_ref)
        method = find(wallet, address)
        if method is None:
            raise WriteRefused(not_found("The vault does not have this payment method.", _PATH))
        unfit = unfit_as_default(self.deps, method, _PATH, allow_expired=run.intent.allow_expired)
        if unfit is not None:
            raise WriteRefused(unfit)
        entry = await run.entry()
        previous = await effective_default(self.deps, entry, run.call) if entry else None
        can = mirrors(run, address)
        wants = run.intent.mirror
        return DefaultCheck(
            mirror=can and wants and not method.is_provider_default, warn=wants and not can, previous=previous
        )


def mirrors(run: WriteRun[Intent], address: MethodAddress) -> bool:
    return ProviderCapability.SET_DEFAULT in run.vault(address.provider).capabilities.operations


async def set_vault_default(run: WriteRun[Intent], address: MethodAddress, step: str = "default") -> None:
    """Set the vault's own default. Raises what `WriteRun.run_step` raises."""
    vault = run.vault(address.provider)

    async def send(call: Call) -> NoFacts:
        await vault.set_default(address.customer_ref, address.method_ref, call)
        return NO_FACTS

    async def look(call: Call) -> ReconcileResult[NoFacts]:
        held = find(await run.wallet(address.provider, address.customer_ref, call), address)
        return Applied(NO_FACTS) if held is not None and held.is_provider_default else NotFound()

    await run.run_step(step, NoFacts, (address.provider, address.customer_ref), send, look)


def choose(run: WriteRun[Intent], address: MethodAddress, *, allow_expired: bool = False) -> Apply:
    """Store it as the customer's choice, with an event if the default changes. A choice made after a resumed operation
    began is kept."""

    def apply(tx: Transaction) -> None:
        entry = None if run.is_resumed else run.known_entry
        known = entry.choice if entry is not None else lock_choice(tx, run.customer_id)
        if run.is_resumed and known is not None and known.set_at > run.operation.created_at:
            return
        set_default_choice(tx, run.customer_id, address, set_by=run.progress.by, allow_expired=allow_expired)
        if known is None or known.address != address:
            append_event(tx, run.attributed(method_event(EventType.DEFAULT_CHANGED, address)))

    return apply


def keeps(run: WriteRun[Intent], address: MethodAddress) -> Apply:
    """Store the default that the rules had chosen, so that the added method does not change it."""
    event = run.attributed(NewEvent(type=EventType.DEFAULT_CHANGED))
    by = By(actor=run.progress.by, origin=event.origin, request_id=event.request_id)
    return lambda tx: keep_default(tx, run.customer_id, address, by)


def method_event(kind: EventType, address: MethodAddress, **detail: Any) -> NewEvent:
    return NewEvent(
        type=kind,
        provider=address.provider,
        customer_ref=address.customer_ref,
        method_ref=address.method_ref,
        detail=detail,
    )
