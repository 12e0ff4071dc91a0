"""Reuses the parsed wallet when a vault's reply is byte-identical to the previous one.

Vaults return the whole wallet each time, usually unchanged. The vault is still called; only decoding and mapping are
saved. The cache stores a digest of the reply, not the reply, and refers to results weakly, so that nothing outlives a
snapshot that was dropped or erased.

A reply may also differ only in a counter or a timestamp. It is parsed, but if its methods equal the previous ones,
those are reused, so that objects derived from them need not be rebuilt.
"""

from collections.abc import Callable, Hashable
from functools import partial
from hashlib import blake2b
from typing import Final, Generic, TypeVar
from weakref import ref

from app.http.message import VaultReply
from app.vault.enums import CustomerRef
from app.vault.model import PaymentMethod, ReplyDigest, VaultWallet

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Read = Callable[[CustomerRef, VaultReply, str | None], VaultWallet | None]
_DIGEST_BYTES: Final = 16


def digest_of(body: bytes) -> bytes:
    return blake2b(body, digest_size=_DIGEST_BYTES).digest()


class DigestCache(Generic[Key, Value]):
    """The last value of each key, with the digest of the reply from which it was parsed."""

    def __init__(self) -> None:
        self._known: dict[Key, tuple[bytes, ref[Value]]] = {}

    def find(self, key: Key, body: bytes) -> tuple[Value | None, bytes]:
        """The value, if it was parsed from the same bytes; and their digest."""
        digest = blake2b(body, digest_size=_DIGEST_BYTES).digest()
        found = self._known.get(key)
        return (found[1]() if found is not None and found[0] == digest else None), digest

    def keep(self, key: Key, digest: bytes, value: Value) -> Value:
        self._known[key] = digest, ref(value, partial(self._forget, key))
        return value

    def last(self, key: Key) -> Value | None:
        """The value, whatever it was parsed from."""
        found = self._known.get(key)
        return None if found is None else found[1]()

    def _forget(self, key: Key, dropped: "ref[Value]") -> None:
        """Called when a value is dropped."""
        found = self._known.get(key)
        if found is not None and found[1] is dropped:
            del self._known[key]


class ReplyCache(DigestCache[CustomerRef, VaultWallet]):
    """Each customer's last reply, for one vault. Only for wallets built from a single reply."""

    def read(
        self, customer: CustomerRef, reply: VaultReply, request_id: str | None, ordinary: Read
    ) -> VaultWallet | None:
        """The wallet in a reply for one customer: the previous one, if it was parsed from the same bytes, else by
        `ordinary`, which gets the same arguments. None if `ordinary` cannot read it.
        """
        digest = blake2b(reply.body, digest_size=_DIGEST_BYTES).digest()
        found = self._known.get(customer)
        known = found[1]() if found is not None and found[0] == digest else None
        if known is not None:
            return self.renew(known, request_id)
        read = ordinary(customer, reply, request_id)
        return None if read is None else self.put(read, digest)

    def renew(self, known: VaultWallet, request_id: str | None) -> VaultWallet:
        """`known` as read again by another reply of the same bytes."""
        if known.provider_request_id == request_id:
            return known
        assert known.reply is not None
        return self._remember(known, known.methods, request_id, known.reply)

    def put(self, wallet: VaultWallet, digest: bytes) -> VaultWallet:
        """The parsed wallet of a new reply, with the previous methods if they are equal."""
        known = self.last(wallet.customer_ref)
        methods = known.methods if known is not None and known.methods == wallet.methods else wallet.methods
        return self._remember(wallet, methods, wallet.provider_request_id, ReplyDigest(digest))

    def _remember(
        self, read: VaultWallet, methods: tuple[PaymentMethod, ...], request_id: str | None, reply: ReplyDigest
    ) -> VaultWallet:
        made = VaultWallet(
            provider=read.provider,
            customer_ref=read.customer_ref,
            methods=methods,
            skipped=read.skipped,
            truncated=read.truncated,
            provider_request_id=request_id,
            profile=read.profile,
            reply=reply,
        )
        return self.keep(read.customer_ref, reply.digest, made)
