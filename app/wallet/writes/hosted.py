"""Creates a hosted session: a vault's page on which the customer pays or saves a method. Card numbers never reach the
gateway."""

from dataclasses import dataclass
from typing import Final

from app.store import Connection
from app.store.records import OperationRecord, OperationState, WriteOutcome
from app.vault.enums import ProviderCapability
from app.vault.payments import HostingVault, NewSession
from app.vault.provider import Call
from app.wallet.commands import Actor, CreateHostedSession, SessionPurpose, WriteResult
from app.wallet.problems import ProblemCode, WriteProblem, unsupported
from app.wallet.writes.handler import CompletedWrite, PreparedWrite, WriteHandler, row_of
from app.wallet.writes.intents import HostedSessionFacts, HostedSessionIntent
from app.wallet.writes.interrupts import WriteRefused
from app.wallet.writes.refusals import problems_of_faults
from app.wallet.writes.run import NotFound, ReconcileResult, WriteRun

_STEP: Final = "session"


@dataclass(frozen=True, slots=True)
class _Memory:
    """The session to create: its URLs are not stored."""

    new: NewSession | None = None


class CreateHostedSessionHandler(WriteHandler[CreateHostedSession, HostedSessionIntent]):
    """The page's URL and credential are returned once and never stored: a replay does not contain them."""

    command = CreateHostedSession
    mutation = "createHostedSession"

    def prepare(
        self, tx: Connection, command: CreateHostedSession, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[HostedSessionIntent]:
        entry = self.entry_of(tx, command.customer_id, actor)
        vault = self.vault_of(command.provider, "provider")
        if ProviderCapability.HOSTED_SESSION not in vault.capabilities.operations or not isinstance(
            vault, HostingVault
        ):
            raise WriteRefused(unsupported(command.provider, "This vault has no hosted pages.", "provider"))
        link = entry.link(command.provider)
        if link is None:
            message = "The customer is not linked at this vault."
            raise WriteRefused(WriteProblem(ProblemCode.NOT_LINKED, message, ("provider",)))
        new = NewSession(
            customer_ref=link.customer_ref,
            amount=command.amount,
            currency=command.currency,
            return_url=command.return_url,
            cancel_url=command.cancel_url,
            save=command.purpose is SessionPurpose.ADD,
        )
        if faults := vault.faults_of_session(new):
            raise WriteRefused(*problems_of_faults(faults))
        return PreparedWrite(
            intent=HostedSessionIntent(provider=command.provider, ref=link.customer_ref),
            customer_id=entry.customer.id,
            entry=entry,
            provider=command.provider,
            memory=_Memory(new),
        )

    async def execute(self, run: WriteRun[HostedSessionIntent]) -> CompletedWrite:
        name, ref = run.intent.provider, run.intent.ref
        new = run.memory(_Memory).new
        vault = run.vault(name)

        async def send(call: Call) -> HostedSessionFacts:
            assert isinstance(vault, HostingVault)
            assert new is not None
            made = await vault.create_session(new, call)
            run.next_action = made.next_action
            return HostedSessionFacts(session_ref=made.session_ref)

        async def look(call: Call) -> ReconcileResult[HostedSessionFacts]:
            return NotFound()  # an unused page takes no money, so another one can be created

        await run.run_step(_STEP, HostedSessionFacts, (name, ref), send if new is not None else None, look)
        row = row_of(0, name, OperationState.SUCCEEDED, WriteOutcome.APPLIED, customer_ref=ref)
        return CompletedWrite(result=WriteResult(customer_id=run.operation.customer_id), rows=(row,))
