"""A method's etag: changes when something that clients see of it changes, and only then."""

import re
from dataclasses import fields
from hashlib import blake2b
from typing import Final

from app.vault.model import BankAccount, Card, OtherMethod, PaymentMethod

_LEFT_OUT: Final = frozenset({"created_at", "updated_at", "three_d_secure"})
_SEEN: Final = {
    kind: tuple(field.name for field in fields(kind) if field.name not in _LEFT_OUT)
    for kind in (Card, BankAccount, OtherMethod)
}

is_etag: Final = re.compile("[0-9a-f]{20}").fullmatch


def etag_of(method: PaymentMethod, nickname: str | None) -> str:
    """Twenty hex digits. Vault timestamps are left out: some vaults touch them on every write next door.

    Length-prefixed parts, so that no two different methods join to one text.
    """
    digest = blake2b(type(method).__name__.encode(), digest_size=10)
    for value in (*(getattr(method, name) for name in _SEEN[type(method)]), nickname):
        text = "" if value is None else f"={value}"
        digest.update(f"{len(text)}:{text}".encode())
    return digest.hexdigest()
