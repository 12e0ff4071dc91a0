"""What the audit trail is told by resolvers: accesses that were refused, and writes that never reached the journal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from app.wallet.caller import Caller

MOST_REFUSALS: Final = 20
"""Of one request. Whoever asks for more at once is told of all the same; the trail keeps these and how many more."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """`what` is a field (``Customer.links``); `code` FORBIDDEN for a missing scope, NOT_GRANTED for a customer who is
    not this caller's to see. The customer is the one that was named, whether or not there is one of that id."""

    what: str
    code: str
    customer_id: str | None = None
    scopes: Sequence[str] = ()


class AuditTrail(Protocol):
    """Takes notes at once and writes them later: nobody who is asked for an answer waits for it."""

    def refused(self, caller: Caller, request_id: str, refusals: Sequence[Refusal], more: int) -> None: ...

    def mutation(
        self,
        caller: Caller,
        request_id: str,
        mutation: str,
        customer_id: str | None,
        outcome: str,
        codes: Sequence[str],
    ) -> None:
        """A mutation that the journal knows nothing of: it was refused before anything was done."""
        ...


class NoTrail:
    """For a schema that is asked without a gate."""

    def refused(self, caller: Caller, request_id: str, refusals: Sequence[Refusal], more: int) -> None:
        return None

    def mutation(
        self,
        caller: Caller,
        request_id: str,
        mutation: str,
        customer_id: str | None,
        outcome: str,
        codes: Sequence[str],
    ) -> None:
        return None


class Refusals:
    """Those of one request, each once."""

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
        """Hand them over, once."""
        if self._seen:
            told, self._seen = list(self._seen.values()), {}
            trail.refused(caller, request_id, told, self._more)


def customer_named(source: Any, arguments: Mapping[str, Any]) -> str | None:
    """The customer that a field is about, as far as it can be told without asking anybody."""
    given = arguments.get("input")
    named = arguments.get("id") or _customer_of_input(given)
    if isinstance(named, str) and named.startswith("cus_"):
        return named[:80]
    about = getattr(source, "owner", source)  # a payment method's
    found = getattr(about, "customer_id", None) or getattr(about, "id", None)
    return found if isinstance(found, str) and found.startswith("cus_") else None


def _customer_of_input(given: Any) -> Any:
    """As graphql-core hands it over, or as Strawberry makes an object of it."""
    return given.get("customerId") if isinstance(given, Mapping) else getattr(given, "customer_id", None)
