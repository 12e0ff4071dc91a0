"""Creates what `vaultgraph dev` shows, once: the demo customers, linked, and published documents."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Final

from app.cli.development import DEMO_PARTNER
from app.sandbox.demo import DemoCustomer, demo_customers
from app.store import Store, Transaction
from app.store.clients import add_client
from app.store.directory import create_customer, link_customer
from app.store.directory_reads import find_customer
from app.store.documents import publish_documents
from app.vault.enums import CustomerRef, LinkProof, ProviderName

_LINKED_BY: Final = "demo"
_DOCUMENTS: Final = Path(__file__).with_name("demo_documents")
_SCOPES: Final = ("customers:read", "payment_methods:read", "payment_methods:write", "payments:write")


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


async def publish_demo_documents(store: Store) -> None:
    """Publish the demo documents, all of them for agents, for a partner without a known key. If the partner exists,
    nothing is changed.
    """
    if await store.clients.client(DEMO_PARTNER) is not None:
        return
    from app.api.documents.check import Checker
    from app.api.documents.formats import read
    from app.api.limits import Limits
    from resolvers.schema import print_sdl

    entries, _ = read(_DOCUMENTS)
    checked, faults = Checker.from_sdl(print_sdl(), Limits()).check(entries, partner_scopes=frozenset(_SCOPES))
    assert not faults, faults
    new = [replace(one.new, for_agents=True) for one in checked]

    def save(tx: Transaction) -> None:
        add_client(tx, DEMO_PARTNER, key_hash=token_hex(32), scopes=_SCOPES, sees_all_customers=True)
        publish_documents(tx, DEMO_PARTNER, new)

    await store.transaction(save)
