"""Captures: the second of a payment's two phases, which moves the quoted money once.

No vault call reads a payment, so a lost answer cannot be looked up: the payment stays UNKNOWN until the vault's webhook
or an operator reports its outcome. A capture is sent only for a QUOTED payment, and the transaction before sending ends
that state, so no key can send a second one. Only a capture that was certainly not sent returns to QUOTED.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from app.errors import (
    InvalidRequest,
    OutcomeUnknown,
    UnsupportedByVault,
    VaultError,
    VaultRefusedUs,
    VaultRejected,
    VaultUnavailable,
)
from app.store import Connection, Transaction
from app.store.payment_attempts import add_attempt, attempt_by_ref, attempts_of_payment
from app.store.payments import change_payment, find_payment, lock_payment
from app.store.records import (
    EventOrigin,
    MethodAddress,
    OperationRecord,
    OperationState,
    PaymentRecord,
    PaymentState,
    ResultRow,
    WriteOutcome,
)
from app.vault.enums import PaymentMethodKind, ProviderName
from app.vault.payments import NewPayment, Quote
from app.vault.provider import Call
from app.vault.rules.payment_state import has_ended_unpaid, has_moved_money, is_open
from app.wallet.commands import Actor, CapturePayment, WriteResult
from app.wallet.problems import WriteProblem, not_found
from app.wallet.writes.backup_methods import (
    FALLBACK,
    NOTE,
    CaptureRun,
    NoLongerOpen,
    backup_quote,
    capture_step,
    first_attempt,
    kind_of,
    last_decline,
    most_of,
    new_payment,
    problem_of_late_attempt,
    problems_of_backup,
    quote_step,
    record_decline,
    record_unsent,
    start_attempt,
)
from app.wallet.writes.deps import find, loop_time, until
from app.wallet.writes.handler import CompletedWrite, PreparedWrite, WriteHandler, row_of
from app.wallet.writes.intents import (
    BackupMethods,
    BackupQuoteFacts,
    CaptureFacts,
    CapturePaymentIntent,
)
from app.wallet.writes.interrupts import StillUnknown, WriteRefused
from app.wallet.writes.pay import checked_quote, paying_vault
from app.wallet.writes.payment_status import (
    StatusUpdate,
    capture_result_of,
    capture_unknown,
    exclusive_of,
    is_decided,
    quote_of,
    settle_payment,
    unpaid,
)
from app.wallet.writes.run import Ambiguous, Applied, NotFound, ReconcileResult
from app.wallet.writes.wallets import unfit_as_default

_NEVER_SENT: Final = (InvalidRequest, UnsupportedByVault, VaultUnavailable)
"""Errors that prove that the request was not sent."""
_NEW_QUOTE_NEEDED: Final = "To pay, request a new quote."


@dataclass(slots=True)
class _Memory:
    """The vault's answer to the capture, and why no backup method was tried after it, for `settle`."""

    report: CaptureFacts | None = None
    late: tuple[WriteProblem, ...] = ()


class CapturePaymentHandler(WriteHandler[CapturePayment, CapturePaymentIntent]):
    """`settle` decides the outcome from the payment's current state, including reports that arrived meanwhile."""

    command = CapturePayment
    mutation = "capturePayment"

    def prepare(
        self, tx: Connection, command: CapturePayment, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[CapturePaymentIntent]:
        payment = find_payment(tx, command.payment_id)
        if payment is None or not actor.may_see(payment.customer_id):
            raise WriteRefused(not_found("There is no such payment.", "payment_id"))
        if has_ended_unpaid(payment.state):
            raise WriteRefused(unpaid(payment))
        if not has_moved_money(payment.state):
            paying_vault(self, payment.method.provider)
        fallback = self._backup_methods(tx, command, actor, payment)
        return PreparedWrite(
            intent=CapturePaymentIntent(
                payment_id=payment.id, fallback=fallback, most=most_of(payment, command.max_total) if fallback else 0
            ),
            customer_id=payment.customer_id,
            provider=payment.method.provider,
            exclusive=exclusive_of(payment.id),
        )

    def _backup_methods(
        self, tx: Connection, command: CapturePayment, actor: Actor, payment: PaymentRecord
    ) -> tuple[MethodAddress, ...]:
        if not command.fallback:
            return ()
        entry = self.entry_of(tx, payment.customer_id, actor, FALLBACK)
        found = tuple(
            self.method_in(entry, named, FALLBACK, str(place)) for place, named in enumerate(command.fallback)
        )
        for place, address in enumerate(found):
            paying_vault(self, address.provider, FALLBACK, str(place))
        if problems := tuple(problems_of_backup(payment, found, command.max_total)):
            raise WriteRefused(*problems)
        return found

    def digest(self, command: CapturePayment) -> Mapping[str, Any]:
        asked = dict(super().digest(command))
        if command.fallback:  # ids made with different keys are the same input
            asked["fallback"] = [self.deps.ids.decode(one) or one for one in command.fallback]
        return asked

    async def execute(self, run: CaptureRun) -> CompletedWrite:
        payment = await self.deps.store.payments.payment(run.intent.payment_id)
        if payment is None:
            raise WriteRefused(not_found("There is no such payment.", "payment_id"))
        if run.is_resumed or payment.state is PaymentState.QUOTED:
            try:
                facts: CaptureFacts | None = await self._pay(run, payment)
            except NoLongerOpen:
                payment = await self.deps.store.payments.payment(payment.id) or payment
                facts = last_decline(run) if payment.state is PaymentState.PROCESSING else None
            if facts is not None:
                memory = run.memory(_Memory)
                memory.report = facts
                return _captured(payment, memory.late)
        if not is_decided(payment):  # sent by no known operation
            raise StillUnknown(payment.method.provider, for_person=True)
        return _captured(payment)

    async def _pay(self, run: CaptureRun, payment: PaymentRecord) -> CaptureFacts:
        """Send the capture, and those of the backup methods, each after a decline of the one before."""
        fallback = run.intent.fallback
        if fallback:
            await run.read_once(NOTE, BackupMethods, lambda: self._kinds(run, payment))

        def claim(tx: Transaction) -> None:
            """Ends QUOTED: from here on a capture may have been sent, so none is sent again."""
            current = lock_payment(tx, payment.id)
            if current is None or current.state is not PaymentState.QUOTED:
                raise NoLongerOpen
            values = {"state": PaymentState.PROCESSING.value, "capture_id": run.operation.id}
            change_payment(tx, payment.id, values)
            if fallback:
                add_attempt(tx, first_attempt(tx, current))

        facts = await self._capture(run, 1, payment.method.provider, quote_of(payment), claim)
        for number, address in enumerate(fallback, start=2):
            if facts.state is not PaymentState.DECLINED:
                break
            if (late := problem_of_late_attempt(run, number, self.deps.utc_now())) is not None:
                run.memory(_Memory).late = (late,)
                break
            run.call = until(run.call, loop_time() + self.deps.deadline_s([address.provider]))
            new = new_payment(run, number, payment)
            quoted = await self._quote_backup(run, number, address, new)
            if not quoted.is_refused:
                start = partial(start_attempt, run=run, number=number)
                facts = await self._capture(run, number, address.provider, backup_quote(quoted, new), start)
        return facts

    async def _kinds(self, run: CaptureRun, payment: PaymentRecord) -> BackupMethods:
        """All of them are usable now; otherwise nothing is sent."""
        kinds: list[PaymentMethodKind] = []
        for place, address in enumerate(run.intent.fallback):
            method = find(await run.wallet(address.provider, address.customer_ref), address)
            if method is None:
                message = "The vault does not have this payment method."
                raise WriteRefused(not_found(message, FALLBACK, str(place)), is_final=False)
            if unfit := unfit_as_default(self.deps, method, FALLBACK, str(place)):
                raise WriteRefused(unfit, is_final=False)
            kinds.append(kind_of(method))
        return BackupMethods(kinds=tuple(kinds))

    async def _quote_backup(
        self, run: CaptureRun, number: int, address: MethodAddress, new: NewPayment
    ) -> BackupQuoteFacts:
        vault = paying_vault(self, address.provider, FALLBACK, str(number - 2))

        async def send(call: Call) -> BackupQuoteFacts:
            try:
                quote = await checked_quote(self.deps.store, vault, address.provider, new, call)
            except VaultRejected as refused:
                return BackupQuoteFacts(is_refused=True, decline_code=refused.provider_code)
            return BackupQuoteFacts(
                is_refused=quote.total > run.intent.most,
                payment_ref=quote.payment_ref,
                fee=quote.fee,
                total=quote.total,
            )

        async def look(call: Call) -> ReconcileResult[BackupQuoteFacts]:
            return NotFound()  # a quote moves no money: a lost one can be ignored

        decline = partial(record_decline, run=run, number=number)
        return await run.run_step(quote_step(number), BackupQuoteFacts, (address.provider, None), send, look, decline)

    async def _capture(
        self, run: CaptureRun, number: int, provider: ProviderName, quote: Quote, claim: Callable[[Transaction], None]
    ) -> CaptureFacts:
        """Send a capture, unless it was sent before. The outcome is kept for `settle`."""
        vault = paying_vault(self, provider)
        never_sent = PaymentState.QUOTED if number == 1 else PaymentState.CANCELED

        async def send(call: Call) -> CaptureFacts:
            try:
                captured = await vault.capture(quote, call)
            except _NEVER_SENT:
                run.memory(_Memory).report = CaptureFacts(state=never_sent)
                raise
            except (VaultRejected, VaultRefusedUs) as refused:
                run.memory(_Memory).report = CaptureFacts(
                    state=PaymentState.CANCELED, decline_code=refused.provider_code
                )
                raise
            except OutcomeUnknown:
                raise
            except VaultError as error:
                raise OutcomeUnknown(error.provider, provider_code=error.provider_code) from None
            return CaptureFacts(state=captured.state, decline_code=captured.decline_code, answered=captured.answered)

        async def look(call: Call) -> ReconcileResult[CaptureFacts]:
            """No vault call reads a payment: only reports received since count."""
            payments = self.deps.store.payments
            current = await payments.payment(run.intent.payment_id)
            if current is not None and is_decided(current):
                return Applied(CaptureFacts())
            if run.intent.fallback:
                attempt = await payments.attempt_by_ref(run.intent.payment_id, quote.payment_ref)
                if attempt is not None and attempt.state is PaymentState.DECLINED:
                    return Applied(CaptureFacts(state=attempt.state, decline_code=attempt.decline_code))
            return Ambiguous()

        return await run.run_step(capture_step(number), CaptureFacts, (provider, None), send, look, claim)

    def settle(self, tx: Transaction, run: CaptureRun, done: CompletedWrite) -> CompletedWrite:
        report = run.memory(_Memory).report
        if report is None and done.state is OperationState.FAILED:  # no backup method could be quoted
            report = last_decline(run)
        if report is None and done.state is OperationState.UNKNOWN and last_decline(run) is None:
            report = CaptureFacts(state=PaymentState.UNKNOWN)
        if run.intent.fallback and report is not None:
            record_unsent(tx, run)
            report = self._with_reported_decline(tx, run.intent.payment_id, report)
        update = None
        if report is not None and report.state is not None:
            update = StatusUpdate(
                state=report.state,
                origin=EventOrigin.RECONCILIATION if run.is_resumed else EventOrigin.GATEWAY,
                actor=run.progress.by,
                request_id=run.operation.request_id,
                decline_code=report.decline_code,
                answered=report.answered,
            )
        return self._settle_with(tx, run.intent.payment_id, update, done, has_attempts=bool(run.intent.fallback))

    def _with_reported_decline(self, tx: Transaction, payment_id: str, report: CaptureFacts) -> CaptureFacts:
        """A webhook's decline that waited for this operation outweighs an answer that leaves the payment open."""
        payment = lock_payment(tx, payment_id)
        attempt = attempt_by_ref(tx, payment_id, payment.payment_ref) if payment else None
        if (
            attempt is None
            or attempt.state is not PaymentState.DECLINED
            or not (report.state and is_open(report.state))
        ):
            return report
        return CaptureFacts(state=attempt.state, decline_code=attempt.decline_code)

    def settle_unread(self, tx: Transaction, operation: OperationRecord, done: CompletedWrite) -> CompletedWrite:
        """Settles the payment from the operation's other columns."""
        payment_id = (operation.exclusive or "").removeprefix(exclusive_of(""))
        update = StatusUpdate(
            state=PaymentState.UNKNOWN, origin=EventOrigin.RECONCILIATION, request_id=operation.request_id
        )
        return self._settle_with(tx, payment_id, update, done, has_attempts=bool(attempts_of_payment(tx, payment_id)))

    def _settle_with(
        self,
        tx: Transaction,
        payment_id: str,
        update: StatusUpdate | None,
        done: CompletedWrite,
        *,
        has_attempts: bool,
    ) -> CompletedWrite:
        if update is not None:
            settle_payment(tx, payment_id, update, by_its_capture=True, has_attempts=has_attempts)
        payment = lock_payment(tx, payment_id)
        return done if payment is None else self._with_payment_outcome(payment, done, has_attempts=has_attempts)

    def _with_payment_outcome(
        self, payment: PaymentRecord, done: CompletedWrite, *, has_attempts: bool
    ) -> CompletedWrite:
        ending = capture_result_of(payment)
        if ending is None or (ending.state is done.state and done.state is not OperationState.FAILED):
            if has_attempts and done.state is OperationState.SUCCEEDED:
                return replace(done, rows=(_row_of_success(payment),))  # it may have another method by now
            return done
        problems = ending.problems
        if payment.state is PaymentState.CANCELED and done.state is OperationState.FAILED:  # keep the vault's reason
            problems = tuple(
                replace(one, message=f"{one.message} {_NEW_QUOTE_NEEDED}", retryable=False)
                for one in done.result.problems
            )
        # After a decline, what kept a backup method from being tried.
        warnings = done.result.problems if has_attempts and payment.state is PaymentState.DECLINED else ()
        result = WriteResult(
            customer_id=payment.customer_id, payment_id=payment.id, problems=problems, warnings=warnings
        )
        row = row_of(
            0,
            payment.method.provider,
            ending.state,
            ending.outcome,
            method_ref=payment.method.method_ref,
            problem=problems[0] if problems else None,
        )
        is_unknown = ending.state is OperationState.UNKNOWN
        return replace(
            done,
            result=result,
            state=ending.state,
            outcome=ending.outcome,
            is_final=True,
            for_person=is_unknown,
            look_at=None,
            rows=(row,),
        )

    def unknown(self, provider: ProviderName | None, error: VaultError | None = None) -> WriteProblem:
        return capture_unknown(provider, error)


def _captured(payment: PaymentRecord, problems: tuple[WriteProblem, ...] = ()) -> CompletedWrite:
    return CompletedWrite(
        result=WriteResult(customer_id=payment.customer_id, payment_id=payment.id, problems=problems),
        rows=(_row_of_success(payment),),
    )


def _row_of_success(payment: PaymentRecord) -> ResultRow:
    provider, method_ref = payment.method.provider, payment.method.method_ref
    return row_of(0, provider, OperationState.SUCCEEDED, WriteOutcome.APPLIED, method_ref=method_ref)
