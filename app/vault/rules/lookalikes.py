"""Groups payment methods that look the same, across vaults: a hint, not proof that they are the same."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import TypeVar

from app.vault.enums import CardBrand
from app.vault.model import BankAccount, Card, PaymentMethod

_Key = TypeVar("_Key", bound=Hashable)
_UNNAMED_BRANDS = frozenset({CardBrand.OTHER, CardBrand.UNKNOWN})


def look_of(method: PaymentMethod) -> str | None:
    """Comparison key: a card's brand, last4 and expiry; a bank account's rail and last4.

    None if one of them is missing. A bank account's type is excluded: not every vault reports it.
    """
    if not method.last4:
        return None
    if isinstance(method, Card):
        if method.expiry is None or method.brand in _UNNAMED_BRANDS:
            return None
        return f"card|{method.brand}|{method.last4}|{method.expiry.text}"
    if isinstance(method, BankAccount):
        return f"bank|{method.rail}|{method.last4}"
    return None


def group_keys(scope: str, key: bytes) -> Callable[[str], str]:
    """A function that maps comparison keys to opaque, stable group keys, which differ for each `scope` (one customer).

    `key` is at most 64 bytes.
    """
    of_scope = blake2b(f"{scope}|".encode(), key=key, digest_size=15)

    def name(look: str) -> str:
        digest = of_scope.copy()
        digest.update(look.encode())
        return "grp_" + digest.hexdigest()

    return name


def groups(looks: Iterable[tuple[_Key, str | None]]) -> Mapping[_Key, Sequence[_Key]]:
    """Maps each method to the other methods that look the same; methods without any are absent."""
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
