"""Moves of methods between vaults in the store, on both backends."""

from app.store import Store
from app.store.moves import MoveState
from app.store.records import EventType, MethodAddress, ObservedMethod
from app.vault.enums import CustomerRef, LinkProof, MethodRef, PaymentMethodStatus, ProviderName
from app.wallet.changes.daily_jobs import complete_moves

OLD = MethodAddress(ProviderName.LOANPRO, CustomerRef("37"), MethodRef("1181"))
NEW = MethodAddress(ProviderName.CASELLE, CustomerRef("cus_1"), MethodRef("spm_1"))
OTHER = MethodAddress(ProviderName.CASELLE, CustomerRef("cus_1"), MethodRef("spm_2"))


async def customer_with(store: Store, *methods: MethodAddress) -> str:
    made = await store.directory.create(external_id="a", first_name="Ann")
    for one in methods:
        await store.directory.link(
            made.id, one.provider, one.customer_ref, proof=LinkProof.TRUSTED_BACKEND, linked_by="staff:ann"
        )
    return made.id


async def observe(
    store: Store, method: MethodAddress, status: PaymentMethodStatus = PaymentMethodStatus.ACTIVE
) -> None:
    seen = ObservedMethod(method_ref=method.method_ref, etag=status.value, status=status, expiry=None)
    await store.observed_methods.note(method.provider, method.customer_ref, [seen])


async def test_the_default_stays_until_the_new_method_was_seen(store: Store) -> None:
    customer = await customer_with(store, OLD, NEW)
    await store.directory.set_choice(customer, OLD, set_by="staff:ann")
    await store.directory.set_nickname(customer, OLD, "Blue")
    for _ in range(2):
        moved = await store.moves.move(OLD, NEW, moved_by="operator")
        assert (moved.state, moved.has_default) == (MoveState.PENDING, True)
    await observe(store, NEW, PaymentMethodStatus.PENDING)
    assert await complete_moves(store) == 0
    entry = await store.directory.entry(customer)
    assert entry is not None
    assert entry.choice is not None
    assert (entry.choice.address, entry.nicknames) == (OLD, {OLD: "Blue"})
    await observe(store, NEW)
    assert await complete_moves(store) == 1
    assert await complete_moves(store) == 0
    entry = await store.directory.entry(customer)
    assert entry is not None
    assert entry.choice is not None
    assert (entry.choice.address, entry.choice.is_kept, entry.nicknames) == (NEW, False, {NEW: "Blue"})
    assert (await store.moves.move(OLD, NEW, moved_by="operator")).state is MoveState.DONE
    assert (await store.moves.move(OLD, OTHER, moved_by="operator")).state is MoveState.CONFLICT
    events = await store.events.after(None, types=[EventType.DEFAULT_CHANGED])
    assert [(one.provider, one.method_ref, one.actor) for one in events] == [(NEW.provider, "spm_1", "operator")]


async def test_a_new_nickname_and_a_later_choice_stay(store: Store) -> None:
    customer = await customer_with(store, OLD, NEW)
    await store.directory.set_choice(customer, OLD, set_by="staff:ann")
    await store.directory.set_nickname(customer, OLD, "Blue")
    await store.directory.set_nickname(customer, NEW, "Green")
    await store.moves.move(OLD, NEW, moved_by="operator")
    await store.directory.set_choice(customer, OTHER, set_by="user:ann")
    await observe(store, NEW)
    assert await complete_moves(store) == 1
    entry = await store.directory.entry(customer)
    assert entry is not None
    assert entry.choice is not None
    assert entry.choice.address == OTHER
    assert entry.nicknames == {OLD: "Blue", NEW: "Green"}


async def test_pairs_of_unlinked_and_erased_customers_end(store: Store) -> None:
    customer = await customer_with(store, OLD, NEW)
    await store.moves.move(OLD, NEW, moved_by="operator")
    await observe(store, NEW)
    await store.directory.unlink(customer, ProviderName.LOANPRO)
    assert await complete_moves(store) == 0
    assert await store.moves.find(OLD) is None
    assert (await store.moves.move(OLD, NEW, moved_by="operator")).state is MoveState.NOT_LINKED
    other = MethodAddress(ProviderName.ALOHA, CustomerRef("5"), MethodRef("6"))
    await store.directory.link(
        customer, other.provider, other.customer_ref, proof=LinkProof.TRUSTED_BACKEND, linked_by="staff:ann"
    )
    assert (await store.moves.move(other, OTHER, moved_by="operator")).state is MoveState.PENDING
    await store.erase(customer)
    assert await store.moves.find(other) is None
