"""A reply of the same bytes says the same: what it was read as last time still stands, and is not read again.

Vaults tell of a wallet by sending all of it, each time, and most of the time nothing in it has changed. The vault is
asked as ever; only decoding and mapping are saved. Kept is a digest of the reply, never the reply; and a result is
remembered only as long as somebody else keeps it, so that nothing outlives the snapshot that was dropped or erased.

Other bytes often say the same too: a vault that counts its replies or names the moment. They are read, and where that
gives the methods of last time, those stand: what was made of them need not be made again.
"""

from hashlib import blake2b
from typing import Final
from weakref import WeakValueDictionary

from app.vault.enums import CustomerRef
from app.vault.model import PaymentMethod, ReplyDigest, VaultWallet

_DIGEST_BYTES: Final = 16


def digest_of(body: bytes) -> bytes:
    return blake2b(body, digest_size=_DIGEST_BYTES).digest()


class ReplyCache:
    """Of one vault: each customer's last reply. Only for replies that are all that a wallet was made of."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[CustomerRef, VaultWallet] = WeakValueDictionary()

    def get(self, ref: CustomerRef, digest: bytes, request_id: str | None) -> VaultWallet | None:
        """What the same bytes were read as before, with this reply's request id."""
        known = self._known.get(ref)
        if known is None or known.reply is None or known.reply.digest != digest:
            return None
        if known.provider_request_id == request_id:
            return known
        return self._remember(known, known.methods, request_id, known.reply)

    def put(self, wallet: VaultWallet, digest: bytes) -> VaultWallet:
        """What was read of a reply that is not the last one's, with the methods of last time where they are equal."""
        known = self._known.get(wallet.customer_ref)
        methods = known.methods if known is not None and known.methods == wallet.methods else wallet.methods
        return self._remember(wallet, methods, wallet.provider_request_id, ReplyDigest(digest))

    def _remember(
        self, read: VaultWallet, methods: tuple[PaymentMethod, ...], request_id: str | None, reply: ReplyDigest
    ) -> VaultWallet:
        made = self._known[read.customer_ref] = VaultWallet(
            provider=read.provider,
            customer_ref=read.customer_ref,
            methods=methods,
            skipped=read.skipped,
            truncated=read.truncated,
            provider_request_id=request_id,
            reply=reply,
        )
        return made
