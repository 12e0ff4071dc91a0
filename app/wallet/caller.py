"""The caller of a request as the use cases see it. Authentication creates one per request."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

ALL_SCOPES: Final = frozenset(
    {
        "customers:read",
        "customers:write",
        "customers:erase",
        "customers:export",
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

ALL_CUSTOMERS_SCOPES: Final = frozenset({"links:write", "import:write"})
"""Effective only for callers that may see all customers. Linking decides which customer owns a vault's customer: with
access to one customer, these scopes would open every unlinked vault customer."""


class CallerKind(StrEnum):
    """How the caller authenticated."""

    STAFF = "staff"  # a token without a customer: staff and backend services
    END_USER = "user"  # a token that names one customer
    PARTNER = "partner"  # an API key
    OPERATOR = "operator"  # a CLI command on the gateway's host; never over HTTP


OPERATOR_KEY: Final = "operator"
"""The key of all operator commands. Every other caller's key contains a colon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`name` is a token's subject or a partner's name and unique only within its kind. `key` is unique: it scopes locks
    and idempotency keys and stands in the audit trail (``staff:ann``, ``staff@shop:ann`` for the issuer named ``shop``,
    ``partner:acme``, ``operator``).
    `acting_customer` is set for an end user, who sees only that customer. `granted` lists the customers that a partner
    may see; None means all. Both scopes and customers must allow. `expires_at` is when the caller's token ends, in
    seconds since 1970, `key_id` the id of its API key: both serve to revalidate long-lived connections."""

    name: str
    scopes: frozenset[str]
    kind: CallerKind = CallerKind.STAFF
    acting_customer: str | None = None
    granted: frozenset[str] | None = None
    expires_at: float | None = None
    key_id: str | None = field(default=None, compare=False)
    issuer: str = ""
    key: str = field(init=False)

    def __post_init__(self) -> None:
        is_operator = self.kind is CallerKind.OPERATOR
        kind = f"{self.kind.value}@{self.issuer}" if self.issuer else self.kind.value
        key = OPERATOR_KEY if is_operator else f"{kind}:{self.name}"
        object.__setattr__(self, "key", key)  # computed once: it is read often

    def may_see(self, customer_id: str) -> bool:
        if self.acting_customer is not None and customer_id != self.acting_customer:
            return False
        return self.granted is None or customer_id in self.granted

    @property
    def visible_customers(self) -> frozenset[str] | None:
        """The ids of the only customers that the caller may see; None if it may see all."""
        if self.acting_customer is None:
            return self.granted
        own = frozenset({self.acting_customer})
        return own if self.granted is None else own & self.granted

    def has_any(self, scopes: Iterable[str]) -> bool:
        return not self.scopes.isdisjoint(scopes)
