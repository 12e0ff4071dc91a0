"""Erases a customer: at every linked vault as far as it supports that, then in the store. A failed vault keeps its
link, for a retry."""

from app.errors import RejectReason, VaultRejected
from app.store import Connection, Transaction, erase_everywhere
from app.store.records import EventType, MethodAddress, NewEvent, OperationRecord, OperationState, WriteOutcome
from app.vault.enums import CustomerRef, ProviderCapability, ProviderName
from app.vault.provider import Call, VaultProvider
from app.wallet.commands import Actor, EraseCustomer, WriteResult
from app.wallet.problems import ProblemCode, WriteProblem, invalid, unsupported
from app.wallet.writes.delete import GONE, delete_method
from app.wallet.writes.handler import CompletedWrite, PreparedWrite, WriteHandler, row_of
from app.wallet.writes.intents import NO_FACTS, EraseCustomerIntent, HeldMethods, NoFacts
from app.wallet.writes.interrupts import WriteRefused
from app.wallet.writes.run import Applied, NotFound, ReconcileResult, WriteRun
from app.wallet.writes.vault_results import VaultResult, gather_results, run_at_vault, summary


class EraseCustomerHandler(WriteHandler[EraseCustomer, EraseCustomerIntent]):
    command = EraseCustomer
    mutation = "eraseCustomer"

    def prepare(
        self, tx: Connection, command: EraseCustomer, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[EraseCustomerIntent]:
        entry = self.entry_of(tx, command.customer_id, actor)
        if command.confirm_external_id != entry.customer.external_id:
            raise WriteRefused(invalid("This is not the customer's external id.", "confirm_external_id"))
        links = [(link.provider, link.customer_ref) for link in entry.links]
        return PreparedWrite(
            intent=EraseCustomerIntent(refs=tuple(links)),
            customer_id=entry.customer.id,
            entry=entry,
            provider=None,
            rows=tuple(
                row_of(number, name, OperationState.PENDING, WriteOutcome.UNKNOWN, customer_ref=ref)
                for number, (name, ref) in enumerate(links)
            ),
        )

    async def execute(self, run: WriteRun[EraseCustomerIntent]) -> CompletedWrite:
        endings = await gather_results(self._at_vault(run, name, ref) for name, ref in run.intent.refs)
        kept = [one.provider for one in endings if one.state is not OperationState.SUCCEEDED]
        customer_id = run.customer_id

        def apply(tx: Transaction) -> None:
            erase_everywhere(tx, customer_id, keep_links=kept)

        events = () if kept else (NewEvent(type=EventType.CUSTOMER_ERASED),)
        return summary(endings, WriteResult(customer_id=customer_id), apply=(apply,), events=events)

    async def _at_vault(self, run: WriteRun[EraseCustomerIntent], name: ProviderName, ref: CustomerRef) -> VaultResult:
        async def erase() -> CustomerRef:
            vault = self.deps.providers.get(name)
            if vault is None:
                raise WriteRefused(_disabled(name), is_final=False)
            if vault.capabilities.erases_customers:
                await self._erase_customer(run, vault, ref)
            elif ProviderCapability.DELETE in vault.capabilities.operations:
                await self._delete_all(run, vault, ref)
            else:
                raise WriteRefused(unsupported(name, "This vault can neither erase a customer nor delete a method."))
            return ref

        return await run_at_vault(name, erase)

    async def _erase_customer(self, run: WriteRun[EraseCustomerIntent], vault: VaultProvider, ref: CustomerRef) -> None:
        async def send(call: Call) -> NoFacts:
            await vault.erase_customer(ref, call)
            return NO_FACTS

        async def look(call: Call) -> ReconcileResult[NoFacts]:
            return NotFound() if await vault.customer_exists(ref, call) else Applied(NO_FACTS)

        await run.run_step(f"erase:{vault.name.value}", NoFacts, (vault.name, ref), send, look)

    async def _delete_all(self, run: WriteRun[EraseCustomerIntent], vault: VaultProvider, ref: CustomerRef) -> None:
        held = await run.read_once(f"held:{vault.name.value}", HeldMethods, lambda: self._held(run, vault, ref))
        for method_ref in held.refs:
            await delete_method(
                run, f"delete:{vault.name.value}:{method_ref}", MethodAddress(vault.name, ref, method_ref)
            )

    async def _held(self, run: WriteRun[EraseCustomerIntent], vault: VaultProvider, ref: CustomerRef) -> HeldMethods:
        """The methods to delete. An incomplete list is refused: unreadable methods would be reported as deleted."""
        try:
            wallet = await run.wallet(vault.name, ref)
        except VaultRejected as error:
            if error.reason is RejectReason.CUSTOMER_NOT_FOUND:
                return HeldMethods(refs=())
            raise
        if wallet.skipped or wallet.truncated:
            raise WriteRefused(_unreadable(vault.name), is_final=False)
        return HeldMethods(refs=tuple(one.method_ref for one in wallet.methods if one.status not in GONE))


def _disabled(name: ProviderName) -> WriteProblem:
    return WriteProblem(
        ProblemCode.PROVIDER_UNAVAILABLE, "This vault is not enabled here.", provider=name, retryable=True
    )


def _unreadable(name: ProviderName) -> WriteProblem:
    return WriteProblem(
        ProblemCode.PROVIDER_UNAVAILABLE,
        "Some of what the vault holds could not be read, so nothing there was deleted.",
        provider=name,
        retryable=True,
    )
