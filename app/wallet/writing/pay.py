"""Paying with a stored method, in two phases: a quote fixes fee and total at the vault, a capture moves the money once.

No vault tells afterwards what became of a capture, so a lost answer is looked up nowhere: the payment stays UNKNOWN
until the vault's notification, or a person, says how it ended. At most one capture of a payment is ever begun that
may have moved money: `Ready.exclusive` holds it, whatever the keys.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Final

from app.store.database import Tx
from app.store.records import (
    MethodAddress,
    OperationRecord,
    OperationState,
    PaymentRecord,
    PaymentState,
    WriteOutcome,
)
from app.store.records import NewPayment as NewPaymentRecord
from app.vault.model import BankAccount, PaymentMethod
from app.vault.names import DefaultState, MethodRef, PaymentMethodKind, ProviderCapability, ProviderName
from app.vault.payments import NewPayment, PayingVault, PaymentRef, Quote
from app.vault.provider import Call
from app.wallet.commands import Actor, CapturePayment, Problem, ProblemCode, QuotePayment, WriteResult
from app.wallet.paid import exclusive_of, payment_event
from app.wallet.writing.deps import find
from app.wallet.writing.record import Json, from_address, to_address
from app.wallet.writing.refusals import problems_of_faults
from app.wallet.writing.session import Absent, Found, Look, Session, Undecidable
from app.wallet.writing.signals import Refused
from app.wallet.writing.usecase import Done, Ready, UseCase, not_found, row_of, unsupported
from app.wallet.writing.wallets import read_wallet, unfit_as_default

_USING: Final = "using"


class QuotesPayment(UseCase[QuotePayment]):
    mutation: ClassVar[str] = "quotePayment"

    def digest(self, command: QuotePayment) -> Mapping[str, Any]:
        asked = asdict(command)
        del asked["idempotency_key"]
        method = self.address_digest(command.method_id) if command.method_id else None
        return {**asked, "method_id": method}

    async def ready(self, command: QuotePayment, actor: Actor, known: OperationRecord | None) -> Ready:
        entry = await self.entry_of(command.customer_id, actor)
        named = command.method_id  # None: the default, found by a fresh read
        address = self.method_in(entry, named, _USING, "payment_method_id") if named is not None else None
        if address is not None:
            _paying(self, address.provider)
        return Ready(
            of={
                "method": from_address(address),
                "amount": command.amount,
                "tax": command.tax,
                "currency": command.currency,
                "reference": command.reference,
                "payment_id": self.deps.ids.new_payment_id(),
            },
            customer_id=entry.customer.id,
            provider=address.provider if address else None,
        )

    async def run(self, session: Session) -> Done:
        address = to_address(session.of["method"]) or await self._default(session)
        method = await self._usable(session, address)
        vault = _paying(self, address.provider)
        new = _new_payment(session.of, address.method_ref, method)
        if faults := vault.faults_of_payment(new):
            raise Refused(*problems_of_faults(faults))

        async def send(call: Call) -> Json:
            quote = await vault.quote(new, call)
            return {"payment_ref": quote.payment_ref, "fee": quote.fee, "total": quote.total}

        async def look(call: Call) -> Look:
            return Absent()  # a quote moves nothing: one that nobody heard is as good as none

        facts = await session.do("quote", (address.provider, address.customer_ref), send, look)
        return self._done(session, address, new, facts)

    def _done(self, session: Session, address: MethodAddress, new: NewPayment, facts: Json) -> Done:
        customer_id = session.operation.customer_id or ""
        made = NewPaymentRecord(
            customer_id=customer_id,
            method=address,
            state=PaymentState.QUOTED,
            currency=new.currency,
            amount=new.amount,
            tax=new.tax,
            fee=facts["fee"],
            total=facts["total"],
            reference=new.reference,
            payment_ref=facts["payment_ref"],
            quote={"kind": new.method_kind.value},
            payment_id=session.of["payment_id"],
        )

        async def apply(tx: Tx) -> None:
            await self.deps.store.payments.create(made, tx=tx)

        row = row_of(0, address.provider, OperationState.SUCCEEDED, WriteOutcome.APPLIED, method_ref=address.method_ref)
        result = WriteResult(customer_id=customer_id, method=address, payment_id=made.payment_id)
        return Done(result=result, rows=(row,), apply=apply)

    async def _default(self, session: Session) -> MethodAddress:
        entry = await self.deps.store.directory.entry(session.operation.customer_id or "")
        path = (_USING, "default_of_customer")
        if entry is None:
            raise Refused(not_found("There is no such customer.", "customer_id"))
        linked = [link.provider for link in entry.links if link.provider in self.deps.providers]
        wallet = await read_wallet(self.deps, entry, session.call, force_fresh=linked)
        if wallet.default.state is DefaultState.UNKNOWN:
            message = "The default cannot be told now: not every vault answered."
            unknown = Problem(code=ProblemCode.DEFAULT_UNKNOWN, message=message, path=path, retryable=True)
            raise Refused(unknown, is_final=False)
        if wallet.default_method is None:
            message = "The customer has no default that could pay."
            raise Refused(Problem(code=ProblemCode.DEFAULT_REQUIRED, message=message, path=path), is_final=False)
        return wallet.default_method.address

    async def _usable(self, session: Session, address: MethodAddress) -> PaymentMethod:
        """The method as its vault has it at this moment; what is expired or not usable pays nothing."""
        method = find(await session.wallet(address.provider, address.customer_ref), address)
        if method is None:
            raise Refused(not_found("The vault does not have this payment method.", _USING, "payment_method_id"))
        if unfit := unfit_as_default(self.deps, method, _USING):
            raise Refused(unfit, is_final=False)
        return method


class CapturesPayment(UseCase[CapturePayment]):
    mutation: ClassVar[str] = "capturePayment"

    def digest(self, command: CapturePayment) -> Mapping[str, Any]:
        return {"payment_id": command.payment_id}

    async def ready(self, command: CapturePayment, actor: Actor, known: OperationRecord | None) -> Ready:
        payment = await self.deps.store.payments.payment(command.payment_id)
        if payment is None or not actor.may_see(payment.customer_id):
            raise Refused(not_found("There is no such payment.", "payment_id"))
        if payment.state is PaymentState.DECLINED:
            raise Refused(_declined("The payment was declined before: quote it anew."))
        _paying(self, payment.method.provider)
        return Ready(
            of={"payment_id": payment.id},
            customer_id=payment.customer_id,
            provider=payment.method.provider,
            exclusive=exclusive_of(payment.id),
        )

    async def run(self, session: Session) -> Done:
        payment = await self.deps.store.payments.payment(session.of["payment_id"])
        if payment is None:
            raise Refused(not_found("There is no such payment.", "payment_id"))
        vault = _paying(self, payment.method.provider)
        quote = _quote_of(payment)

        async def send(call: Call) -> Json:
            captured = await vault.capture(quote, call)
            return {"state": captured.state.value, "decline_code": captured.decline_code}

        async def look(call: Call) -> Look:
            """No call reads a payment: only what was told about it since counts."""
            current = await self.deps.store.payments.payment(payment.id)
            if current is not None and current.state in (PaymentState.CAPTURED, PaymentState.DECLINED):
                return _told(current)
            return Undecidable()

        facts = await session.do("capture", (payment.method.provider, None), send, look)
        return self._done(session, payment, facts)

    def _done(self, session: Session, payment: PaymentRecord, facts: Json) -> Done:
        state = PaymentState(facts["state"])
        event = payment_event(payment, state)

        async def apply(tx: Tx) -> None:
            values = {"decline_code": facts.get("decline_code")}
            expected = [one for one in PaymentState if one is not state]
            await self.deps.store.payments.change(payment.id, state, expected=expected, values=values, tx=tx)

        is_declined = state is PaymentState.DECLINED
        problems = (_declined("The payment was declined."),) if is_declined else ()
        result = WriteResult(customer_id=payment.customer_id, payment_id=payment.id, problems=problems)
        operation = OperationState.FAILED if is_declined else OperationState.SUCCEEDED
        outcome = WriteOutcome.NOT_APPLIED if is_declined else WriteOutcome.APPLIED
        row = row_of(0, payment.method.provider, operation, outcome, method_ref=payment.method.method_ref)
        return Done(result=result, state=operation, outcome=outcome, rows=(row,), apply=apply, events=(event,))


def _told(payment: PaymentRecord) -> Look:
    return Found({"state": payment.state.value, "decline_code": payment.decline_code})


def _paying(use_case: UseCase[Any], name: ProviderName) -> PayingVault:
    vault = use_case.vault_of(name, _USING)
    if ProviderCapability.PAY not in vault.capabilities.operations or not isinstance(vault, PayingVault):
        raise Refused(unsupported(name, "This vault does not pay with stored methods.", _USING))
    return vault


def _new_payment(of: Json, method_ref: MethodRef, method: PaymentMethod) -> NewPayment:
    kind = PaymentMethodKind.BANK_ACCOUNT if isinstance(method, BankAccount) else PaymentMethodKind.CARD
    return NewPayment(
        method_ref=method_ref,
        method_kind=kind,
        amount=of["amount"],
        tax=of["tax"],
        currency=of["currency"],
        reference=of["reference"],
    )


def _quote_of(payment: PaymentRecord) -> Quote:
    """Exactly what was quoted: the vault compares every number."""
    new = NewPayment(
        method_ref=payment.method.method_ref,
        method_kind=PaymentMethodKind(payment.quote["kind"]),
        amount=payment.amount,
        tax=payment.tax or 0,
        currency=payment.currency,
        reference=payment.reference,
    )
    ref = PaymentRef(payment.payment_ref or "")
    return Quote(payment_ref=ref, payment=new, fee=payment.fee or 0, total=payment.total or 0)


def _declined(message: str) -> Problem:
    return Problem(code=ProblemCode.DECLINED, message=message, path=("payment_id",), outcome=WriteOutcome.NOT_APPLIED)
