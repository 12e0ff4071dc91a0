"""Creates and links the demo customers in the gateway's directory, once."""

from collections.abc import Iterable

from app.sandbox.demo import DemoCustomer, demo_customers
from app.store import Store, Transaction
from app.store.directory import create_customer, link_customer
from app.store.directory_reads import find_customer
from app.vault.enums import CustomerRef, LinkProof, ProviderName

_LINKED_BY = "demo"


async def link_demo_customers(store: Store) -> None:
    """Create and link the demo customers missing from the directory.

    Existing customers are not changed, so that one unlinked or erased in development stays so.
    """
    everyone = {customer.id: customer for customer in demo_customers()}
    known = await store.directory.customers(list(everyone))
    missing = [customer for customer_id, customer in everyone.items() if customer_id not in known]
    await store.transaction(add_demo_customers, missing)


def add_demo_customers(tx: Transaction, customers: Iterable[DemoCustomer]) -> None:
    for customer in customers:
        if find_customer(tx, customer.id, include_erased=True) is not None:
            continue
        create_customer(
            tx,
            customer_id=customer.id,
            external_id=customer.external_id,
            first_name=customer.first_name,
            last_name=customer.last_name,
            email=customer.email,
        )
        for provider, ref in customer.refs.items():
            link_customer(
                tx,
                customer.id,
                ProviderName(provider),
                CustomerRef(ref),
                proof=LinkProof.TRUSTED_BACKEND,
                linked_by=_LINKED_BY,
            )
