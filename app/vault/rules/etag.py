"""Etag of a payment method: changes exactly when a client-visible field changes."""

import re
from dataclasses import fields
from hashlib import blake2b
from typing import Final

from app.vault.model import BankAccount, Card, OtherMethod, PaymentMethod

_EXCLUDED: Final = frozenset({"address_ref", "created_at", "updated_at", "three_d_secure"})
_FIELDS: Final = {
    kind: tuple(field.name for field in fields(kind) if field.name not in _EXCLUDED)
    for kind in (Card, BankAccount, OtherMethod)
}

is_etag: Final = re.compile("[0-9a-f]{20}").fullmatch


def etag_of(method: PaymentMethod, nickname: str | None) -> str:
    """Twenty hex digits. Excludes vault timestamps: some vaults update them on writes to other methods.

    Parts are length-prefixed to avoid collisions.
    """
    digest = blake2b(type(method).__name__.encode(), digest_size=10)
    for value in (*(getattr(method, name) for name in _FIELDS[type(method)]), nickname):
        text = "" if value is None else f"={value}"
        digest.update(f"{len(text)}:{text}".encode())
    return digest.hexdigest()
