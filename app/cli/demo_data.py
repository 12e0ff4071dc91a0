"""Creates and links the demo customers in the gateway's directory, once."""

from app.sandbox.demo import DemoCustomer, demo_customers
from app.store import Store, Tx
from app.vault.enums import CustomerRef, LinkProof, ProviderName

_LINKED_BY = "demo"


async def link_demo_customers(store: Store) -> None:
    """Create and link the demo customers missing from the directory.

    Existing customers are not changed, so that one unlinked or erased in development stays so.
    """
    everyone = {customer.id: customer for customer in demo_customers()}
    known = await store.directory.customers(list(everyone))
    async with store.transaction() as tx:
        for customer_id, customer in everyone.items():
            if customer_id not in known:
                await add_demo_customer(store, customer, tx)


async def add_demo_customer(store: Store, customer: DemoCustomer, tx: Tx) -> None:
    if await store.directory.customer(customer.id, include_erased=True, tx=tx) is not None:
        return
    await store.directory.create(
        customer_id=customer.id,
        external_id=customer.external_id,
        first_name=customer.first_name,
        last_name=customer.last_name,
        email=customer.email,
        tx=tx,
    )
    for provider, ref in customer.refs.items():
        await store.directory.link(
            customer.id,
            ProviderName(provider),
            CustomerRef(ref),
            proof=LinkProof.TRUSTED_BACKEND,
            linked_by=_LINKED_BY,
            tx=tx,
        )
