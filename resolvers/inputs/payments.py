"""Inputs of the two phases of a payment."""

from decimal import Decimal

import strawberry

from app.vault.payments import MerchantReason, PaymentInitiator
from app.wallet.commands import MOST_BACKUP_METHODS, CapturePayment, MostTotal, QuotePayment
from app.wallet.money import BadAmount, to_minor
from app.wallet.problems import WriteProblem, invalid
from resolvers.inputs.fields import KEY, given, optional, text
from resolvers.scalars import CurrencyCode, IdempotencyKey


@strawberry.input(description="An amount with at most as many decimal places as its currency has.")
class MoneyInput:
    amount: Decimal = strawberry.field(description='The amount, as text, e.g. "10.50".')
    currency: CurrencyCode = strawberry.field(description="The currency.")


@strawberry.input(one_of=True, description="`defaultOfCustomer: false` is INVALID_INPUT.")
class PayUsing:
    payment_method_id: strawberry.ID | None = optional("Pay with this method.")
    default_of_customer: bool | None = optional("True: pay with the customer's default.")


@strawberry.input(description="Phase one: checks the method and fixes the fee. No money moves.")
class QuotePaymentInput:
    customer_id: strawberry.ID = strawberry.field(description="The customer's id.")
    idempotency_key: IdempotencyKey = strawberry.field(description=KEY)
    using: PayUsing = strawberry.field(description="The method to pay with.")
    amount: MoneyInput = strawberry.field(description="The amount without the vault's fee.")
    tax_amount: MoneyInput | None = optional("In the same currency; paid in addition to the amount.")
    reference: str | None = text(
        is_optional=True, description="Your reference, for example an invoice number; Caselle needs none."
    )
    initiator: PaymentInitiator | None = optional(
        "Whose request it is; CUSTOMER if absent. Stored and shown by the gateway: no vault's payment call takes it."
    )
    merchant_reason: MerchantReason | None = optional(
        "Why it is made without the customer: with `initiator: MERCHANT`, and only then. No vault's payment call takes "
        "it."
    )

    def problems(self) -> list[WriteProblem]:
        """Problems that can be found without a vault."""
        found: list[WriteProblem] = []
        if given(self.using.default_of_customer) is False:
            found.append(invalid("Name a payment method, or send true.", "using", "default_of_customer"))
        is_merchants = given(self.initiator) is PaymentInitiator.MERCHANT
        if is_merchants and given(self.merchant_reason) is None:
            found.append(invalid("Say why the merchant initiates the payment.", "merchant_reason"))
        elif not is_merchants and given(self.merchant_reason) is not None:
            found.append(invalid("Only a payment that the merchant initiates has a reason.", "merchant_reason"))
        tax = given(self.tax_amount)
        found += amount_problems(self.amount, "amount", 1)
        if tax is not None:
            found += amount_problems(tax, "tax_amount", 0)
        if tax is not None and tax.currency != self.amount.currency:
            found.append(invalid("The tax is in another currency.", "tax_amount", "currency"))
        return found

    def to_command(self) -> QuotePayment:
        tax = given(self.tax_amount)
        return QuotePayment(
            customer_id=self.customer_id,
            idempotency_key=self.idempotency_key,
            amount=to_minor(self.amount.amount, self.amount.currency),
            tax=to_minor(tax.amount, tax.currency) if tax is not None else 0,
            currency=self.amount.currency,
            reference=(given(self.reference) or "").strip(),
            method_id=given(self.using.payment_method_id),
            initiator=given(self.initiator),
            merchant_reason=given(self.merchant_reason),
        )


@strawberry.input(description="Phase two: repeats the quoted method and amounts exactly.")
class CapturePaymentInput:
    payment_id: strawberry.ID = strawberry.field(description="The id of the quoted payment.")
    idempotency_key: IdempotencyKey = strawberry.field(description=KEY)
    fallback: list[strawberry.ID] | None = optional(
        f"Backup methods of the same customer, at most {MOST_BACKUP_METHODS}, in vaults that pay. The next one is "
        "tried only after a final decline of the one before, never while an outcome is open or unknown. Each gets "
        "its own quote, so the fee may differ."
    )
    max_total: MoneyInput | None = optional(
        "The most that a backup method may be charged, fee included; if absent, the quoted total. A method that would "
        "cost more is passed over."
    )

    def problems(self) -> list[WriteProblem]:
        """Problems that can be found without a vault."""
        fallback, most = given(self.fallback) or [], given(self.max_total)
        found: list[WriteProblem] = []
        if len(fallback) > MOST_BACKUP_METHODS:
            found.append(invalid(f"At most {MOST_BACKUP_METHODS} backup methods.", "fallback"))
        if most is not None:
            found += amount_problems(most, "max_total", 1)
            if not fallback:
                found.append(invalid("It limits backup methods; there are none.", "max_total"))
        return found

    def to_command(self) -> CapturePayment:
        most = given(self.max_total)
        return CapturePayment(
            payment_id=self.payment_id,
            idempotency_key=self.idempotency_key,
            fallback=tuple(given(self.fallback) or ()) or None,
            max_total=MostTotal(to_minor(most.amount, most.currency), most.currency) if most is not None else None,
        )


def amount_problems(money: MoneyInput, name: str, least: int) -> list[WriteProblem]:
    """Check that the amount is a whole number of the currency's minor unit, and at least `least`."""
    try:
        minor = to_minor(money.amount, money.currency)
    except BadAmount as bad:
        place = "currency" if "currency is" in str(bad) else "amount"
        return [invalid(f"Not payable: {bad}.", name, place)]
    return [] if minor >= least else [invalid("The amount is too small.", name, "amount")]
