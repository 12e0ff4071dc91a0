"""Pages of customers, and of methods that expire."""

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Final

import strawberry

from app.store.records import CustomerCriteria, CustomerPosition, DirectoryEntry, ExpiryPosition, ObservedRecord
from app.vault.enums import ProviderName
from app.vault.model import Expiry
from app.vault.rules.expiry import ExpiryClock
from resolvers.context import Info
from resolvers.errors import BadUserInput
from resolvers.inputs.customer_filter import CustomerFilter
from resolvers.scopes import scoped
from resolvers.types.customer import READ_METHODS, Customer, read_customer
from resolvers.types.paging import PageInfo, from_cursor, page_size, to_cursor, wrong_cursor
from resolvers.types.payment_method import PaymentMethod

READ_CUSTOMERS: Final = "customers:read"
MOST_ITEMS: Final = 100
_CUSTOMER: Final = "customer"
_EXPIRY: Final = "expiry"


@strawberry.type(description="One customer and its cursor.")
class CustomerEdge:
    cursor: str = strawberry.field(description="The customer's place in this order: the value for `after`.")
    entry: strawberry.Private[DirectoryEntry]

    @scoped(READ_CUSTOMERS, graphql_type=Customer | None, calls=4, if_read=True, description="The customer.")
    def node(self, info: Info) -> Customer | Awaitable[Customer]:
        return read_customer(info, self.entry)


@strawberry.type(
    description="A page of customers, in an order that depends on the filter but not on what changes between pages."
)
class CustomerConnection:
    edges: list[CustomerEdge] = strawberry.field(description="The customers of this page with their cursors.")
    page_info: PageInfo = strawberry.field(
        description="The position of this page. Go on while hasNextPage is true, even after an empty page."
    )

    @scoped(
        READ_CUSTOMERS,
        graphql_type=list[Customer] | None,
        calls=4,
        if_read=True,
        description="The customers of this page without their cursors.",
    )
    def nodes(self, info: Info) -> list[Customer | Awaitable[Customer]]:
        return [read_customer(info, edge.entry) for edge in self.edges]


async def find_customers(
    info: Info, wanted: CustomerFilter | None, first: int, after: str | None
) -> CustomerConnection:
    """Raises BadUserInput for a cursor of another filter."""
    context, size = info.context, page_size(first, MOST_ITEMS)
    services, among = context.services, context.caller.visible_customers
    criteria = wanted.to_criteria() if wanted else CustomerCriteria()
    start = _customer_position(after, criteria, criteria.walk(is_restricted=among is not None)) if after else None
    page = await services.customer_search.find(criteria, first=size, after=start, among=among)
    entries = await services.directory.entries([one.id for one in page.customers])
    edges = [
        CustomerEdge(cursor=_customer_cursor(CustomerPosition.of(page.walk, one)), entry=entries[one.id])
        for one in page.customers
        if one.id in entries  # false for one that was erased just now
    ]
    end = page.next or (CustomerPosition.of(page.walk, page.customers[-1]) if page.customers else None)
    return CustomerConnection(
        edges=edges,
        page_info=PageInfo.of(
            edges,
            has_next=page.next is not None,
            has_previous=start is not None,
            end=_customer_cursor(end) if end else None,
        ),
    )


def _customer_cursor(at: CustomerPosition) -> str:
    created_at = "" if at.created_at is None else at.created_at.isoformat()
    return to_cursor(_CUSTOMER, "|".join((at.walk, created_at, at.id, at.external_id or "")))


def _customer_position(cursor: str, wanted: CustomerCriteria, walk: str) -> CustomerPosition:
    name, *parts = from_cursor(_CUSTOMER, cursor).split("|", 3)
    if len(parts) != 3 or not parts[1]:
        raise wrong_cursor()
    if name != walk:
        raise BadUserInput("after is a cursor of another filter.")
    created_at, customer_id, external_id = parts
    at = CustomerPosition(walk, customer_id, external_id or None)
    if wanted.external_id_prefix is not None and walk == "external_id_prefix":
        if not external_id.startswith(wanted.external_id_prefix):
            raise wrong_cursor()
    elif wanted.created_after is not None and walk == "created_after":
        at = at._replace(created_at=_instant(created_at))
        if at.created_at is None or at.created_at < wanted.created_after:
            raise wrong_cursor()
    return at


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise wrong_cursor() from None


# ---- methods that expire -----------------------------------------------------------------------------------------


@strawberry.type(description="A payment method that expires, as the gateway last observed it at its vault.")
class ExpiringPaymentMethod:
    payment_method_id: strawberry.ID = strawberry.field(description="The id of the payment method.")
    provider: ProviderName = strawberry.field(description="The vault that has the method.")
    expiry: Expiry = strawberry.field(description="The last month in which the card is valid.")
    observed_at: datetime = strawberry.field(
        description="When the vault's list showed this state first. It may have changed since: `paymentMethod` is read "
        "now."
    )
    customer_id: strawberry.Private[str]

    @scoped(READ_CUSTOMERS, calls=4, if_read=True, description="The customer who has the method.")
    async def customer(self, info: Info) -> Customer | None:
        entry = await info.context.entry(self.customer_id)
        if entry is None:
            return None
        found = read_customer(info, entry)
        return await found if isinstance(found, Awaitable) else found

    @scoped(READ_METHODS, calls=1, description="The method as its vault has it now; null if it is gone.")
    async def payment_method(self, info: Info) -> PaymentMethod | None:
        from resolvers.lookup import payment_method

        return await payment_method(info, self.payment_method_id)


@strawberry.type(description="One expiring method and its cursor.")
class ExpiringPaymentMethodEdge:
    cursor: str = strawberry.field(description="The method's place in this order: the value for `after`.")
    node: ExpiringPaymentMethod = strawberry.field(description="The expiring method.")


@strawberry.type(description="A page of methods that expire, the next ones first.")
class ExpiringPaymentMethodConnection:
    edges: list[ExpiringPaymentMethodEdge] = strawberry.field(description="The methods with their cursors.")
    page_info: PageInfo = strawberry.field(description="The position of this page.")

    @strawberry.field(description="The methods of this page without their cursors.")
    def nodes(self) -> list[ExpiringPaymentMethod]:
        return [edge.node for edge in self.edges]


async def find_expiring(
    info: Info, before: Expiry, since: Expiry | None, first: int, after: str | None
) -> ExpiringPaymentMethodConnection:
    context, size = info.context, page_size(first, MOST_ITEMS)
    services = context.services
    start = ExpiryPosition(str(since) if since else _month(services.utc_now()))
    if after:
        start = max(start, _expiry_position(after, info))
    found = await services.observed.next_to_expire(
        start, str(before), limit=size + 1, among=context.caller.visible_customers
    )
    edges = [edge for record in found[:size] if (edge := _edge(record, info)) is not None]
    return ExpiringPaymentMethodConnection(
        edges=edges,
        page_info=PageInfo.of(edges, has_next=len(found) > size, has_previous=bool(after)),
    )


def _month(now: datetime) -> str:
    year, month = ExpiryClock.at(now, 0).current
    return f"{year:04d}-{month:02d}"


def _edge(record: ObservedRecord, info: Info) -> ExpiringPaymentMethodEdge | None:
    try:
        method_id = info.context.services.ids.encode(record.provider, record.customer_ref, record.method_ref)
    except ValueError:  # refs that are too long: the graph does not show such a method
        return None
    year, _, month = str(record.expiry).partition("-")
    node = ExpiringPaymentMethod(
        payment_method_id=strawberry.ID(method_id),
        provider=record.provider,
        expiry=Expiry(int(year), int(month)),
        observed_at=record.seen_at,
        customer_id=record.customer_id,
    )
    return ExpiringPaymentMethodEdge(cursor=to_cursor(_EXPIRY, f"{record.expiry}.{method_id}"), node=node)


def _expiry_position(cursor: str, info: Info) -> ExpiryPosition:
    month, _, method_id = from_cursor(_EXPIRY, cursor).partition(".")
    address = info.context.services.ids.decode(method_id)
    if address is None or len(month) != 7:
        raise wrong_cursor()
    return ExpiryPosition(month, address.provider.value, address.customer_ref, address.method_ref)
