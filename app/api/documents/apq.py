"""Automatic persisted queries: documents sent once by trusted frontends, cached under their SHA-256.

The cache is bounded, in total and per client: a client over its share evicts only its own documents. Replicas share
documents through Redis; while Redis is unavailable, a document that only it has is a cache miss.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import Final, Protocol

from app.caching.lru import LruCache
from app.caching.shared_redis import SharedRedis

_RETENTION_S: Final = 7 * 24 * 3600
_SHARE_PERIOD_S: Final = 24 * 3600
_OVERHEAD: Final = 200  # bytes per entry besides its text


class ApqStore(Protocol):
    """Documents cached by other replicas. Never raises: an unavailable store is a cache miss."""

    async def text(self, digest: str) -> str | None: ...

    async def keep(self, digest: str, text: str, client: str) -> None: ...

    async def close(self) -> None: ...


def digest_of(text: str) -> str:
    """Lone surrogates have no UTF-8; such a text matches no hash that a client could compute."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class LocalApqStore:
    """The cache of this process. `max_bytes` bounds it in total, `share` (a fraction) the part of one client."""

    def __init__(self, *, max_bytes: int, share: float) -> None:
        self._max_bytes = max_bytes
        self._share = max(1, int(max_bytes * share))
        self._owners: dict[str, str] = {}  # the client at whose expense a digest is cached
        self._clients: OrderedDict[str, LruCache[str, str]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._owners)

    def text(self, digest: str) -> str | None:
        client = self._owners.get(digest)
        if client is None:
            return None
        self._clients.move_to_end(client)
        return self._clients[client].get(digest)

    def keep(self, digest: str, text: str, client: str) -> None:
        """Cache the text at this client's expense, unless it is cached already."""
        weight = len(text.encode("utf-8", "surrogatepass")) + _OVERHEAD
        if digest in self._owners or weight > self._share:
            return
        mine = self._clients.setdefault(client, LruCache(self._share, on_evict=self._forget))
        self._clients.move_to_end(client)
        self._owners[digest] = client
        self.bytes -= mine.weight
        mine.put(digest, text, weight=weight)
        self.bytes += mine.weight
        while self.bytes > self._max_bytes:
            client, mine = next(iter(self._clients.items()))
            self.bytes -= mine.weight
            oldest = next(iter(mine))
            self._forget(oldest, mine.pop(oldest))
            self.bytes += mine.weight
            if not mine.weight:
                del self._clients[client]

    def _forget(self, digest: str, _: str | None) -> None:
        del self._owners[digest]


class RedisApqStore:
    """`share_bytes` is what one client may add in a day."""

    def __init__(
        self,
        url: str,
        *,
        share_bytes: int,
        prefix: str = "vaultgraph:apq:",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        without = "persisted queries of other replicas cannot be read for now"
        self._redis = SharedRedis(url, without=without, clock=clock)
        self._share_bytes = share_bytes
        self._prefix = prefix

    async def text(self, digest: str) -> str | None:
        """The text, if its hash matches."""
        text = await self._redis.attempt(lambda: self._redis.client.getex(self._prefix + digest, ex=_RETENTION_S))
        if not isinstance(text, bytes) or sha256(text).hexdigest() != digest:
            return None
        return text.decode("utf-8", "surrogatepass")

    async def keep(self, digest: str, text: str, client: str) -> None:
        body = text.encode("utf-8", "surrogatepass")
        account = f"{self._prefix}share:{sha256(client.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"

        async def add() -> None:
            async with self._redis.client.pipeline(transaction=True) as pipe:
                pipe.set(account, 0, ex=_SHARE_PERIOD_S, nx=True)
                pipe.incrby(account, len(body) + _OVERHEAD)
                _, spent = await pipe.execute()
            if spent <= self._share_bytes:
                await self._redis.client.set(self._prefix + digest, body, ex=_RETENTION_S, nx=True)

        await self._redis.attempt(add)

    async def close(self) -> None:
        await self._redis.close()


class AutomaticPersistedQueries:
    """Looks up persisted queries, in this process first, then in the shared store."""

    def __init__(self, local: LocalApqStore, shared: ApqStore | None = None) -> None:
        self._local = local
        self._shared = shared

    async def text(self, digest: str, client: str) -> str | None:
        """A text from the shared store counts against `client`."""
        text = self._local.text(digest)
        if text is None and self._shared is not None:
            text = await self._shared.text(digest)
            if text is not None:
                self._local.keep(digest, text, client)
        return text

    async def keep(self, digest: str, text: str, client: str) -> None:
        """Takes a valid document whose hash was checked."""
        if self._local.text(digest) is None:
            self._local.keep(digest, text, client)
            if self._shared is not None:
                await self._shared.keep(digest, text, client)

    async def close(self) -> None:
        if self._shared is not None:
            await self._shared.close()
