"""Records uses of keys in the background: of API keys, and of the gateway's own old keys.

An API key that was stored under an older digest key is stored anew under the first one when it is used: its hash cannot
be computed without the key itself.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from app.store import Store
from app.store.errors import StoreUnavailable
from app.store.records import ClientKey
from app.wallet.digest import DIGEST_KEY
from app.wallet.writes.lease import WorkerLease

_log = logging.getLogger("vaultgraph.auth")
_EVERY_S: Final = 2.0
_AT_MOST_EVERY: Final = timedelta(hours=1)


class KeyUseRecorder:
    """`api_key_used` and `old_key_used` only take notes; `run` writes them every two seconds. The time of a key's last
    use is written at most once per hour.
    """

    def __init__(
        self, store: Store, lease: WorkerLease, *, utc_now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._lease = lease
        self._utc_now = utc_now
        self._api_keys: dict[str, datetime] = {}
        self._hashes: dict[str, tuple[str, str]] = {}
        self._old_keys: dict[tuple[str, str], datetime] = {}
        self._written: dict[tuple[str, str], datetime] = {}

    def api_key_used(self, key: ClientKey, stored_anew: tuple[str, str] | None) -> None:
        """`stored_anew`: the hash and the digest key's name with which the key should be stored from now on."""
        now = self._utc_now()
        if key.last_used_at is None or now - key.last_used_at >= _AT_MOST_EVERY:
            self._api_keys[key.id] = now
        if stored_anew is not None:
            self._hashes[key.id] = stored_anew

    def old_key_used(self, purpose: str, name: str) -> None:
        """The gateway's key `name`, not the first of its list, decrypted or verified something."""
        now, last = self._utc_now(), self._written.get((purpose, name))
        if last is None or now - last >= _AT_MOST_EVERY:
            self._old_keys[purpose, name] = self._written[purpose, name] = now

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.finish()

    async def finish(self) -> None:
        """Write the notes if possible; a failure is not raised, since the next use brings the note again."""
        try:
            await self.flush()
        except StoreUnavailable:
            self._written.clear()
        except Exception:  # noqa: BLE001 - the loop must survive
            _log.exception("the use of keys could not be written")

    async def flush(self) -> None:
        """Raises StoreUnavailable."""
        used, self._api_keys = self._api_keys, {}
        hashes, self._hashes = self._hashes, {}
        old, self._old_keys = self._old_keys, {}
        if used:
            await self._store.clients.used_keys(used)
        for (purpose, name), at in old.items():
            await self._store.key_uses.used(purpose, name, at)
        for digest_key in {name for _, name in hashes.values()}:
            if not await self._lease.is_first_everywhere(DIGEST_KEY, digest_key):
                continue  # a process without the digest key would refuse the API key
            for key_id, (key_hash, name) in hashes.items():
                if name == digest_key:
                    await self._store.clients.replace_key_hash(key_id, key_hash, name)
