"""What happened to a customer's payment methods, as clients see it."""

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Final, Self

import strawberry

from app.store.records import EventOrigin, EventRecord, EventType
from app.vault.names import ProviderName
from resolvers.context import Info
from resolvers.errors import CodedError
from resolvers.scopes import scoped
from resolvers.types.node import Node
from resolvers.types.paging import PageInfo

if TYPE_CHECKING:
    from resolvers.types.customer import Customer

strawberry.enum(EventOrigin, description="GATEWAY: done through us. The others: a change that we were told of, or saw.")


@strawberry.enum(name="EventType", description="What happened. Open enum: clients must tolerate values added later.")
class GraphEventType(Enum):
    """The audit trail's own types are not events of a customer."""

    METHOD_ADDED = "METHOD_ADDED"
    METHOD_UPDATED = "METHOD_UPDATED"
    METHOD_REPLACED = "METHOD_REPLACED"
    METHOD_DELETED = "METHOD_DELETED"
    METHOD_EXPIRING = "METHOD_EXPIRING"
    METHOD_EXPIRED = "METHOD_EXPIRED"
    DEFAULT_CHANGED = "DEFAULT_CHANGED"
    AUTH_CHANGED = "AUTH_CHANGED"
    PAYMENT_UPDATED = "PAYMENT_UPDATED"
    LINK_CHANGED = "LINK_CHANGED"
    SOURCE_DEGRADED = "SOURCE_DEGRADED"
    SOURCE_RECOVERED = "SOURCE_RECOVERED"

    @property
    def kept_as(self) -> EventType:
        return EventType(self.value)


CUSTOMER_EVENTS: Final = frozenset(one.kept_as for one in GraphEventType)


@strawberry.type(description="Something that happened. Ids rise in the order in which events were kept.")
class CustomerEvent(Node):
    type: GraphEventType
    occurred_at: datetime
    origin: EventOrigin
    provider: ProviderName | None
    payment_method_id: strawberry.ID | None = strawberry.field(description="The method that it happened to.")
    payment_id: strawberry.ID | None = strawberry.field(description="The payment of PAYMENT_UPDATED.")
    customer_id: strawberry.Private[str]
    who: strawberry.Private[str | None]

    @scoped("customers:read", description="The customer as it is now.")
    async def customer(self, info: Info) -> Annotated["Customer", strawberry.lazy("resolvers.types.customer")] | None:
        from resolvers.types.customer import Customer

        entry = await info.context.entry(self.customer_id)
        if entry is None:  # erased between the event and this answer
            raise CodedError("NOT_FOUND", "The customer is gone.")
        return Customer.of(entry)

    @scoped("audit:read", description="Who did it, where it was done through us: the caller's key, e.g. staff:ann.")
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


@strawberry.type(description="One event and where it stands.")
class EventEdge:
    cursor: str
    node: CustomerEvent


@strawberry.type(description="Events, the newest first.")
class EventConnection:
    edges: list[EventEdge]
    page_info: PageInfo
