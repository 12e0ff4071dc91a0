"""The interfaces through which resolvers search the store. By themselves they find nothing."""

from collections.abc import Collection
from typing import Protocol

from app.store.records import CustomerCriteria, CustomerPage, CustomerPosition, ExpiryPosition, ObservedRecord


class CustomerFinder(Protocol):
    """See `app.store.customer_search.search_customers`."""

    async def find(
        self,
        wanted: CustomerCriteria,
        *,
        first: int,
        after: CustomerPosition | None = None,
        among: Collection[str] | None = None,
    ) -> CustomerPage:
        return CustomerPage(wanted.walk(is_restricted=among is not None), [], None)


class ExpiryReader(Protocol):
    """See `app.store.observed_methods.next_to_expire`."""

    async def next_to_expire(
        self, after: ExpiryPosition, before: str, *, limit: int, among: Collection[str] | None = None
    ) -> list[ObservedRecord]:
        return []


class NoSearch(CustomerFinder, ExpiryReader):
    """For a process without a store."""
