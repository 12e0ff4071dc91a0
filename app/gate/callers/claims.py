"""From a token's claims to a caller. Which claim means what is the operator's to say; what it may mean is not.

Scopes are matched letter by letter against ours: anything else in the claim, look-alikes included, grants nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.gate.callers.tokens import BadToken
from app.wallet.caller import ALL_SCOPES, Caller, CallerKind

END_USER_SCOPES: Final = frozenset(
    {"customers:read", "payment_methods:read", "payment_methods:write", "payments:write", "explore"}
)
"""What an end user's token may ever hold. Linking, erasing, importing and auditing are done by staff and backends."""

_MOST_WORDS: Final = 200


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Names of claims. A dotted name reaches into objects, unless a claim has that very name.

    `scope_claim` holds scopes, as a list or as text with spaces. `role_claim` holds roles likewise, each of which
    stands for the scopes in `scopes_by_role`. `customer_claim` holds our customer id and makes an end user.
    `end_user_scopes` is what end users have whose token says nothing about scopes.
    """

    scope_claim: str = "scope"
    role_claim: str = "roles"
    scopes_by_role: Mapping[str, Sequence[str]] = field(default_factory=dict)
    customer_claim: str = "customer_id"
    end_user_scopes: Sequence[str] = ("customers:read", "payment_methods:read")


def caller_of(claims: Mapping[str, Any], rules: ClaimRules) -> Caller:
    """Raises BadToken where the customer claim is there and holds no id: an end user must never turn into staff."""
    name, ends = str(claims["sub"]), float(claims["exp"])
    customer = _at(claims, rules.customer_claim)
    granted = _at(claims, rules.scope_claim)
    scopes = set(_words(granted))
    for role in _words(_at(claims, rules.role_claim)):
        scopes.update(rules.scopes_by_role.get(role, ()))
    if customer is _ABSENT:
        return Caller(name=name, kind=CallerKind.STAFF, scopes=ALL_SCOPES & scopes, expires_at=ends)
    if not isinstance(customer, str) or not customer.startswith("cus_") or not customer.isascii():
        raise BadToken("the customer claim holds no customer id")
    if granted is _ABSENT and not scopes:
        scopes = set(rules.end_user_scopes)
    return Caller(
        name=name,
        kind=CallerKind.END_USER,
        scopes=END_USER_SCOPES & scopes,
        acting_customer=customer,
        expires_at=ends,
    )


_ABSENT: Final = object()


def _at(claims: Mapping[str, Any], name: str) -> Any:
    if name in claims or "." not in name:
        return claims.get(name, _ABSENT)
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return _ABSENT
        found = found[part]
    return found


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.split(" ")[:_MOST_WORDS]
    if isinstance(value, list):
        return [word for word in value[:_MOST_WORDS] if isinstance(word, str)]
    return []
