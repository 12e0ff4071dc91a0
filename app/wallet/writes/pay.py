"""Quotes: the first of a payment's two phases, in which the vault checks the method and fixes fee and total. No money
moves."""

from typing import Any, Final

from app.errors import (
    RejectReason,
    VaultRejected,
)
from app.store import Connection, Store, Transaction
from app.store.payments import create_payment
from app.store.records import (
    MethodAddress,
    NewPaymentRecord,
    OperationRecord,
    OperationState,
    PaymentState,
    WriteOutcome,
)
from app.store.ulids import PAYMENT, new_id
from app.vault.enums import DefaultState, MethodRef, ProviderCapability, ProviderName
from app.vault.model import PaymentMethod
from app.vault.payments import NewPayment, PayingVault, PaymentInitiator, Quote
from app.vault.provider import Call
from app.vault.rules.payment_amounts import adds_up, differences
from app.wallet.commands import Actor, QuotePayment, WriteResult
from app.wallet.problems import ProblemCode, WriteProblem, invalid, not_found, unsupported
from app.wallet.reads.build_wallet import default_for_payment
from app.wallet.writes.backup_methods import (
    kind_of,
)
from app.wallet.writes.deps import find
from app.wallet.writes.handler import CompletedWrite, PreparedWrite, WriteHandler, row_of
from app.wallet.writes.intents import (
    QuoteFacts,
    QuotePaymentIntent,
)
from app.wallet.writes.interrupts import WriteRefused
from app.wallet.writes.refusals import problems_of_faults
from app.wallet.writes.run import NotFound, ReconcileResult, WriteRun
from app.wallet.writes.wallets import read_wallet, unfit_as_default, why_no_default_pays

_USING: Final = "using"


class QuotePaymentHandler(WriteHandler[QuotePayment, QuotePaymentIntent]):
    command = QuotePayment
    mutation = "quotePayment"

    def prepare(
        self, tx: Connection, command: QuotePayment, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[QuotePaymentIntent]:
        entry = self.entry_of(tx, command.customer_id, actor)
        if actor.is_end_user and command.initiator is PaymentInitiator.MERCHANT:
            raise WriteRefused(invalid("A customer's own request is not the merchant's.", "initiator"))
        named = command.method_id  # None: the default, determined by a fresh read
        address = self.method_in(entry, named, _USING, "payment_method_id") if named is not None else None
        if address is not None:
            paying_vault(self, address.provider)
        return PreparedWrite(
            intent=QuotePaymentIntent(
                method=address,
                amount=command.amount,
                tax=command.tax,
                currency=command.currency,
                reference=command.reference,
                payment_id=new_id(PAYMENT),
                initiator=command.initiator or PaymentInitiator.CUSTOMER,
                merchant_reason=command.merchant_reason,
            ),
            customer_id=entry.customer.id,
            entry=entry,
            provider=address.provider if address else None,
        )

    async def execute(self, run: WriteRun[QuotePaymentIntent]) -> CompletedWrite:
        address = run.intent.method or await self._default(run)
        method = await self._usable(run, address)
        vault = paying_vault(self, address.provider)
        new = _new_payment(run.intent, address.method_ref, method)
        if faults := vault.faults_of_payment(new):
            raise WriteRefused(*problems_of_faults(faults))

        async def send(call: Call) -> QuoteFacts:
            quote = await checked_quote(self.deps.store, vault, address.provider, new, call)
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
            initiator=run.intent.initiator,
            merchant_reason=run.intent.merchant_reason,
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


def paying_vault(handler: WriteHandler[Any, Any], name: ProviderName, *path: str) -> PayingVault:
    path = path or (_USING,)
    vault = handler.vault_of(name, *path)
    if ProviderCapability.PAY not in vault.capabilities.operations or not isinstance(vault, PayingVault):
        raise WriteRefused(unsupported(name, "This vault does not pay with stored methods.", *path))
    return vault


async def checked_quote(store: Store, vault: PayingVault, provider: ProviderName, new: NewPayment, call: Call) -> Quote:
    """The vault's quote, if it is new and consistent. Raises VaultError."""
    quote = await vault.quote(new, call)
    is_known = await store.payments.by_ref(provider, quote.payment_ref) is not None
    if is_known or not adds_up(quote) or differences(quote, quote.answered):
        raise VaultRejected(provider, RejectReason.QUOTE_MISMATCH)
    return quote


def _new_payment(intent: QuotePaymentIntent, method_ref: MethodRef, method: PaymentMethod) -> NewPayment:
    return NewPayment(
        method_ref=method_ref,
        method_kind=kind_of(method),
        amount=intent.amount,
        tax=intent.tax,
        currency=intent.currency,
        reference=intent.reference,
    )
