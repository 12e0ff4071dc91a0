"""Writes of every mutation, interrupted at a chosen point.

`tests/recorded/intents` has version 0's journal entries at that point; braces are placeholders for ids that differ
between runs.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.sandbox.demo import ALEX, KIM
from app.vault.enums import CardBrand, CustomerRef, ProviderName
from app.vault.model import Expiry, PersonName
from app.vault.secret import Secret
from app.wallet.commands import (
    AddMethod,
    CapturePayment,
    CreateCustomer,
    CreateHostedSession,
    DeleteMethod,
    EraseCustomer,
    ImportedLook,
    ImportMethods,
    ImportRow,
    LinkCustomer,
    QuotePayment,
    SessionPurpose,
    SetDefault,
    UnlinkCustomer,
    UpdateMethod,
)
from tests.contract.case_loanpro import new_customer
from tests.support.calls import soon
from tests.support.writing import STAFF, Bench, new_key

P = ProviderName


@dataclass(frozen=True, slots=True)
class Interrupted:
    """`command` prepares the write, which then dies at `point`.

    `ends` is the final state after recovery by the next process.
    """

    point: str
    command: Callable[[Bench], Awaitable[Any]]
    ends: str = "SUCCEEDED"


async def _add(bench: Bench) -> AddMethod:
    return bench.adding(P.CASELLE, make_default=True, nickname="Mine")


async def _add_with_customer(bench: Bench) -> AddMethod:
    return bench.adding(P.CASELLE, customer_id=KIM.id, provision=True)


async def _add_profile(bench: Bench) -> AddMethod:
    return bench.adding(P.JPMORGAN, customer_id=KIM.id, provision=True)


async def _update(bench: Bench) -> UpdateMethod:
    target = next(one for one in (await bench.wallet(P.JPMORGAN)).values() if one.kind.value == "CARD")
    return UpdateMethod(
        method_id=bench.id(P.JPMORGAN, target.method_ref),
        idempotency_key=new_key(),
        expiry=Expiry(2037, 3),
        holder=PersonName("Ann", "Doe"),
        nickname="Groceries",
    )


async def _set_default(bench: Bench) -> SetDefault:
    wallet = await bench.wallet(P.CASELLE)
    target = next(one for one in wallet.values() if not one.is_provider_default and one.status.value == "ACTIVE")
    return SetDefault(
        customer_id=ALEX.id,
        method_id=bench.id(P.CASELLE, target.method_ref),
        idempotency_key=new_key(),
        allow_expired=True,
    )


async def _delete(bench: Bench) -> DeleteMethod:
    wallet = await bench.wallet(P.CASELLE)
    gone = next(one for one in wallet.values() if one.is_provider_default)
    other = next(one for one in wallet.values() if not one.is_provider_default and one.status.value == "ACTIVE")
    return DeleteMethod(
        method_id=bench.id(P.CASELLE, gone.method_ref),
        idempotency_key=new_key(),
        replacement_id=bench.id(P.CASELLE, other.method_ref),
    )


async def _create(bench: Bench) -> CreateCustomer:
    new = new_customer(77)
    return CreateCustomer(
        external_id="recorded-77",
        idempotency_key=new_key(),
        name=new.name,
        email=new.email,
        phone=new.phone,
        address=new.address,
        provision_at=(P.CASELLE,),
    )


async def _link(bench: Bench) -> LinkCustomer:
    return LinkCustomer(
        customer_id=KIM.id, idempotency_key=new_key(), provider=P.CASELLE, customer_ref=CustomerRef("cus_load0001")
    )


async def _unlink(bench: Bench) -> UnlinkCustomer:
    return UnlinkCustomer(customer_id=ALEX.id, provider=P.CASELLE, reason="moved to another account")


async def _erase(bench: Bench, at: ProviderName = P.JPMORGAN) -> EraseCustomer:
    for name in P:
        if name is not at:
            await bench.store.directory.unlink(ALEX.id, name)
    return EraseCustomer(customer_id=ALEX.id, idempotency_key=new_key(), confirm_external_id=ALEX.external_id)


async def _erase_methods(bench: Bench) -> EraseCustomer:
    return await _erase(bench, P.CASELLE)


async def _import(bench: Bench) -> ImportMethods:
    row = ImportRow(
        external_id=ALEX.external_id,
        provider=P.CASELLE,
        customer_ref=CustomerRef(ALEX.refs["caselle"]),
        processor_token=Secret("zift-tok-1"),
        card=ImportedLook(last4="4321", expiry=Expiry(2031, 1), brand=CardBrand.VISA, holder_name="Alex Morales"),
    )
    return ImportMethods(idempotency_key=new_key(), rows=(row,), dry_run=False)


async def _quote(bench: Bench) -> QuotePayment:
    return QuotePayment(
        customer_id=ALEX.id,
        idempotency_key=new_key(),
        amount=12_345,
        currency="USD",
        reference="inv-1",
        method_id=bench.id(P.CASELLE, (await bench.first(P.CASELLE)).method_ref),
    )


async def _capture(bench: Bench) -> CapturePayment:
    quoted = await bench.writer.run(await _quote(bench), STAFF, soon())
    assert quoted.payment_id is not None
    return CapturePayment(payment_id=quoted.payment_id, idempotency_key=new_key())


async def _host(bench: Bench) -> CreateHostedSession:
    return CreateHostedSession(
        customer_id=ALEX.id,
        idempotency_key=new_key(),
        provider=P.CASELLE,
        purpose=SessionPurpose.PAY,
        amount=1_000,
        currency="USD",
        return_url="https://shop.example/back",
        cancel_url="https://shop.example/cancel",
    )


INTERRUPTED: Final[Mapping[str, Interrupted]] = {
    "add": Interrupted("answered:add", _add),
    "add-default": Interrupted("answered:default", _add),
    "add-customer": Interrupted("answered:add", _add_with_customer),
    "add-profile": Interrupted("finishing", _add_profile),
    "update": Interrupted("answered:update", _update),
    "update-finished": Interrupted("finished", _update),
    "set-default": Interrupted("answered:default", _set_default),
    "delete": Interrupted("answered:delete", _delete),
    "create": Interrupted("answered:create:caselle", _create),
    "link": Interrupted("finished", _link),
    "unlink": Interrupted("finished", _unlink),
    "erase": Interrupted("answered:erase:jpmorgan", _erase),
    "erase-methods": Interrupted("answered:delete:caselle:spm_alexach", _erase_methods),
    "import": Interrupted("answered:import:0", _import),
    "import-finished": Interrupted("finished", _import),
    "quote": Interrupted("finishing", _quote),
    "quote-finished": Interrupted("finished", _quote),
    "capture": Interrupted("finishing", _capture, ends="UNKNOWN"),
    "capture-finished": Interrupted("finished", _capture),
    "host": Interrupted("answered:session", _host, ends="FAILED"),
    "host-finished": Interrupted("finished", _host),
}
