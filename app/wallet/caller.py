"""Who is asking, as the use cases see it. The gate makes one per request."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
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

ALL_CUSTOMERS_SCOPES: Final = frozenset({"links:write", "import:write"})
"""In force only for callers who may see all customers. A link decides whose a vault's customer is: with a grant of one
customer, these scopes would open every vault customer that is not linked."""


class CallerKind(StrEnum):
    """How the caller proved who it is."""

    STAFF = "staff"  # a token without a customer: people of ours, and our backends
    END_USER = "user"  # a token that names one customer
    PARTNER = "partner"  # an API key
    OPERATOR = "operator"  # a command on the gateway's own machine; never over HTTP


OPERATOR_KEY: Final = "operator"
"""The key of all operator commands. No other caller's key is without its kind and a colon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`name` is a token's subject or a partner's name: the same name may occur once in each kind, so `key` is what
    counts, locks and scopes, and what the audit trail names: ``staff:ann``, ``partner:acme``, ``operator``.
    `acting_customer` is set for an end user, who sees that customer and nobody else. `granted` lists the customers that
    a partner may see; None means all of them. Scopes and customers both must allow. `expires_at` is when the caller's
    token ends, in seconds since 1970, `key_hash` that of its API key: both for what outlives a request.
    """

    name: str
    scopes: frozenset[str]
    kind: CallerKind = CallerKind.STAFF
    acting_customer: str | None = None
    granted: frozenset[str] | None = None
    expires_at: float | None = None
    key_hash: str | None = field(default=None, repr=False, compare=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        is_operator = self.kind is CallerKind.OPERATOR
        key = OPERATOR_KEY if is_operator else f"{self.kind.value}:{self.name}"
        object.__setattr__(self, "key", key)  # once: a token's caller asks many times

    def may_see(self, customer_id: str) -> bool:
        if self.acting_customer is not None and customer_id != self.acting_customer:
            return False
        return self.granted is None or customer_id in self.granted

    def has_any(self, scopes: Iterable[str]) -> bool:
        return not self.scopes.isdisjoint(scopes)
