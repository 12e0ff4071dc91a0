"""A reply of the same bytes says the same: what it was read as last time still stands, and is not read again.

Vaults tell of a wallet by sending all of it, each time, and most of the time nothing in it has changed. The vault is
asked as ever; only decoding and mapping are saved. Kept is a digest of the reply, never the reply; and a result is
remembered only as long as somebody else keeps it, so that nothing outlives the snapshot that was dropped or erased.
"""

from dataclasses import replace
from hashlib import blake2b
from typing import Final
from weakref import WeakValueDictionary

from app.vault.model import SameReply, VaultWallet
from app.vault.names import CustomerRef

_DIGEST_BYTES: Final = 16


def digest_of(body: bytes) -> bytes:
    return blake2b(body, digest_size=_DIGEST_BYTES).digest()


class LastReplies:
    """Of one vault: each customer's last reply. Only for replies that are all that a wallet was made of."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[CustomerRef, VaultWallet] = WeakValueDictionary()

    def again(self, ref: CustomerRef, digest: bytes, request_id: str | None) -> VaultWallet | None:
        """What the same bytes were read as before, with this reply's request id."""
        known = self._known.get(ref)
        if known is None or known.reply is None or known.reply.digest != digest:
            return None
        if known.provider_request_id == request_id:
            return known
        made = self._known[ref] = replace(known, provider_request_id=request_id)
        return made

    def keep(self, wallet: VaultWallet, digest: bytes) -> VaultWallet:
        made = self._known[wallet.customer_ref] = replace(wallet, reply=SameReply(digest))
        return made
