"""Reuses the parsed wallet when a vault's reply is byte-identical to the previous one.

Vaults return the whole wallet each time, usually unchanged. The vault is still called; only decoding and mapping are
saved. The cache stores a digest of the reply, not the reply, and refers to results weakly, so that nothing outlives a
snapshot that was dropped or erased.

A reply may also differ only in a counter or a timestamp. It is parsed, but if its methods equal the previous ones,
those are reused, so that objects derived from them need not be rebuilt.
"""

from functools import partial
from hashlib import blake2b
from typing import Final
from weakref import ref

from app.vault.enums import CustomerRef
from app.vault.model import PaymentMethod, ReplyDigest, VaultWallet

_DIGEST_BYTES: Final = 16


def digest_of(body: bytes) -> bytes:
    return blake2b(body, digest_size=_DIGEST_BYTES).digest()


class ReplyCache:
    """Each customer's last reply, for one vault. Only for wallets built from a single reply."""

    def __init__(self) -> None:
        self._known: dict[CustomerRef, ref[VaultWallet]] = {}

    def get(self, customer: CustomerRef, digest: bytes, request_id: str | None) -> VaultWallet | None:
        """The wallet parsed from the same bytes before, with this reply's request id."""
        found = self._known.get(customer)
        known = None if found is None else found()
        if known is None or known.reply is None or known.reply.digest != digest:
            return None
        if known.provider_request_id == request_id:
            return known
        return self._remember(known, known.methods, request_id, known.reply)

    def put(self, wallet: VaultWallet, digest: bytes) -> VaultWallet:
        """The parsed wallet of a new reply, with the previous methods if they are equal."""
        found = self._known.get(wallet.customer_ref)
        known = None if found is None else found()
        methods = known.methods if known is not None and known.methods == wallet.methods else wallet.methods
        return self._remember(wallet, methods, wallet.provider_request_id, ReplyDigest(digest))

    def _remember(
        self, read: VaultWallet, methods: tuple[PaymentMethod, ...], request_id: str | None, reply: ReplyDigest
    ) -> VaultWallet:
        customer = read.customer_ref
        made = VaultWallet(
            provider=read.provider,
            customer_ref=customer,
            methods=methods,
            skipped=read.skipped,
            truncated=read.truncated,
            provider_request_id=request_id,
            reply=reply,
        )
        self._known[customer] = ref(made, partial(self._forget, customer))
        return made

    def _forget(self, customer: CustomerRef, dropped: "ref[VaultWallet]") -> None:
        """Called when a wallet is dropped."""
        if self._known.get(customer) is dropped:
            del self._known[customer]
