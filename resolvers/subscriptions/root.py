"""Subscriptions: events of one customer or of all, and a write until it is decided.

The caller's rights are rechecked before each event and periodically in between: an expired token, a disabled partner or
a revoked grant ends the stream.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing
from typing import Annotated, Final

import strawberry

from app.store.records import EventRecord, EventType
from app.wallet.changes.feed import TooSlow
from app.wallet.ids import IdKind, kind_of
from resolvers import lookup
from resolvers.context import Info
from resolvers.directives import RequiresScope
from resolvers.errors import BadUserInput, CodedError
from resolvers.inputs.event_filter import EventFilter, require_all_customers
from resolvers.lookup import READ_CUSTOMERS
from resolvers.scopes import require
from resolvers.types.customer import READ_METHODS
from resolvers.types.event import CUSTOMER_EVENTS, CustomerEvent, GraphEventType
from resolvers.types.operation import Operation

_LOOK_EVERY_S: Final = 2.0
_LIVE: Final = frozenset({"PENDING", "UNKNOWN"})


@strawberry.type(description="What can be watched.")
class Subscription:
    @strawberry.subscription(
        directives=(RequiresScope(any=[READ_CUSTOMERS]),),
        description="A customer's events as they happen. `after` is the id of the last event received: the events "
        "after it are sent first, so that a client that was disconnected misses none.",
    )
    async def customer_events(
        self,
        info: Info,
        customer_id: Annotated[strawberry.ID, strawberry.argument(description="The customer's id.")],
        types: Annotated[
            list[GraphEventType] | None, strawberry.argument(description="Only these types; by default all.")
        ] = strawberry.UNSET,
        after: Annotated[
            strawberry.ID | None, strawberry.argument(description="The id of the last event received.")
        ] = strawberry.UNSET,
    ) -> AsyncIterator[CustomerEvent]:
        start = _start(info, after or None)
        if types == []:
            raise BadUserInput("types is empty: leave it out for events of every type.")
        wanted = frozenset(EventType(one.value) for one in types) if types else CUSTOMER_EVENTS

        async def may_listen() -> None:
            await _may_listen(info, customer_id)

        async with aclosing(_events(info, customer_id, wanted, start, may_listen)) as events:
            async for event in events:
                yield CustomerEvent.of(event, info)

    @strawberry.subscription(
        directives=(RequiresScope(any=[READ_CUSTOMERS]),),
        description="Events of all customers as they happen, for callers that may see all customers. `after` is the id "
        "of the last event received: the events after it are sent first.",
    )
    async def events(
        self,
        info: Info,
        filter: Annotated[
            EventFilter | None, strawberry.argument(description="Which events to send.")
        ] = strawberry.UNSET,
        after: Annotated[
            strawberry.ID | None, strawberry.argument(description="The id of the last event received.")
        ] = strawberry.UNSET,
    ) -> AsyncIterator[CustomerEvent]:
        start, wanted = _start(info, after or None), filter or EventFilter()
        types, is_wanted = wanted.event_types(), wanted.test()

        async def may_listen() -> None:
            await _revalidate(info, READ_CUSTOMERS)
            require_all_customers(info, READ_CUSTOMERS)

        async with aclosing(_events(info, None, types, start, may_listen)) as events:
            async for event in events:
                if is_wanted(event):
                    yield CustomerEvent.of(event, info)

    @strawberry.subscription(
        directives=(RequiresScope(any=[READ_METHODS]),),
        description="A write as it is now and whenever its state changes; ends when it is decided.",
    )
    async def operation_updated(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The operation's id.")]
    ) -> AsyncIterator[Operation]:
        context = info.context
        record = await context.services.operations.operation(id) if kind_of(id) is IdKind.OPERATION else None
        if record is None:
            raise _not_found()
        changes = context.services.feed.events(
            record.customer_id or "", frozenset({EventType.MUTATION}), tick_s=_LOOK_EVERY_S
        )
        last: str | None = None
        try:
            while True:
                await _revalidate(info, READ_METHODS)
                found = await lookup.operation(info, id)
                if found is None:
                    raise _not_found()
                if found.state.value != last:
                    last = found.state.value
                    yield found
                if last not in _LIVE:
                    return
                try:
                    await anext(changes)
                except TooSlow:
                    changes = context.services.feed.events(
                        record.customer_id or "", frozenset({EventType.MUTATION}), tick_s=_LOOK_EVERY_S
                    )
        finally:
            await changes.aclose()  # type: ignore[attr-defined]


def _start(info: Info, after: str | None) -> str | None:
    """The id after which a stream begins. Raises BadUserInput."""
    start = after or info.context.resume_after
    if start is not None and kind_of(start) is not IdKind.EVENT:
        raise BadUserInput("after is not the id of an event.")
    return start


async def _events(
    info: Info,
    customer_id: str | None,
    types: Collection[EventType],
    after: str | None,
    may_listen: Callable[[], Awaitable[None]],
) -> AsyncGenerator[EventRecord]:
    """`may_listen` raises the error that ends the stream if the caller has lost access."""
    context = info.context
    await may_listen()
    feed = context.services.feed.events(customer_id, types, after=after, tick_s=context.services.recheck_s)
    try:
        async for event in feed:
            await may_listen()
            if event is not None:
                context.event_id = event.id
                yield event
    except TooSlow as slow:
        raise CodedError(
            "SLOW_CONSUMER", "Events were not read in time: subscribe again.", lastEventId=slow.last_id
        ) from None
    finally:
        await feed.aclose()  # type: ignore[attr-defined]


async def _may_listen(info: Info, customer_id: str) -> None:
    """Raises an error that ends the stream if the caller has lost access."""
    await _revalidate(info, READ_CUSTOMERS)
    known = kind_of(customer_id) is IdKind.CUSTOMER and await info.context.entry(customer_id)
    if not known:
        await lookup.refuse_merged(info, customer_id)
        raise _not_found()


async def _revalidate(info: Info, scope: str) -> None:
    """Refresh the caller's rights and drop data cached for earlier events."""
    context = info.context
    caller = await context.services.revalidate(context.caller)
    if caller is None:
        raise CodedError("UNAUTHENTICATED", "The credentials are no longer valid.")
    context.caller = caller
    context.after_write()
    require(info, scope)


def _not_found() -> CodedError:
    return CodedError("NOT_FOUND", "Not found.")
