"""Resumable imports, observed methods, payments, and erasure across all of them."""

import asyncio
from dataclasses import replace

import pytest

from app.store import Store, Transaction
from app.store.errors import ImportChanged
from app.store.payments import change_payment, lock_payment
from app.store.records import (
    EventType,
    ImportRecord,
    MethodAddress,
    NewEvent,
    NewOperation,
    NewPaymentRecord,
    ObservedChanges,
    ObservedMethod,
    ObservedRecord,
    OperationState,
    PaymentRecord,
    PaymentState,
)
from app.store.records.journal import BegunNew
from app.vault.enums import CustomerRef, LinkProof, MethodRef, PaymentMethodStatus, ProviderName
from tests.support.stores import HandClock

CASELLE = ProviderName.CASELLE
REF = CustomerRef("C1")
NOTHING = ObservedChanges((), (), (), is_first=False)


def method(ref: str, etag: str = "e1", expiry: str | None = None) -> ObservedMethod:
    return ObservedMethod(method_ref=MethodRef(ref), etag=etag, status=PaymentMethodStatus.ACTIVE, expiry=expiry)


async def linked(store: Store, external_id: str = "user-1", ref: CustomerRef = REF) -> str:
    customer = await store.directory.create(external_id=external_id, first_name="Ann", email="ann@example.com")
    await store.directory.link(customer.id, CASELLE, ref, proof=LinkProof.TRUSTED_BACKEND, linked_by="ann")
    return customer.id


async def test_an_import_resumes_where_it_stopped(store: Store, clock: HandClock) -> None:
    begun = await store.imports.start("file-1", content_digest="d1", started_by="ann")
    assert begun == ImportRecord(
        key="file-1",
        content_digest="d1",
        started_by="ann",
        next_row=0,
        next_offset=0,
        counts={},
        started_at=clock(),
        updated_at=clock(),
        finished_at=None,
    )
    clock.advance(minutes=1)
    further = await store.imports.progress(begun, next_row=100, next_offset=4096, counts={"LINKED": 99, "REJECTED": 1})
    assert further is not None
    assert await store.imports.start("file-1", content_digest="d1", started_by="bob") == further
    assert await store.imports.progress(begun, next_row=50, counts={}) is None
    done = await store.imports.progress(further, next_row=120, counts={"LINKED": 119}, is_finished=True)
    assert done is not None
    assert (done.finished_at, done.counts) == (clock(), {"LINKED": 119})
    assert await store.imports.progress(done, next_row=130, counts={}) is None
    assert await store.imports.find("file-1") == done
    assert await store.imports.find("nul\x00") is None
    with pytest.raises(ImportChanged):
        await store.imports.start("file-1", content_digest="d2", started_by="ann")


async def test_the_first_list_has_no_changes_and_each_difference_is_reported_once(store: Store) -> None:
    customer = await linked(store)
    first = await store.observed_methods.note(CASELLE, REF, [method("1"), method("2")])
    assert first == ObservedChanges((MethodRef("1"), MethodRef("2")), (), (), is_first=True)
    assert await store.observed_methods.note(CASELLE, REF, [method("2"), method("1")]) == NOTHING
    news = [method("1", "e2"), method("3")]
    answers = await asyncio.gather(*(store.observed_methods.note(CASELLE, REF, news) for _ in range(5)))
    changes = ObservedChanges((MethodRef("3"),), (MethodRef("1"),), (MethodRef("2"),), is_first=False)
    assert sorted(answers, key=bool) == [NOTHING] * 4 + [changes]
    assert [record.method_ref for record in await store.observed_methods.of_customer(customer)] == ["1", "3"]


async def test_a_method_after_an_empty_first_list_is_a_change(store: Store) -> None:
    await linked(store)
    assert await store.observed_methods.note(CASELLE, REF, []) == ObservedChanges((), (), (), is_first=True)
    assert await store.observed_methods.note(CASELLE, REF, [method("1")]) == ObservedChanges(
        (MethodRef("1"),), (), (), is_first=False
    )


async def test_lists_of_unlinked_customers_are_not_stored(store: Store) -> None:
    customer = await linked(store)
    assert await store.observed_methods.note(CASELLE, CustomerRef("C9"), [method("1")]) == ObservedChanges(
        (), (), (), is_first=True
    )
    await store.observed_methods.note(CASELLE, REF, [method("1")])
    await store.directory.unlink(customer, CASELLE)
    assert await store.observed_methods.owners(CASELLE, [MethodRef("1")]) == []


async def test_owners_of_methods_are_found(store: Store, clock: HandClock) -> None:
    ann = await linked(store)
    bob = await linked(store, "user-2", CustomerRef("C2"))
    await store.observed_methods.note(CASELLE, REF, [method("1", expiry="2026-03")])
    await store.observed_methods.note(CASELLE, CustomerRef("C2"), [method("1"), method("2")])
    found = await store.observed_methods.owners(CASELLE, [MethodRef("1"), MethodRef("9"), MethodRef("nul\x00")])
    assert found == [
        ObservedRecord(
            customer_id=customer,
            provider=CASELLE,
            customer_ref=ref,
            method_ref=MethodRef("1"),
            status=PaymentMethodStatus.ACTIVE,
            expiry=expiry,
            seen_at=clock(),
        )
        for customer, ref, expiry in ((ann, REF, "2026-03"), (bob, CustomerRef("C2"), None))
    ]
    assert await store.observed_methods.owners(ProviderName.LOANPRO, [MethodRef("1")]) == []


async def test_expiring_methods_are_paged(store: Store) -> None:
    await linked(store)
    months = ["2025-12", "2026-01", "2026-02", "2026-02", "2026-03", None]
    await store.observed_methods.note(
        CASELLE, REF, [method(str(number), expiry=month) for number, month in enumerate(months)]
    )
    first = await store.observed_methods.expiring("2026-01", "2026-02", limit=2)
    rest = await store.observed_methods.expiring("2026-01", "2026-02", after=first[-1], limit=2)
    assert [record.method_ref for record in first + rest] == ["1", "2", "3"]


async def test_concurrent_changes_of_a_payment_are_serialised(store: Store, clock: HandClock) -> None:
    customer = await linked(store)
    address = MethodAddress(CASELLE, REF, MethodRef("1"))
    quoted = await store.payments.create(
        NewPaymentRecord(
            customer_id=customer,
            method=address,
            state=PaymentState.QUOTED,
            currency="KWD",
            amount=12_345_678_901,
            fee=25,
            total=12_345_678_926,
            reference="invoice 7",
            payment_ref="p-1",
            quote={"method": "wallet_credit"},
        )
    )
    assert quoted == PaymentRecord(
        id=quoted.id,
        customer_id=customer,
        method=address,
        payment_ref="p-1",
        state=PaymentState.QUOTED,
        currency="KWD",
        amount=12_345_678_901,
        tax=None,
        fee=25,
        total=12_345_678_926,
        reference="invoice 7",
        decline_code=None,
        quote={"method": "wallet_credit"},
        created_at=clock(),
        updated_at=clock(),
    )
    assert await store.payments.payment(quoted.id) == quoted
    assert await store.payments.by_ref(CASELLE, "p-1") == quoted
    assert await store.payments.by_ref(ProviderName.LOANPRO, "p-1") is None
    clock.advance(seconds=1)

    def claim(tx: Transaction) -> bool:
        current = lock_payment(tx, quoted.id)
        if current is None or current.state is not PaymentState.QUOTED:
            return False
        change_payment(tx, quoted.id, {"state": "PROCESSING", "capture_id": "op_1"})
        return True

    claimed = await asyncio.gather(*(store.transaction(claim) for _ in range(5)))
    assert sorted(claimed) == [False] * 4 + [True]
    values = {"state": "REFUNDED", "refunded": 12_345_678_926, "refunds": {"evt_1": 12_345_678_926}}
    refunded = await store.payments.change(quoted.id, values)
    assert await store.payments.locked("pay_nothing") is None
    assert refunded == replace(
        quoted,
        state=PaymentState.REFUNDED,
        refunded=12_345_678_926,
        refunds={"evt_1": 12_345_678_926},
        capture_id="op_1",
        updated_at=clock(),
    )
    assert await store.payments.of_customer(customer) == [refunded]


async def test_erasing_removes_personal_data_from_journal_and_events(store: Store, clock: HandClock) -> None:
    customer = await linked(store)
    await store.observed_methods.note(CASELLE, REF, [method("1")])
    begun = await store.journal.begin(
        NewOperation(
            caller="staff:ann",
            mutation="addPaymentMethod",
            input_digest="d1",
            owner_id="o",
            deadline_at=clock(),
            customer_id=customer,
            intent={"last4": "1111", "holder": "digest"},
        )
    )
    assert isinstance(begun, BegunNew)
    await store.journal.mark(begun.operation, OperationState.SUCCEEDED)
    await store.events.append(NewEvent(type=EventType.METHOD_ADDED, customer_id=customer, detail={"last4": "1111"}))
    erased = await store.erase(customer)
    assert erased.erased_at == clock()
    operation = await store.journal.operation(begun.operation.id)
    assert operation is not None
    assert operation.intent == {}
    assert [event.detail for event in await store.events.after(None)] == [{}]
    assert await store.observed_methods.of_customer(customer) == []
    assert await store.observed_methods.owners(CASELLE, [MethodRef("1")]) == []
