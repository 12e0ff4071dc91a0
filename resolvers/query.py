"""The query type. Ids of the wrong kind, tampered ids and ids that the caller may not see give null without
an error.
"""

from collections.abc import Awaitable
from typing import Annotated

import strawberry

from app.vault.model import Expiry
from resolvers import lookup
from resolvers.context import Info
from resolvers.directives import ListSize
from resolvers.errors import BadUserInput
from resolvers.inputs.customer_by import CustomerBy
from resolvers.inputs.customer_filter import CustomerFilter
from resolvers.inputs.event_filter import EventFilter, require_all_customers
from resolvers.scopes import scoped
from resolvers.types.customer import READ_METHODS, Customer
from resolvers.types.customer_connection import (
    MOST_ITEMS,
    CustomerConnection,
    ExpiringPaymentMethodConnection,
    find_customers,
    find_expiring,
)
from resolvers.types.event import MOST_EVENTS, EventConnection, event_position
from resolvers.types.node import Node
from resolvers.types.operation import Operation
from resolvers.types.paging import Cursor, PageSize, page_size
from resolvers.types.payment_method import PaymentMethod
from resolvers.types.providers import ProviderInfo, provider_infos
from resolvers.types.viewer import Viewer

SCHEMA_DATE = "2026-11-21"
MOST_NODES = 100
READ_AUDIT = "audit:read"


@strawberry.type(description="What can be read.")
class Query:
    @strawberry.field(graphql_type=Node | None, description="An object by its id.")
    def node(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The object's id.")]
    ) -> Node | Awaitable[Node | None] | None:
        return lookup.node(info, id)

    @strawberry.field(
        graphql_type=list[Node | None], description="Up to 100 at once, in the order requested; null for unknown ones."
    )
    def nodes(
        self, info: Info, ids: Annotated[list[strawberry.ID], strawberry.argument(description="The objects' ids.")]
    ) -> list[Node | Awaitable[Node | None] | Exception | None]:
        if len(ids) > MOST_NODES:
            raise BadUserInput(f"At most {MOST_NODES} ids at once.")
        return [_node_or_error(info, one) for one in ids]

    @strawberry.field(description="The caller.")
    def viewer(self, info: Info) -> Viewer:
        caller, services = info.context.caller, info.context.services
        return Viewer(
            partner=caller.name,
            scopes=sorted(caller.scopes),
            test_mode=services.test_mode,
            schema_date=SCHEMA_DATE,
        )

    @scoped(lookup.READ_CUSTOMERS, graphql_type=Customer | None, calls=4, description="A customer by its id.")
    def customer(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The customer's id.")]
    ) -> Customer | Awaitable[Customer | None] | None:
        return lookup.customer(info, id)

    @scoped(lookup.READ_CUSTOMERS, calls=4, description="A customer by another key.")
    async def find_customer(
        self, info: Info, by: Annotated[CustomerBy, strawberry.argument(description="The key.")]
    ) -> Customer | None:
        if by.provider_ref:
            return await lookup.customer_by_ref(info, by.provider_ref.provider, by.provider_ref.customer_ref)
        return await lookup.customer_by_external_id(info, by.external_id) if by.external_id else None

    @scoped(
        lookup.READ_CUSTOMERS,
        calls=1,
        size=ListSize(assumed_size=MOST_ITEMS, slicing_arguments=["first"], sized_fields=["edges", "nodes"]),
        description="The customers that the caller may see and that meet the filter, page by page; at most 100 a page.",
    )
    async def customers(
        self,
        info: Info,
        filter: Annotated[
            CustomerFilter | None, strawberry.argument(description="Which customers to return; all without it.")
        ] = strawberry.UNSET,
        first: PageSize = 20,
        after: Cursor = strawberry.UNSET,
    ) -> CustomerConnection | None:
        return await find_customers(info, filter or None, first, after or None)

    @scoped(
        READ_METHODS,
        size=ListSize(assumed_size=MOST_ITEMS, slicing_arguments=["first"], sized_fields=["edges", "nodes"]),
        description="Methods that are valid now and expire before a month, the next ones first, without a call to a "
        "vault: as last observed, for customers whose payment methods were read, polled, notified or reconciled.",
    )
    async def expiring_payment_methods(
        self,
        info: Info,
        before: Annotated[
            Expiry, strawberry.argument(description="The first month in which a method is not included any more.")
        ],
        since: Annotated[
            Expiry | None,
            strawberry.argument(description="An earlier month than the current one, to include expired methods."),
        ] = strawberry.UNSET,
        first: PageSize = 20,
        after: Cursor = strawberry.UNSET,
    ) -> ExpiringPaymentMethodConnection | None:
        return await find_expiring(info, before, since or None, first, after or None)

    @scoped(READ_METHODS, calls=1, description="A payment method by id. Reads only its vault.")
    async def payment_method(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The payment method's id.")]
    ) -> PaymentMethod | None:
        return await lookup.payment_method(info, id)

    @scoped(READ_METHODS, description="A write by its id, and its outcome.")
    async def operation(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The operation's id.")]
    ) -> Operation | None:
        return await lookup.operation(info, id)

    @scoped(
        READ_AUDIT,
        size=ListSize(assumed_size=MOST_EVENTS, slicing_arguments=["first"], sized_fields=["edges"]),
        description="Changes to the payment methods of all customers, oldest first, for callers that may see all "
        "customers. To continue later, store `pageInfo.endCursor`, of an empty page too, and pass it as `after`. "
        "Where few events meet the filter, a page may have fewer than `first` while `hasNextPage` is true.",
    )
    async def events(
        self,
        info: Info,
        filter: Annotated[
            EventFilter | None, strawberry.argument(description="Which events to return.")
        ] = strawberry.UNSET,
        first: PageSize = 20,
        after: Cursor = strawberry.UNSET,
    ) -> EventConnection | None:
        require_all_customers(info, READ_AUDIT)
        size, start = page_size(first, MOST_EVENTS), event_position(after or None)
        wanted, log = filter or EventFilter(), info.context.services.events
        page = await log.page(wanted.event_types(), wanted.test(), first=size, after=wanted.start(start))
        return EventConnection.of(page, start, info)

    @strawberry.field(description="Every vault with its capabilities.", directives=[ListSize(assumed_size=4)])
    def providers(self, info: Info) -> list[ProviderInfo]:
        return provider_infos(info.context.services)


def _node_or_error(info: Info, any_id: str) -> Node | Awaitable[Node | None] | Exception | None:
    """An exception in place of an item is that item's error alone."""
    try:
        return lookup.node(info, any_id)
    except Exception as error:  # noqa: BLE001 - raised again by the executor
        return error
