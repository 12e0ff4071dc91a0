"""Maps a token's claims to a caller. Operators configure the claim names, within fixed rules.

Scopes must match exactly: anything else in the claim, look-alikes included, grants nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.api.auth.tokens import BadToken
from app.wallet.caller import ALL_SCOPES, Caller, CallerKind
from app.wallet.ids import IdKind, kind_of

END_USER_SCOPES: Final = frozenset(
    {"customers:read", "payment_methods:read", "payment_methods:write", "payments:write", "explore"}
)
"""The most that an end user's token can grant. Linking, erasing, importing and auditing need staff or backends."""

STAFF_CLAIM: Final = "vaultgraph_staff"
_MOST_WORDS: Final = 200


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Names of claims. A dotted name reaches into objects, unless a claim has exactly that name.

    `scope_claim` contains scopes, as a list or space-separated; `role_claim` contains roles in the same form, which
    `scopes_by_role` maps to scopes. `customer_claim` contains a customer id and marks an end user. `end_user_scopes`
    are the scopes of an end user whose token states none. `staff_claim` marks staff if it contains one of
    `staff_values`: space-separated, as a list, or as JSON true for the word ``true``.
    """

    scope_claim: str = "scope"
    role_claim: str = "roles"
    scopes_by_role: Mapping[str, Sequence[str]] = field(default_factory=dict)
    customer_claim: str = "customer_id"
    end_user_scopes: Sequence[str] = ("customers:read", "payment_methods:read")
    staff_claim: str = STAFF_CLAIM
    staff_values: Sequence[str] = ("true",)


def caller_of(claims: Mapping[str, Any], rules: ClaimRules, issuer: str = "") -> Caller:
    """The end user named by the customer claim, or staff if the staff claim says so. A token with both is an end
    user's, which has fewer rights. `issuer` is the issuer's name in the settings.

    Raises BadToken if there is neither, or if the customer claim contains no customer id.
    """
    name, ends = str(claims["sub"]), float(claims["exp"])
    customer = _customer(claims, rules.customer_claim)
    granted = _at(claims, rules.scope_claim)
    scopes = set(_words(granted))
    for role in _words(_at(claims, rules.role_claim)):
        scopes.update(rules.scopes_by_role.get(role, ()))
    if customer is None:
        if not _is_staff(_at(claims, rules.staff_claim), rules.staff_values):
            raise BadToken("neither the customer claim nor the staff claim is present")
        scopes &= ALL_SCOPES
        return Caller(name=name, kind=CallerKind.STAFF, scopes=frozenset(scopes), expires_at=ends, issuer=issuer)
    if granted is _ABSENT and not scopes:
        scopes = set(rules.end_user_scopes)
    return Caller(
        name=name,
        kind=CallerKind.END_USER,
        scopes=END_USER_SCOPES & scopes,
        acting_customer=customer,
        expires_at=ends,
        issuer=issuer,
    )


_ABSENT: Final = object()


def _customer(claims: Mapping[str, Any], name: str) -> str | None:
    """The customer claim, or None if it is absent.

    Raises BadToken if part of its path is no object, if two matching claims differ, or if the value is no customer id.
    """
    found = [claims[name]] if name in claims else []
    at: Any = claims
    for part in name.split(".") if "." in name else ():
        if not isinstance(at, Mapping):
            raise BadToken("the path of the customer claim leads through a value that is no object")
        at = at.get(part, _ABSENT)
        if at is _ABSENT:
            break
    else:
        if "." in name:
            found.append(at)
    if not found:
        return None
    if any(other != found[0] for other in found[1:]):
        raise BadToken("two claims match the name of the customer claim and differ")
    customer = found[0]
    if not isinstance(customer, str) or kind_of(customer) is not IdKind.CUSTOMER:
        raise BadToken("the customer claim contains no customer id")
    return customer


def _is_staff(value: Any, wanted: Sequence[str]) -> bool:
    words = ["true"] if value is True else _words(value)
    return not set(words).isdisjoint(wanted)


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
