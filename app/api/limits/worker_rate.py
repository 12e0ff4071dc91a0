"""Token buckets that the workers of one machine share: records of a file in memory, each under a lock of the kernel.

Exact, without a server: a request locks 128 bytes for some microseconds. The kernel frees the lock of a killed worker.
"""

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Final

from app.api.limits.rate import LocalBuckets, RateBudget, TokenGrant
from app.caching.lru import LruCache

_SETS: Final = 16_384
_WAYS: Final = 4
_RECORD: Final = struct.Struct("@Qddd")  # hash of the client, requests, cost, when
_SET: Final = struct.Struct("@" + "Qddd" * _WAYS)


class WorkerBuckets(LocalBuckets):
    """Room for 65,536 clients. A new one takes the place of the longest unused of four, which has likely refilled."""

    def __init__(self, file: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is equal in all processes of the machine. Creates `file` if it is missing."""
        super().__init__(clock=clock)
        self._fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._fd, _SETS * _SET.size)
        self._memory = mmap.mmap(self._fd, _SETS * _SET.size)
        self._places: LruCache[str, tuple[int, int]] = LruCache(self._most)

    def take_now(self, client: str, budget: RateBudget, requests: float, cost: float) -> TokenGrant:
        place = self._places.get(client)
        if place is None:
            place = _place_of(client)
            self._places.put(client, place)
        identity, start = place
        fcntl.lockf(self._fd, fcntl.LOCK_EX, _SET.size, start)
        try:
            found = _SET.unpack_from(self._memory, start)
            try:
                index = found.index(identity)
            except ValueError:
                index = 4 * min(range(_WAYS), key=lambda way: found[4 * way + 3])
                self._levels.pop(client, None)
            else:
                self._levels[client] = found[index + 1 : index + 4]
            granted = super().take_now(client, budget, requests, cost)
            _RECORD.pack_into(self._memory, start + 8 * index, identity, *self._levels[client])
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, _SET.size, start)
        return granted


def _place_of(client: str) -> tuple[int, int]:
    """The client's hash, an odd number above those that a level can equal, and where its set begins."""
    digest = blake2b(client.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    identity = int.from_bytes(digest[:8], "big") | 1 << 63 | 1
    return identity, int.from_bytes(digest[8:], "big") % _SETS * _SET.size
