"""Events of customers, as clients see them."""

from collections.abc import Awaitable
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Final, Self

import strawberry

from app.store.records import EventOrigin, EventRecord, EventType
from app.vault.enums import ProviderName
from resolvers.context import Info
from resolvers.errors import CodedError
from resolvers.scopes import scoped
from resolvers.types.node import Node
from resolvers.types.paging import PageInfo

if TYPE_CHECKING:
    from resolvers.types.customer import Customer

strawberry.enum(EventOrigin, description="GATEWAY: done through this gateway. Others: reported or observed changes.")


CUSTOMER_EVENTS: Final = frozenset(one for one in EventType if one.is_for_customers)

if TYPE_CHECKING:
    GraphEventType = EventType
else:
    GraphEventType = strawberry.enum(
        Enum("GraphEventType", {one.name: one.value for one in EventType if one.is_for_customers}),
        name="EventType",
        description="What happened. Open enum: clients must tolerate values added later.",
    )


@strawberry.type(description="An event. Ids increase in the order in which events were stored.")
class CustomerEvent(Node):
    type: GraphEventType
    occurred_at: datetime
    origin: EventOrigin
    provider: ProviderName | None
    payment_method_id: strawberry.ID | None = strawberry.field(description="The method concerned.")
    payment_id: strawberry.ID | None = strawberry.field(description="The payment of PAYMENT_UPDATED.")
    customer_id: strawberry.Private[str]
    who: strawberry.Private[str | None]

    @scoped("customers:read", description="The customer as it is now.")
    async def customer(self, info: Info) -> Annotated["Customer", strawberry.lazy("resolvers.types.customer")] | None:
        from resolvers.types.customer import read_customer

        entry = await info.context.entry(self.customer_id)
        if entry is None:  # erased since the event
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
    cursor: str
    node: CustomerEvent


@strawberry.type(description="Events, newest first.")
class EventConnection:
    edges: list[EventEdge]
    page_info: PageInfo
