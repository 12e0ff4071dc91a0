"""Customers, links, choices and nicknames, on both backends."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from app.store import Store, Transaction
from app.store.directory import create_customer, drop_method_names, link_customer
from app.store.directory_reads import find_customer
from app.store.errors import CustomerUnknown, ExternalIdTaken, LinkConflict, UnstorableText
from app.store.records import (
    ChangeNotice,
    ChoiceRecord,
    CustomerRecord,
    DirectoryEntry,
    LinkConflictReason,
    LinkRecord,
    MethodAddress,
    Topic,
)
from app.vault.enums import CustomerRef, LinkProof, MethodRef, ProviderName
from tests.support.stores import HandClock, customer_ids

REF = CustomerRef("37")
CARD = MethodAddress(ProviderName.LOANPRO, REF, MethodRef("1181"))
OTHER_CARD = MethodAddress(ProviderName.LOANPRO, REF, MethodRef("1182"))


async def made(store: Store, external_id: str = "user-1", **fields: str) -> CustomerRecord:
    return await store.directory.create(external_id=external_id, first_name="Ann", last_name="Bee", **fields)


async def linked(
    store: Store, customer_id: str, ref: str = REF, provider: ProviderName = ProviderName.LOANPRO
) -> LinkRecord:
    return await store.directory.link(
        customer_id, provider, CustomerRef(ref), proof=LinkProof.TRUSTED_BACKEND, linked_by="staff:ann"
    )


async def test_a_customer_is_found_by_every_key(store: Store, clock: HandClock) -> None:
    ann = await made(store, email="ann@example.com", phone="+15550100")
    await linked(store, ann.id)
    assert ann == CustomerRecord(
        id=ann.id,
        external_id="user-1",
        first_name="Ann",
        last_name="Bee",
        email="ann@example.com",
        phone="+15550100",
        created_at=clock(),
    )
    assert ann.name == "Ann Bee"
    assert await store.directory.customer(ann.id) == ann
    assert await store.directory.customer_by_external_id("user-1") == ann
    assert await store.directory.customer_by_ref(ProviderName.LOANPRO, REF) == ann
    assert await store.directory.customers([ann.id, "cus_nobody"]) == {ann.id: ann}


@pytest.mark.parametrize("strange", ["cus_nobody", "", "nul\x00", "half\ud800", "' OR 1=1 --", "%"])
async def test_unstorable_keys_find_no_customer(store: Store, strange: str) -> None:
    await made(store)
    directory = store.directory
    assert await directory.customer(strange) is None
    assert await directory.customer_by_external_id(strange) is None
    assert await directory.customer_by_ref(ProviderName.ALOHA, CustomerRef(strange)) is None
    assert await directory.customers([strange]) == {}
    assert await directory.links_of([strange]) == {strange: ()}
    assert await directory.entry(strange) is None


async def test_text_that_cannot_be_stored_is_refused_before_the_database_sees_it(store: Store) -> None:
    with pytest.raises(UnstorableText) as caught:
        await made(store, external_id="nul\x00")
    assert "nul" not in str(caught.value)


async def test_an_external_id_belongs_to_one_customer(store: Store) -> None:
    ann = await made(store)
    with pytest.raises(ExternalIdTaken) as caught:
        await made(store)
    assert caught.value.customer_id == ann.id


async def test_concurrent_creates_of_one_customer_have_one_winner(store: Store) -> None:
    results = await asyncio.gather(*(made(store) for _ in range(8)), return_exceptions=True)
    won = [result for result in results if isinstance(result, CustomerRecord)]
    lost = [result for result in results if isinstance(result, ExternalIdTaken)]
    assert (len(won), len(lost)) == (1, 7)
    assert {error.customer_id for error in lost} == {won[0].id}


async def test_linking_is_idempotent(store: Store, clock: HandClock) -> None:
    ann = await made(store)
    first = await linked(store, ann.id)
    clock.advance(hours=1)
    assert await linked(store, ann.id) == first
    assert first == LinkRecord(
        customer_id=ann.id,
        provider=ProviderName.LOANPRO,
        customer_ref=REF,
        proof=LinkProof.TRUSTED_BACKEND,
        linked_at=first.linked_at,
        linked_by="staff:ann",
    )
    assert await store.directory.links_of([ann.id, "cus_x"]) == {ann.id: (first,), "cus_x": ()}


async def test_a_ref_has_one_owner_and_an_owner_one_ref_per_vault(store: Store) -> None:
    ann, bob = await made(store), await made(store, "user-2")
    await linked(store, ann.id)
    with pytest.raises(LinkConflict) as taken:
        await linked(store, bob.id)
    assert (taken.value.reason, taken.value.customer_id) == (LinkConflictReason.REF_TAKEN, ann.id)
    with pytest.raises(LinkConflict) as second:
        await linked(store, ann.id, "38")
    assert (second.value.reason, second.value.customer_id) == (LinkConflictReason.CUSTOMER_LINKED, ann.id)
    await linked(store, bob.id, REF, ProviderName.CASELLE)  # the same ref in another vault is another customer
    with pytest.raises(CustomerUnknown):
        await linked(store, "cus_nobody", "39")


async def test_two_customers_racing_for_one_ref(store: Store) -> None:
    people = [await made(store, f"user-{number}") for number in range(6)]
    results = await asyncio.gather(*(linked(store, person.id) for person in people), return_exceptions=True)
    won = [result for result in results if isinstance(result, LinkRecord)]
    lost = [result for result in results if isinstance(result, LinkConflict)]
    assert (len(won), len(lost)) == (1, 5)
    assert {error.customer_id for error in lost} == {won[0].customer_id}


async def test_unlinking_deletes_the_data_of_the_link(store: Store) -> None:
    ann = await made(store)
    link = await linked(store, ann.id)
    kept = await linked(store, ann.id, "C1", ProviderName.CASELLE)
    await store.directory.set_choice(ann.id, CARD, set_by="ann")
    await store.directory.set_nickname(ann.id, CARD, "blue")
    assert await store.directory.unlink(ann.id, ProviderName.LOANPRO) == link
    assert await store.directory.unlink(ann.id, ProviderName.LOANPRO) is None
    assert await store.directory.entry(ann.id) == DirectoryEntry(customer=ann, links=(kept,))


async def test_an_entry_holds_everything(store: Store, clock: HandClock) -> None:
    ann, bob = await made(store), await made(store, "user-2")
    link = await linked(store, ann.id)
    await store.directory.set_choice(ann.id, CARD, set_by="ann", allow_expired=True)
    await store.directory.set_nickname(ann.id, OTHER_CARD, "blue")
    choice = ChoiceRecord(
        customer_id=ann.id,
        provider=CARD.provider,
        customer_ref=CARD.customer_ref,
        method_ref=CARD.method_ref,
        allow_expired=True,
        set_at=clock(),
        set_by="ann",
    )
    entries = await store.directory.entries([ann.id, bob.id, "cus_nobody"])
    assert entries == {
        ann.id: DirectoryEntry(customer=ann, links=(link,), choice=choice, nicknames={OTHER_CARD: "blue"}),
        bob.id: DirectoryEntry(customer=bob),
    }
    assert entries[ann.id].link(ProviderName.LOANPRO) == link
    assert entries[ann.id].link(ProviderName.ALOHA) is None


async def test_an_entry_with_several_nicknames_at_several_vaults(store: Store) -> None:
    ann, bob = await made(store), await made(store, "user-2")
    first, second = await linked(store, ann.id), await linked(store, ann.id, "C1", ProviderName.CASELLE)
    await linked(store, bob.id, "C2", ProviderName.CASELLE)
    there = MethodAddress(ProviderName.CASELLE, CustomerRef("C1"), MethodRef("1181"))
    names = {CARD: "blue", OTHER_CARD: "red", there: "green"}
    for address, nickname in names.items():
        await store.directory.set_nickname(ann.id, address, nickname)
    entry = await store.directory.entry(ann.id)
    assert entry == DirectoryEntry(customer=ann, links=(second, first), nicknames=names)


async def test_an_entry_by_the_vaults_ref(store: Store) -> None:
    ann, bob = await made(store), await made(store, "user-2")
    await linked(store, ann.id)
    await linked(store, ann.id, "C1", ProviderName.CASELLE)
    await linked(store, bob.id, "C2", ProviderName.CASELLE)
    directory = store.directory
    assert await directory.entry_at(CARD.provider, CARD.customer_ref) == await directory.entry(ann.id)
    assert await directory.entry_at(ProviderName.CASELLE, CustomerRef("C2")) == await directory.entry(bob.id)
    assert await directory.entry_at(ProviderName.ALOHA, CustomerRef("C2")) is None
    assert await directory.entry_at(ProviderName.ALOHA, CustomerRef("\x00")) is None
    await directory.erase(bob.id, keep_links=[ProviderName.CASELLE])
    assert (await directory.entry_at(ProviderName.CASELLE, CustomerRef("C2"))) == await directory.entry(bob.id)
    await directory.erase(bob.id)
    assert await directory.entry_at(ProviderName.CASELLE, CustomerRef("C2")) is None


async def test_a_choice_is_replaced_and_cleared_only_when_it_is_still_the_same(store: Store) -> None:
    ann = await made(store)
    directory = store.directory
    await directory.set_choice(ann.id, CARD, set_by="ann")
    before = await directory.choice(ann.id)
    assert before is not None
    assert (before.method_ref, before.set_by) == (CARD.method_ref, "ann")
    await directory.set_choice(ann.id, OTHER_CARD, set_by="bob")
    assert await directory.clear_choice(ann.id, only_if=CARD) is None
    now = await directory.choice(ann.id)
    assert now is not None
    assert await directory.clear_choice(ann.id, only_if=OTHER_CARD) == now
    assert await directory.choice(ann.id) is None
    assert await directory.clear_choice(ann.id) is None
    with pytest.raises(CustomerUnknown):
        await directory.set_choice("cus_nobody", CARD, set_by="ann")


async def test_choice_and_nickname_move_to_a_replaced_method(store: Store) -> None:
    ann = await made(store)
    await linked(store, ann.id)
    await store.directory.set_choice(ann.id, CARD, set_by="ann")
    await store.directory.set_nickname(ann.id, CARD, "blue")
    assert await store.directory.move_choice(ann.id, CARD, OTHER_CARD) is True
    assert await store.directory.move_choice(ann.id, CARD, OTHER_CARD) is False
    choice = await store.directory.choice(ann.id)
    assert choice is not None
    assert choice.method_ref == OTHER_CARD.method_ref
    assert await nicknames_of(store, ann.id) == {OTHER_CARD: "blue"}


async def nicknames_of(store: Store, customer_id: str) -> Mapping[MethodAddress, str]:
    entry = await store.directory.entry(customer_id)
    assert entry is not None
    return entry.nicknames


async def test_a_holders_name_is_kept_beside_the_nickname(store: Store) -> None:
    ann = await made(store)
    await linked(store, ann.id)
    await store.directory.set_holder(ann.id, CARD, "Ann Example")
    await store.directory.set_nickname(ann.id, CARD, "blue")
    await store.directory.set_nickname(ann.id, CARD, None)
    entry = await store.directory.entry(ann.id)
    assert entry is not None
    assert (entry.nicknames, entry.holder_names) == ({}, {CARD: "Ann Example"})
    await store.transaction(drop_method_names, ann.id, CARD)
    entry = await store.directory.entry(ann.id)
    assert entry is not None
    assert entry.holder_names == {}


async def test_nicknames_are_set_changed_and_removed(store: Store) -> None:
    ann = await made(store)
    await linked(store, ann.id)
    await store.directory.set_nickname(ann.id, CARD, "blue")
    await store.directory.set_nickname(ann.id, CARD, "büro 💳")
    await store.directory.set_nickname(ann.id, OTHER_CARD, "red")
    assert await nicknames_of(store, ann.id) == {CARD: "büro 💳", OTHER_CARD: "red"}
    await store.directory.set_nickname(ann.id, CARD, None)
    assert await nicknames_of(store, ann.id) == {OTHER_CARD: "red"}


async def test_erasing_deletes_personal_data_and_frees_the_external_id(store: Store, clock: HandClock) -> None:
    ann = await made(store, email="ann@example.com", phone="+15550100")
    await linked(store, ann.id)
    await store.directory.set_choice(ann.id, CARD, set_by="ann")
    await store.directory.set_nickname(ann.id, CARD, "blue")
    erased = await store.directory.erase(ann.id)
    assert erased == CustomerRecord(
        id=ann.id,
        external_id=None,
        first_name=None,
        last_name=None,
        email=None,
        created_at=ann.created_at,
        erased_at=clock(),
    )
    clock.advance(days=1)
    assert await store.directory.erase(ann.id) == erased
    assert await store.directory.customer(ann.id) is None
    assert await store.directory.customer(ann.id, include_erased=True) == erased
    assert await store.directory.entry(ann.id) is None
    assert await store.directory.links_of([ann.id]) == {ann.id: ()}
    assert await store.directory.customer_by_ref(ProviderName.LOANPRO, REF) is None
    with pytest.raises(CustomerUnknown):
        await linked(store, ann.id)
    assert (await made(store)).id != ann.id


async def test_a_partial_erasure_keeps_the_link_and_external_id_for_a_retry(store: Store) -> None:
    ann = await made(store, email="ann@example.com")
    await linked(store, ann.id)
    kept = await linked(store, ann.id, "A1", ProviderName.ALOHA)
    partly = await store.directory.erase(ann.id, keep_links=[ProviderName.ALOHA])
    assert partly == replace(ann, first_name=None, last_name=None, email=None)
    assert await store.directory.entry(ann.id) == DirectoryEntry(customer=partly, links=(kept,))
    await store.directory.unlink(ann.id, ProviderName.ALOHA)
    assert (await store.directory.erase(ann.id)).erased_at is not None


async def test_a_transaction_commits_all_or_nothing(store: Store) -> None:
    heard: list[ChangeNotice] = []
    store.on_change(heard.extend)

    def fail_late(tx: Transaction) -> None:
        ann = create_customer(tx, external_id="user-1")
        assert find_customer(tx, ann.id) == ann
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await store.transaction(fail_late)
    assert await store.directory.customer_by_external_id("user-1") is None
    assert heard == []

    def create_and_link(tx: Transaction) -> str:
        ann = create_customer(tx, external_id="user-1")
        link_customer(tx, ann.id, ProviderName.LOANPRO, REF, proof=LinkProof.CREATED_BY_GATEWAY, linked_by="x")
        assert heard == []
        return ann.id

    assert heard == [ChangeNotice(1, Topic.CUSTOMER, await store.transaction(create_and_link))]


async def test_tenants_do_not_see_each_other(store_url: str, store: Store) -> None:
    ann = await made(store)
    await linked(store, ann.id)
    other = Store.open(store_url, tenant="acme")
    try:
        assert await other.directory.customer(ann.id) is None
        assert await other.directory.customer_by_external_id("user-1") is None
        assert await other.directory.customer_by_ref(ProviderName.LOANPRO, REF) is None
        assert await customer_ids(other) == []
        assert await other.changes.version() == 0
        theirs = await other.directory.create(external_id="user-1", customer_id=ann.id)
        assert await store.directory.customer(ann.id) != theirs
    finally:
        await other.close()
