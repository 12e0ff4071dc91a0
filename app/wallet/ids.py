"""Opaque ids. `pm_` is the encrypted address of a payment method; the others are sortable and carry no data.

A `pm_` id is AES-SIV over provider, customer ref and method ref, with version and tenant as associated data: one
address always gives the same id, and an id can be neither read, forged nor changed without the key. An id grants no
permission.
"""

import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import Enum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from app.store.records import MethodAddress
from app.store.ulids import CUSTOMER, EVENT, METHOD, OPERATION, PAYMENT, first_id_at
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.wallet.keys import KeyRing, derive_key

_VERSION: Final = b"vaultgraph/pm/v1"
_KEY_BYTES: Final = 64  # AES-256-SIV
_TAG_BYTES: Final = 16
_LONGEST_REF: Final = 255
_LONGEST_ID: Final = len(METHOD) + -(-(_TAG_BYTES + 2 + 16 + 2 * _LONGEST_REF) * 4 // 3)
_FOR_URLS: Final = bytes.maketrans(b"+/", b"-_")
_PAD: Final = ("", "===", "==", "=")

_ULID: Final = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"
_METHOD: Final = re.compile(METHOD + r"[A-Za-z0-9_-]{24,}", re.ASCII)


class IdKind(Enum):
    CUSTOMER = "customer"
    METHOD = "method"
    OPERATION = "operation"
    EVENT = "event"
    PAYMENT = "payment"


_SHAPES: Final = (
    (re.compile(CUSTOMER + r"[A-Za-z0-9_-]{1,64}", re.ASCII), IdKind.CUSTOMER),
    (_METHOD, IdKind.METHOD),
    (re.compile(OPERATION + _ULID), IdKind.OPERATION),
    (re.compile(EVENT + _ULID), IdKind.EVENT),
    (re.compile(PAYMENT + _ULID), IdKind.PAYMENT),
)


class Ids:
    """Encodes and decodes the ids of one tenant.

    `secrets`: the first one encodes, all of them decode. An id made with an older key stays valid and differs from the
    new one of the same method: compare addresses, not ids. `on_old_key` is called with the name of the key when another
    than the first one decodes an id.
    """

    def __init__(
        self,
        secrets: bytes | str | Iterable[bytes | str],
        tenant: str = "default",
        canonical_ref: Callable[[ProviderName, str], CustomerRef] = lambda provider, ref: CustomerRef(ref),
    ) -> None:
        """`canonical_ref` normalises a vault's customer ref: older ids may contain another spelling."""
        self.keys = KeyRing([secrets] if isinstance(secrets, bytes | str) else secrets, _cipher)
        self.on_old_key: Callable[[str], None] = lambda _: None
        self._canonical_ref = canonical_ref
        self._bound_to = [_VERSION, tenant.encode()]

    def encode(self, provider: ProviderName, customer_ref: CustomerRef, method_ref: MethodRef) -> str:
        """The `pm_` id of a method. Raises ValueError for a ref longer than 255 bytes of UTF-8."""
        ref, method = customer_ref.encode(), method_ref.encode()
        if len(ref) > _LONGEST_REF or len(method) > _LONGEST_REF:
            raise ValueError("a ref is too long for an id")
        name = provider.encode()
        # Length prefixes make the encoding unambiguous.
        plain = bytes((len(name), len(ref))) + name + ref + method
        return METHOD + _to_base64(self.keys.first.encrypt(plain, self._bound_to))

    def encode_address(self, address: MethodAddress) -> str:
        return self.encode(address.provider, address.customer_ref, address.method_ref)

    def decode(self, method_id: str) -> MethodAddress | None:
        """The address, or None for anything that was not encoded for this tenant."""
        sealed = _from_base64(method_id)
        if sealed is None:
            return None
        keys = self.keys
        for name, cipher in keys.keys.items():
            try:
                address = _address(cipher.decrypt(sealed, self._bound_to))
            except InvalidTag:
                continue
            if name is not keys.first_name:
                self.on_old_key(name)
            if address is None:
                return None
            ref = self._canonical_ref(address.provider, address.customer_ref)
            return MethodAddress(address.provider, ref, address.method_ref)
        return None


def first_event_id_at(at: datetime) -> str:
    """Lower than the id of every event that is stored from then on."""
    return first_id_at(EVENT, at)


def kind_of(any_id: str) -> IdKind | None:
    """The kind that an id's prefix and shape claim; only `decode` or a lookup verifies it."""
    if len(any_id) > _LONGEST_ID:
        return None
    for shape, kind in _SHAPES:
        if shape.fullmatch(any_id):
            return kind
    return None


def _cipher(secret: bytes | str) -> AESSIV:
    return AESSIV(derive_key(secret, "ids/payment-method", _KEY_BYTES))


def _to_base64(sealed: bytes) -> str:
    """Base64 for URLs, without padding."""
    return b2a_base64(sealed, newline=False).translate(_FOR_URLS, b"=").decode("ascii")


def _from_base64(method_id: str) -> bytes | None:
    if len(method_id) > _LONGEST_ID or not _METHOD.fullmatch(method_id):
        return None
    body = method_id[len(METHOD) :]
    try:
        sealed = urlsafe_b64decode(body + _PAD[len(body) % 4])
    except Base64Error:
        return None
    # base64 ignores the last character's spare bits: without this check, one method would have several ids.
    return sealed if _to_base64(sealed) == body else None


def _address(plain: bytes) -> MethodAddress | None:
    try:
        after_name = 2 + plain[0]
        after_ref = after_name + plain[1]
        return MethodAddress(
            ProviderName(plain[2:after_name].decode()),
            CustomerRef(plain[after_name:after_ref].decode()),
            MethodRef(plain[after_ref:].decode()),
        )
    except ValueError:  # a provider unknown to this version
        return None
