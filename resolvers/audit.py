"""Reports refused access, and mutations that never reached the journal, to the audit trail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from app.wallet.caller import Caller

MOST_REFUSALS: Final = 20
"""Refusals recorded per request; further ones are only counted."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """`what` is a field (``Customer.links``); `code` is FORBIDDEN for a missing scope, NOT_GRANTED for a customer that
    the caller may not see. `customer_id` is the requested one, whether or not it exists.
    """

    what: str
    code: str
    customer_id: str | None = None
    scopes: Sequence[str] = ()


class AuditTrail(Protocol):
    """Queues entries and writes them later, so that no response waits for it."""

    def refused(self, caller: Caller, request_id: str, refusals: Sequence[Refusal], more: int) -> None:
        """Record the refused fields of one request; `more` counts those left out."""
        return

    def mutation(
        self,
        caller: Caller,
        request_id: str,
        mutation: str,
        customer_id: str | None,
        outcome: str,
        codes: Sequence[str],
    ) -> None:
        """Record a mutation that is not in the journal because it was refused earlier."""
        return


class NoTrail(AuditTrail):
    """Ignores everything: for a schema without the API layer."""


class Refusals:
    """The distinct refusals of one request."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str | None], Refusal] = {}
        self._more = 0

    def add(self, refusal: Refusal) -> None:
        key = (refusal.what, refusal.code, refusal.customer_id)
        if key in self._seen:
            return
        if len(self._seen) < MOST_REFUSALS:
            self._seen[key] = refusal
        else:
            self._more += 1

    def tell(self, trail: AuditTrail, caller: Caller, request_id: str) -> None:
        """Pass the refusals to the audit trail, once."""
        if self._seen:
            refusals, self._seen = list(self._seen.values()), {}
            trail.refused(caller, request_id, refusals, self._more)


def customer_named(source: Any, arguments: Mapping[str, Any]) -> str | None:
    """The customer that a field concerns, if known without a lookup."""
    given = arguments.get("input")
    named = arguments.get("id") or _customer_of_input(given)
    if isinstance(named, str) and named.startswith("cus_"):
        return named[:80]
    about = getattr(source, "owner", source)  # a payment method's
    found = getattr(about, "customer_id", None) or getattr(about, "id", None)
    return found if isinstance(found, str) and found.startswith("cus_") else None


def _customer_of_input(given: Any) -> Any:
    """`given` comes from graphql-core (a dict) or Strawberry (an object)."""
    if isinstance(given, Mapping):
        return given.get("customerId") or given.get("intoId")
    return getattr(given, "customer_id", None) or getattr(given, "into_id", None)
