"""Same-looking methods, in any vault: a hint for grouping, never proof that they are one."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import TypeVar

from app.vault.model import BankAccount, Card, PaymentMethod
from app.vault.names import CardBrand

_Key = TypeVar("_Key", bound=Hashable)
_UNNAMED_BRANDS = frozenset({CardBrand.OTHER, CardBrand.UNKNOWN})


def look_of(method: PaymentMethod) -> str | None:
    """What a person sees of a method: of a card brand, last4 and expiry; of a bank account its rail and last4.

    None where too much is missing to say that two look alike. A bank account's type is left out: not every vault
    tells it.
    """
    if not method.last4:
        return None
    if isinstance(method, Card):
        if method.expiry is None or method.brand in _UNNAMED_BRANDS:
            return None
        return f"card|{method.brand}|{method.last4}|{method.expiry}"
    if isinstance(method, BankAccount):
        return f"bank|{method.rail}|{method.last4}"
    return None


def group_keys(scope: str, key: bytes) -> Callable[[str], str]:
    """Names looks within `scope` (one customer): opaque, stable names that tell nothing, and link no two customers.

    `key` is at most 64 bytes.
    """
    of_scope = blake2b(f"{scope}|".encode(), key=key, digest_size=15)

    def name(look: str) -> str:
        digest = of_scope.copy()
        digest.update(look.encode())
        return "grp_" + digest.hexdigest()

    return name


def groups(looks: Iterable[tuple[_Key, str | None]]) -> Mapping[_Key, Sequence[_Key]]:
    """Each method's look-alikes, itself left out; methods that look like no other are absent."""
    by_look: dict[str, list[_Key]] = {}
    for key, look in looks:
        if look is not None:
            by_look.setdefault(look, []).append(key)
    return {
        key: tuple(other for other in members if other != key)
        for members in by_look.values()
        if len(members) > 1
        for key in members
    }
