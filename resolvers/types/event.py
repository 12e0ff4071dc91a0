"""Events of customers, as clients see them."""

from collections.abc import Awaitable
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Final, Self

import strawberry

from app.store.records import EventOrigin, EventPage, EventRecord, EventType
from app.vault.enums import ProviderName
from app.wallet.ids import IdKind, kind_of
from resolvers.context import Info
from resolvers.enums import register
from resolvers.errors import BadUserInput, CodedError
from resolvers.scopes import scoped
from resolvers.types.node import Node
from resolvers.types.paging import PageInfo, from_cursor, to_cursor

if TYPE_CHECKING:
    from resolvers.types.customer import Customer

register(
    EventOrigin,
    "How the gateway learned of an event.",
    {
        "GATEWAY": "It was done through the gateway.",
        "PROVIDER_WEBHOOK": "The vault reported it.",
        "RECONCILIATION": "The gateway saw it when it read the vault.",
    },
)


MOST_EVENTS: Final = 100
_CURSOR: Final = "event"
CUSTOMER_EVENTS: Final = frozenset(one for one in EventType if one.is_for_customers)

if TYPE_CHECKING:
    GraphEventType = EventType
else:
    GraphEventType = Enum("GraphEventType", {one.name: one.value for one in EventType if one.is_for_customers})
    register(
        GraphEventType,
        "What happened. Open enum: clients must tolerate values added later.",
        {
            "METHOD_ADDED": "A payment method was added.",
            "METHOD_UPDATED": "A payment method was changed.",
            "METHOD_REPLACED": "A payment method was replaced, and has another id now.",
            "METHOD_DELETED": "A payment method was deleted.",
            "METHOD_EXPIRING": "A card will expire soon.",
            "METHOD_EXPIRED": "A card has expired.",
            "DEFAULT_CHANGED": "The effective default has changed.",
            "AUTH_CHANGED": "The 3-D Secure status of a card has changed.",
            "PAYMENT_UPDATED": "The state of a payment has changed.",
            "LINK_CHANGED": "The customer was linked to a vault, or a link was removed.",
            "SOURCE_DEGRADED": "A vault cannot be read for this customer any more.",
            "SOURCE_RECOVERED": "A vault can be read for this customer again.",
        },
        name="EventType",
    )


@strawberry.type(description="An event. Ids increase in the order in which events were stored.")
class CustomerEvent(Node):
    type: GraphEventType = strawberry.field(description="What happened.")
    occurred_at: datetime = strawberry.field(description="When it happened, or when the gateway first saw it.")
    origin: EventOrigin = strawberry.field(description="How the gateway learned of it.")
    provider: ProviderName | None = strawberry.field(description="The vault concerned; null if none is.")
    payment_method_id: strawberry.ID | None = strawberry.field(description="The method concerned.")
    payment_id: strawberry.ID | None = strawberry.field(description="The payment of PAYMENT_UPDATED.")
    customer_id: strawberry.Private[str]
    who: strawberry.Private[str | None]

    @scoped("customers:read", description="The customer as it is now.")
    async def customer(self, info: Info) -> Annotated["Customer", strawberry.lazy("resolvers.types.customer")] | None:
        from resolvers.types.customer import read_customer

        entry = await info.context.entry(self.customer_id)
        if entry is None:  # merged or erased since the event
            from resolvers.lookup import refuse_merged

            await refuse_merged(info, self.customer_id)
            raise CodedError("NOT_FOUND", "The customer no longer exists.")
        found = read_customer(info, entry)
        return await found if isinstance(found, Awaitable) else found

    @scoped("audit:read", description="The key of the caller who did it through the gateway, e.g. staff:ann.")
    def actor(self) -> str | None:
        return self.who

    @classmethod
    def of(cls, record: EventRecord, info: Info) -> Self:
        method_id = None
        if record.provider and record.customer_ref is not None and record.method_ref is not None:
            made = info.context.services.ids.encode(record.provider, record.customer_ref, record.method_ref)
            method_id = strawberry.ID(made)
        return cls(
            id=strawberry.ID(record.id),
            type=GraphEventType(record.type.value),
            occurred_at=record.occurred_at,
            origin=record.origin,
            provider=record.provider,
            payment_method_id=method_id,
            payment_id=strawberry.ID(paid) if (paid := record.detail.get("payment_id")) else None,
            customer_id=record.customer_id or "",
            who=record.actor,
        )


@strawberry.type(description="One event and its cursor.")
class EventEdge:
    cursor: str = strawberry.field(description="The event's position, for `after`.")
    node: CustomerEvent = strawberry.field(description="The event.")


@strawberry.type(description="A page of events.")
class EventConnection:
    edges: list[EventEdge] = strawberry.field(description="The events of this page.")
    page_info: PageInfo = strawberry.field(description="Whether there are more pages, and where to continue.")

    @classmethod
    def of(cls, page: EventPage, start: str | None, info: Info) -> Self:
        """`start`: the position after which the page begins."""
        edges = [EventEdge(cursor=to_cursor(_CURSOR, one.id), node=CustomerEvent.of(one, info)) for one in page.events]
        end = to_cursor(_CURSOR, page.position) if page.position is not None else None
        return cls(
            edges=edges,
            page_info=PageInfo.of(edges, has_next=page.has_next, has_previous=start is not None, end=end),
        )


def event_position(after: str | None) -> str | None:
    """The id that a cursor contains. Raises BadUserInput."""
    position = from_cursor(_CURSOR, after) if after else None
    if position is not None and kind_of(position) is not IdKind.EVENT:
        raise BadUserInput("after is not a cursor of this connection.")
    return position
