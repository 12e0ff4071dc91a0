"""Reuses the parsed wallet when a vault's reply says the same as the previous one.

Vaults return the whole wallet each time, usually unchanged. The vault is still called; only decoding and mapping are
saved. The cache stores digests of the reply, not the reply, and refers to results weakly, so that nothing outlives a
snapshot that was dropped or erased.

Three degrees of the same: equal bytes; equal content, if the reply has its ordinary form and differs only in what
determines no wallet, such as a counter; equal methods, so that objects derived from them need not be rebuilt.
"""

from collections.abc import Callable, Hashable
from functools import partial
from hashlib import blake2b
from typing import Final, Generic, TypeVar
from weakref import ref

from app.http.message import VaultReply
from app.providers.base import REQUEST_ID_HEADERS, find_request_ids
from app.vault.enums import CustomerRef
from app.vault.model import PaymentMethod, ReplyDigest, VaultWallet

_DIGEST_BYTES: Final = 16
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
ReadContent = Callable[[VaultReply], tuple[bytes, str | None] | None]
"""All that determines the wallet in an ordinary reply for one customer, and the request id in its body. None for a
reply that the tolerant functions must read."""
ReadOrdinary = Callable[[CustomerRef, VaultReply, str | None], VaultWallet | None]
"""The wallet in an ordinary reply, made with this request id. None as `ReadContent`."""


def digest_of(content: bytes) -> bytes:
    return blake2b(content, digest_size=_DIGEST_BYTES).digest()


class DigestCache(Generic[Key, Value]):
    """The last value of each key, with digests of the reply from which it was parsed: of its bytes, and of its
    content, which is None if the reply was not ordinary.
    """

    def __init__(self) -> None:
        self._known: dict[Key, tuple[bytes, bytes | None, ref[Value]]] = {}

    def find(self, key: Key, body: bytes) -> tuple[Value | None, bytes]:
        """The value, if it was parsed from the same bytes; and their digest."""
        digest = digest_of(body)
        found = self._known.get(key)
        return (found[2]() if found is not None and found[0] == digest else None), digest

    def find_equal(self, key: Key, content: bytes, digest: bytes) -> Value | None:
        """The value, if it was parsed from a reply with this digest of the content. `digest` is that of the new bytes,
        by which `find` finds the value from now on.
        """
        found = self._known.get(key)
        value = found[2]() if found is not None and found[1] == content else None
        if found is not None and value is not None:
            self._known[key] = digest, content, found[2]
        return value

    def keep(self, key: Key, digest: bytes, value: Value, content: bytes | None = None) -> Value:
        self._known[key] = digest, content, ref(value, partial(self._forget, key))
        return value

    def last(self, key: Key) -> Value | None:
        """The value, whatever it was parsed from."""
        found = self._known.get(key)
        return None if found is None else found[2]()

    def _forget(self, key: Key, dropped: "ref[Value]") -> None:
        """Called when a value is dropped."""
        found = self._known.get(key)
        if found is not None and found[2] is dropped:
            del self._known[key]


class ReplyCache(DigestCache[CustomerRef, VaultWallet]):
    """Each customer's last reply, for one vault. Only for wallets built from a single reply."""

    def __init__(self, content_of: ReadContent, ordinary: ReadOrdinary) -> None:
        super().__init__()
        self._content_of = content_of
        self._ordinary = ordinary

    def read(self, customer: CustomerRef, reply: VaultReply, sent_id: str | None = None) -> VaultWallet | None:
        """The wallet in an ordinary reply for one customer, or in any that is byte-identical to the last one; else
        None. `sent_id` is the request id if the reply has none.
        """
        found_id = reply.first_of(REQUEST_ID_HEADERS, find_request_ids)  # as `request_id_of`, without a call
        request_id = found_id[:128] if found_id else sent_id
        digest = digest_of(reply.body)
        found = self._known.get(customer)
        known = found[2]() if found is not None and found[0] == digest else None
        if known is not None:
            return known if known.provider_request_id == request_id else self.renew(known, request_id)
        says = self._content_of(reply)
        if says is None:
            return None
        content = digest_of(says[0])
        known = self.find_equal(customer, content, digest)
        if known is not None:
            assert known.reply is not None
            known.reply.digest = digest
            return self.renew(known, says[1] or request_id)
        read = self._ordinary(customer, reply, request_id)
        return None if read is None else self.put(read, digest, content)

    def renew(self, known: VaultWallet, request_id: str | None) -> VaultWallet:
        """`known`, the last wallet of its customer, as read again by another reply that says the same."""
        if known.provider_request_id == request_id:
            return known
        assert known.reply is not None
        content = self._known[known.customer_ref][1]
        return self._remember(known, known.methods, request_id, known.reply, content)

    def put(self, wallet: VaultWallet, digest: bytes, content: bytes | None = None) -> VaultWallet:
        """The parsed wallet of a new reply, with the previous methods if they are equal."""
        known = self.last(wallet.customer_ref)
        methods = known.methods if known is not None and known.methods == wallet.methods else wallet.methods
        return self._remember(wallet, methods, wallet.provider_request_id, ReplyDigest(digest), content)

    def put_tolerant(self, wallet: VaultWallet, reply: VaultReply) -> VaultWallet:
        """As `put`, for a reply that the tolerant functions read, if its content determines what they give."""
        says = self._content_of(reply)
        return self.put(wallet, digest_of(reply.body), None if says is None else digest_of(says[0]))

    def _remember(
        self,
        read: VaultWallet,
        methods: tuple[PaymentMethod, ...],
        request_id: str | None,
        reply: ReplyDigest,
        content: bytes | None,
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
        return self.keep(read.customer_ref, reply.digest, made, content)
