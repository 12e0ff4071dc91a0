"""Who is asking, as the use cases see it. The gate makes one per request."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

ALL_SCOPES: Final = frozenset(
    {
        "customers:read",
        "customers:write",
        "customers:erase",
        "payment_methods:read",
        "payment_methods:write",
        "payment_methods:bin",
        "payments:write",
        "links:read",
        "links:write",
        "network_tokens:write",
        "provider_refs:read",
        "audit:read",
        "pan:write",
        "import:write",
        "explore",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`acting_customer` is set for an end user, who sees that customer and nobody else.

    `granted` lists the customers that a partner may see; None means all of them. Scopes and customers both must allow.
    """

    name: str
    scopes: frozenset[str]
    acting_customer: str | None = None
    granted: frozenset[str] | None = None

    def may_see(self, customer_id: str) -> bool:
        if self.acting_customer is not None and customer_id != self.acting_customer:
            return False
        return self.granted is None or customer_id in self.granted

    def has_any(self, scopes: Iterable[str]) -> bool:
        return not self.scopes.isdisjoint(scopes)
