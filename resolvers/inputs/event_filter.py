"""The filter for events of all customers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import strawberry

from app.store.records import EventRecord, EventType
from app.vault.enums import ProviderName
from app.wallet.ids import first_event_id_at
from resolvers.context import Info
from resolvers.errors import BadUserInput, Forbidden
from resolvers.inputs.fields import optional
from resolvers.types.event import CUSTOMER_EVENTS, GraphEventType

_LATEST: Final = timedelta(hours=1)
"""How much later than it was stored an event may say that it occurred: another system's clock may be fast."""

_BEFORE_ALL: Final = datetime(1970, 1, 2, tzinfo=UTC)
"""Before every event, and not so early that nothing can be subtracted."""


@strawberry.input(description="Conditions that must all hold; absent or null ones are ignored.")
class EventFilter:
    types: list[GraphEventType] | None = optional("Events of these types; empty is refused.")
    providers: list[ProviderName] | None = optional(
        "Events of these vaults; events that concern no vault are left out."
    )
    occurred_from: datetime | None = optional("Events that occurred at this time or later.")
    occurred_before: datetime | None = optional("Events that occurred before this time.")

    def event_types(self) -> frozenset[EventType]:
        """Raises BadUserInput."""
        if self.types == []:
            raise BadUserInput("filter.types is empty: leave it out for events of every type.")
        return frozenset(EventType(one.value) for one in self.types) if self.types else CUSTOMER_EVENTS

    def start(self, after: str | None) -> str | None:
        """The id after which reading begins: `after`, or a later one if `occurred_from` allows."""
        if not self.occurred_from:
            return after
        earliest = first_event_id_at(max(self.occurred_from, _BEFORE_ALL) - _LATEST)
        return earliest if after is None or after < earliest else after

    def test(self) -> Callable[[EventRecord], bool]:
        """True for events that meet the conditions, apart from their type. Raises BadUserInput."""
        if self.providers == []:
            raise BadUserInput("filter.providers is empty: leave it out for events of every vault.")
        providers = frozenset(self.providers) if self.providers else None
        earliest, before = self.occurred_from or None, self.occurred_before or None

        def is_wanted(event: EventRecord) -> bool:
            return (
                event.customer_id is not None
                and (providers is None or event.provider in providers)
                and (earliest is None or event.occurred_at >= earliest)
                and (before is None or event.occurred_at < before)
            )

        return is_wanted


def require_all_customers(info: Info, scope: str) -> None:
    """Raises Forbidden for callers that may see only some customers."""
    caller = info.context.caller
    if caller.granted is not None or caller.acting_customer is not None:
        raise Forbidden((scope,), "Only callers that may see all customers can read the events of all customers.")
