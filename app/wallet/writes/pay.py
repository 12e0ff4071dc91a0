"""Payments with a stored method, in two phases: a quote fixes fee and total at the vault, a capture moves the money
once.

No vault call reads a payment, so a lost answer cannot be looked up: the payment stays UNKNOWN until the vault's webhook
or an operator reports its outcome. A capture is sent only for a QUOTED payment, and the transaction before sending ends
that state, so no key can send a second one. Only a capture that was certainly not sent returns to QUOTED.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from app.errors import (
    InvalidRequest,
    OutcomeUnknown,
    RejectReason,
    UnsupportedByVault,
    VaultError,
    VaultRefusedUs,
    VaultRejected,
    VaultUnavailable,
)
from app.store import Connection, Transaction
from app.store.payments import change_payment, create_payment, find_payment, lock_payment
from app.store.records import (
    EventOrigin,
    MethodAddress,
    NewPaymentRecord,
    OperationRecord,
    OperationState,
    PaymentRecord,
    PaymentState,
    WriteOutcome,
)
from app.store.ulids import PAYMENT, new_id
from app.vault.enums import DefaultState, MethodRef, PaymentMethodKind, ProviderCapability, ProviderName
from app.vault.model import BankAccount, PaymentMethod
from app.vault.payments import NewPayment, PayingVault
from app.vault.provider import Call
from app.vault.rules.payment_amounts import adds_up, differences
from app.vault.rules.payment_state import has_ended_unpaid, has_moved_money
from app.wallet.commands import Actor, CapturePayment, QuotePayment, WriteResult
from app.wallet.problems import ProblemCode, WriteProblem, not_found, unsupported
from app.wallet.reads.build_wallet import default_for_payment
from app.wallet.writes.deps import find
from app.wallet.writes.handler import CompletedWrite, PreparedWrite, WriteHandler, row_of
from app.wallet.writes.intents import CaptureFacts, CapturePaymentIntent, QuoteFacts, QuotePaymentIntent
from app.wallet.writes.interrupts import StillUnknown, WriteRefused
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
from app.wallet.writes.refusals import problems_of_faults
from app.wallet.writes.run import Ambiguous, Applied, NotFound, ReconcileResult, WriteRun
from app.wallet.writes.wallets import read_wallet, unfit_as_default, why_no_default_pays

_USING: Final = "using"
_NEVER_SENT: Final = (InvalidRequest, UnsupportedByVault, VaultUnavailable)
"""Errors that prove that the request was not sent."""
_NEW_QUOTE_NEEDED: Final = "To pay, request a new quote."


class QuotePaymentHandler(WriteHandler[QuotePayment, QuotePaymentIntent]):
    command = QuotePayment
    mutation = "quotePayment"

    def prepare(
        self, tx: Connection, command: QuotePayment, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[QuotePaymentIntent]:
        entry = self.entry_of(tx, command.customer_id, actor)
        named = command.method_id  # None: the default, determined by a fresh read
        address = self.method_in(entry, named, _USING, "payment_method_id") if named is not None else None
        if address is not None:
            _paying_vault(self, address.provider)
        return PreparedWrite(
            intent=QuotePaymentIntent(
                method=address,
                amount=command.amount,
                tax=command.tax,
                currency=command.currency,
                reference=command.reference,
                payment_id=new_id(PAYMENT),
            ),
            customer_id=entry.customer.id,
            entry=entry,
            provider=address.provider if address else None,
        )

    async def execute(self, run: WriteRun[QuotePaymentIntent]) -> CompletedWrite:
        address = run.intent.method or await self._default(run)
        method = await self._usable(run, address)
        vault = _paying_vault(self, address.provider)
        new = _new_payment(run.intent, address.method_ref, method)
        if faults := vault.faults_of_payment(new):
            raise WriteRefused(*problems_of_faults(faults))

        async def send(call: Call) -> QuoteFacts:
            quote = await vault.quote(new, call)
            is_known = await self.deps.store.payments.by_ref(address.provider, quote.payment_ref) is not None
            if is_known or not adds_up(quote) or differences(quote, quote.answered):
                raise VaultRejected(address.provider, RejectReason.QUOTE_MISMATCH)
            return QuoteFacts(payment_ref=quote.payment_ref, fee=quote.fee, total=quote.total)

        async def look(call: Call) -> ReconcileResult[QuoteFacts]:
            return NotFound()  # a quote moves no money: a lost one can be ignored

        facts = await run.run_step("quote", QuoteFacts, (address.provider, address.customer_ref), send, look)
        return self._done(run, address, new, facts)

    def _done(
        self, run: WriteRun[QuotePaymentIntent], address: MethodAddress, new: NewPayment, facts: QuoteFacts
    ) -> CompletedWrite:
        customer_id = run.customer_id
        made = NewPaymentRecord(
            customer_id=customer_id,
            method=address,
            state=PaymentState.QUOTED,
            currency=new.currency,
            amount=new.amount,
            tax=new.tax,
            fee=facts.fee,
            total=facts.total,
            reference=new.reference,
            payment_ref=facts.payment_ref,
            quote={"kind": new.method_kind.value},
            payment_id=run.intent.payment_id,
        )

        def apply(tx: Transaction) -> None:
            create_payment(tx, made)

        row = row_of(0, address.provider, OperationState.SUCCEEDED, WriteOutcome.APPLIED, method_ref=address.method_ref)
        result = WriteResult(customer_id=customer_id, method=address, payment_id=made.payment_id)
        return CompletedWrite(result=result, rows=(row,), apply=(apply,))

    async def _default(self, run: WriteRun[QuotePaymentIntent]) -> MethodAddress:
        entry = await run.entry()
        path = (_USING, "default_of_customer")
        if entry is None:
            raise WriteRefused(not_found("There is no such customer.", "customer_id"))
        linked = [link.provider for link in entry.links if link.provider in self.deps.providers]
        wallet = await read_wallet(self.deps, entry, run.call, force_fresh=linked)
        default = default_for_payment(wallet, self.deps.rules)
        if default.state is DefaultState.UNKNOWN:
            message = "The default is unknown: not every vault answered."
            unknown = WriteProblem(ProblemCode.DEFAULT_UNKNOWN, message, path, retryable=True)
            raise WriteRefused(unknown, is_final=False)
        method = wallet.method(default.method_id)
        if method is None:
            raise WriteRefused(why_no_default_pays(self.deps, wallet, *path), is_final=False)
        return method.address

    async def _usable(self, run: WriteRun[QuotePaymentIntent], address: MethodAddress) -> PaymentMethod:
        """The method as its vault lists it now; expired or unusable methods are refused."""
        method = find(await run.wallet(address.provider, address.customer_ref), address)
        if method is None:
            raise WriteRefused(not_found("The vault does not have this payment method.", _USING, "payment_method_id"))
        if unfit := unfit_as_default(self.deps, method, _USING):
            raise WriteRefused(unfit, is_final=False)
        return method


@dataclass(slots=True)
class _Memory:
    """The vault's answer to the capture, for `settle`."""

    report: CaptureFacts | None = None


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
            _paying_vault(self, payment.method.provider)
        return PreparedWrite(
            intent=CapturePaymentIntent(payment_id=payment.id),
            customer_id=payment.customer_id,
            provider=payment.method.provider,
            exclusive=exclusive_of(payment.id),
        )

    async def execute(self, run: WriteRun[CapturePaymentIntent]) -> CompletedWrite:
        payment = await self.deps.store.payments.payment(run.intent.payment_id)
        if payment is None:
            raise WriteRefused(not_found("There is no such payment.", "payment_id"))
        if run.is_resumed or payment.state is PaymentState.QUOTED:
            try:
                facts = await self._capture(run, payment)
            except _NoLongerQuoted:
                payment = await self.deps.store.payments.payment(payment.id) or payment
            else:
                run.memory(_Memory).report = facts
                return _captured(payment)
        if not is_decided(payment):  # sent by no known operation
            raise StillUnknown(payment.method.provider, for_person=True)
        return _captured(payment)

    async def _capture(self, run: WriteRun[CapturePaymentIntent], payment: PaymentRecord) -> CaptureFacts:
        """Send the capture, unless one was sent before. The outcome is kept for `settle`."""
        provider, quote = payment.method.provider, quote_of(payment)
        vault = _paying_vault(self, provider)

        def claim(tx: Transaction) -> None:
            """Ends QUOTED: from here on a capture may have been sent, so none is sent again."""
            current = lock_payment(tx, payment.id)
            if current is None or current.state is not PaymentState.QUOTED:
                raise _NoLongerQuoted
            values = {"state": PaymentState.PROCESSING.value, "capture_id": run.operation.id}
            change_payment(tx, payment.id, values)

        async def send(call: Call) -> CaptureFacts:
            try:
                captured = await vault.capture(quote, call)
            except _NEVER_SENT:
                run.memory(_Memory).report = CaptureFacts(state=PaymentState.QUOTED)
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
            current = await self.deps.store.payments.payment(payment.id)
            return Applied(CaptureFacts()) if current is not None and is_decided(current) else Ambiguous()

        return await run.run_step("capture", CaptureFacts, (provider, None), send, look, claim)

    def settle(self, tx: Transaction, run: WriteRun[CapturePaymentIntent], done: CompletedWrite) -> CompletedWrite:
        report = run.memory(_Memory).report
        if report is None and done.state is OperationState.UNKNOWN:
            report = CaptureFacts(state=PaymentState.UNKNOWN)
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
        return self._settle_with(tx, run.intent.payment_id, update, done)

    def settle_unread(self, tx: Transaction, operation: OperationRecord, done: CompletedWrite) -> CompletedWrite:
        """Settles the payment from the operation's other columns."""
        payment_id = (operation.exclusive or "").removeprefix(exclusive_of(""))
        update = StatusUpdate(
            state=PaymentState.UNKNOWN, origin=EventOrigin.RECONCILIATION, request_id=operation.request_id
        )
        return self._settle_with(tx, payment_id, update, done)

    def _settle_with(
        self, tx: Transaction, payment_id: str, update: StatusUpdate | None, done: CompletedWrite
    ) -> CompletedWrite:
        if update is not None:
            settle_payment(tx, payment_id, update, by_its_capture=True)
        payment = lock_payment(tx, payment_id)
        return done if payment is None else self._with_payment_outcome(payment, done)

    def _with_payment_outcome(self, payment: PaymentRecord, done: CompletedWrite) -> CompletedWrite:
        ending = capture_result_of(payment)
        if ending is None or (ending.state is done.state and done.state is not OperationState.FAILED):
            return done
        problems = ending.problems
        if payment.state is PaymentState.CANCELED and done.state is OperationState.FAILED:  # keep the vault's reason
            problems = tuple(replace(one, message=f"{one.message} {_NEW_QUOTE_NEEDED}") for one in done.result.problems)
        result = WriteResult(customer_id=payment.customer_id, payment_id=payment.id, problems=problems)
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


class _NoLongerQuoted(Exception):
    """The payment is no longer QUOTED: nothing is sent."""


def _captured(payment: PaymentRecord) -> CompletedWrite:
    provider, method_ref = payment.method.provider, payment.method.method_ref
    return CompletedWrite(
        result=WriteResult(customer_id=payment.customer_id, payment_id=payment.id),
        rows=(row_of(0, provider, OperationState.SUCCEEDED, WriteOutcome.APPLIED, method_ref=method_ref),),
    )


def _paying_vault(handler: WriteHandler[Any, Any], name: ProviderName) -> PayingVault:
    vault = handler.vault_of(name, _USING)
    if ProviderCapability.PAY not in vault.capabilities.operations or not isinstance(vault, PayingVault):
        raise WriteRefused(unsupported(name, "This vault does not pay with stored methods.", _USING))
    return vault


def _new_payment(intent: QuotePaymentIntent, method_ref: MethodRef, method: PaymentMethod) -> NewPayment:
    kind = PaymentMethodKind.BANK_ACCOUNT if isinstance(method, BankAccount) else PaymentMethodKind.CARD
    return NewPayment(
        method_ref=method_ref,
        method_kind=kind,
        amount=intent.amount,
        tax=intent.tax,
        currency=intent.currency,
        reference=intent.reference,
    )
