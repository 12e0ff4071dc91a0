"""API keys of partners: 256 random bits, shown once, stored and looked up as an HMAC.

The lookup by a keyed hash never compares the key itself, so its duration reveals nothing about the key.
"""

import asyncio
import hmac
import math
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from app.caching.lru import LruCache
from app.store.clients import Clients
from app.store.errors import StoreUnavailable
from app.store.records import ClientKey, ClientRecord
from app.store.ulids import API_KEY
from app.wallet.caller import ALL_CUSTOMERS_SCOPES, ALL_SCOPES, Caller, CallerKind
from app.wallet.keys import KeyRing, derive_key

PREFIX: Final = "vg_"
_SHAPE: Final = re.compile(r"vg_[A-Za-z0-9_-]{43}")
_PURPOSE: Final = "gate/api-keys"
_PAGE: Final = 5_000
_KEEP_WITHOUT_STORE_S: Final = 60.0


def new_key() -> str:
    """``vg_`` and 43 characters; the prefix lets secret scanners find leaked keys."""
    return PREFIX + secrets.token_urlsafe(32)


def looks_like_key(text: str) -> bool:
    return _SHAPE.fullmatch(text) is not None


class KeyHasher:
    """`secrets` is the setting digest_key. Without it, a stolen database cannot verify guessed keys.

    The first secret's hash is stored for new keys; while secrets are rotated, a key may still be stored under an older
    one.
    """

    def __init__(self, *secrets: str) -> None:
        self.keys = KeyRing(secrets, lambda secret: derive_key(secret, _PURPOSE))

    def hash(self, key: str) -> str:
        return hmac.new(self.keys.first, key.encode(), sha256).hexdigest()

    def hashes(self, key: str) -> list[str]:
        """One per secret, in their order."""
        return [hmac.new(one, key.encode(), sha256).hexdigest() for one in self.keys]


@dataclass(slots=True)
class _Known:
    """A cached lookup; `caller` is None if the partner is disabled, `key` if the key is unknown."""

    read_at: float
    key: ClientKey | None
    caller: Caller | None
    is_noted: bool = False


class ApiKeys:
    """Authenticates API keys. Results are cached for `keep_s`, so a disabled key is refused within that time.

    The hashes of all keys (up to `most_keys`) are kept in memory and reloaded after a change of any partner, so a key
    that is not among them needs no lookup. One unknown key per `keep_s` is still looked up, because the notice of a key
    just added by another process may be delayed. With more keys, every key is looked up. During a store outage, cached
    results are used for up to a minute.
    """

    def __init__(
        self,
        clients: Clients,
        hasher: KeyHasher,
        *,
        keep_s: float = 1.0,
        most: int = 5_000,
        most_keys: int = 100_000,
        lookups_at_once: int = 8,
        on_use: Callable[[ClientKey, tuple[str, str] | None], None] = lambda key, stored_anew: None,
        clock: Callable[[], float] = time.monotonic,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`on_use` is called for each lookup in the store, thus at most once per `keep_s` and key: with the key and, if
        it should be stored anew, its hash and the name of the first digest key."""
        self._clients = clients
        self._on_use = on_use
        self._hasher = hasher
        self._keep_s = keep_s
        self._most_keys = most_keys
        self._hashes: frozenset[str] | None = None
        self._reading_hashes: asyncio.Task[frozenset[str]] | None = None
        self._looked_at = -math.inf
        self._turn = asyncio.Semaphore(lookups_at_once)  # bounds the load that guessed keys put on the store
        self._clock = clock
        self._utc_now = utc_now
        self._known: LruCache[str, _Known] = LruCache(most)
        self._running: dict[str, asyncio.Task[_Known]] = {}
        self._grants: dict[str, frozenset[str]] = {}
        self._generation = 0

    async def caller(self, key: str) -> Caller | None:
        """None if the key is unknown or expired or its partner is disabled."""
        if not looks_like_key(key):
            return None
        names = self._hasher.hashes(key)
        if len(names) > 1 and self._hashes is not None:
            names.sort(key=lambda name: name not in self._known and name not in (self._hashes or ()))
        for name in names:
            if (caller := await self._by_name(name)) is not None:
                self._note_use(self._known.get(name), key)
                return caller
        return None

    def why_refused(self, key: str) -> str:
        """For logs, after `caller` returned None."""
        if not looks_like_key(key):
            return "malformed"
        found = [known for name in self._hasher.hashes(key) if (known := self._known.get(name)) is not None]
        if expired := next((known.key for known in found if known.key is not None), None):
            return f"{expired.id} has expired"
        return "its partner is disabled, or it was revoked" if found else "unknown"

    async def revalidate(self, caller: Caller) -> Caller | None:
        """The caller's current rights, for streams; None once its key would be refused."""
        return None if caller.key_id is None else await self._by_name(caller.key_id)

    def _note_use(self, found: _Known | None, key: str) -> None:
        if found is None or found.key is None or found.is_noted:
            return
        found.is_noted = True
        first = self._hasher.keys.first_name
        self._on_use(found.key, None if found.key.digest_key == first else (self._hasher.hash(key), first))

    async def _by_name(self, name: str) -> Caller | None:
        """`name`: a key's hash or id."""
        known = self._known.get(name)
        if known is None or self._clock() - known.read_at >= self._keep_s:
            try:
                if not await self._may_exist(name):
                    return None
                known = await self._shared(name)
            except StoreUnavailable:
                if known is None or self._clock() - known.read_at >= _KEEP_WITHOUT_STORE_S:
                    raise
        if known.key is not None and known.key.expires_at is not None and known.key.expires_at <= self._utc_now():
            return None
        return known.caller

    def replace_secrets(self, secrets: Iterable[str]) -> None:
        """Use these digest keys from now on."""
        self._hasher.keys.replace(secrets)
        self.forget()

    def forget(self, name: str | None = None) -> None:
        """Invalidate the cache after a change of the partner `name`, or of any partner if None."""
        self._generation += 1
        self._known.clear()
        self._hashes = self._reading_hashes = None
        if name is None:
            self._grants.clear()
        else:
            self._grants.pop(name, None)

    async def _may_exist(self, name: str) -> bool:
        """False if no key has this hash, certainly or almost certainly."""
        if name.startswith(API_KEY):
            return True
        hashes = self._hashes
        if hashes is None:
            if self._reading_hashes is None or self._reading_hashes.done():
                self._reading_hashes = asyncio.create_task(self._read_hashes())
            hashes = await asyncio.shield(self._reading_hashes)
        if name in hashes or len(hashes) > self._most_keys:
            return True
        now = self._clock()
        if now - self._looked_at < self._keep_s:
            return False
        self._looked_at = now
        return True

    async def _read_hashes(self) -> frozenset[str]:
        generation = self._generation
        hashes = await self._clients.key_hashes(limit=self._most_keys + 1)
        if generation == self._generation:
            self._hashes = hashes
        return hashes

    async def _shared(self, name: str) -> _Known:
        running = self._running.get(name)
        if running is None:
            running = self._running[name] = asyncio.create_task(self._look_up(name))
            running.add_done_callback(lambda _: self._running.pop(name, None))
        return await asyncio.shield(running)

    async def _look_up(self, name: str) -> _Known:
        async with self._turn:
            read_at, generation = self._clock(), self._generation
            is_id = name.startswith(API_KEY)
            record = await (self._clients.by_key_id(name) if is_id else self._clients.by_key_hash(name))
            found = _Known(read_at, None, None)
            if record is not None and record.disabled_at is None:
                granted = None if record.sees_all_customers else await self._granted(record, generation)
                key = next((one for one in record.keys if name in (one.id, one.key_hash)), None)
                if key is not None:
                    found = _Known(read_at, key, _caller(record, granted, key.id))
        if generation == self._generation and (record is not None or name in (self._hashes or ())):
            self._known.put(name, found)
        return found

    async def _granted(self, record: ClientRecord, generation: int) -> frozenset[str]:
        """The partner's grants, cached until the partner changes."""
        kept = self._grants.get(record.name)
        if kept is not None:
            return kept
        found: set[str] = set()
        page = await self._clients.grants(record.name, limit=_PAGE)
        while page:
            found.update(page)
            page = await self._clients.grants(record.name, after=page[-1], limit=_PAGE) if len(page) == _PAGE else []
        granted = frozenset(found)
        if generation == self._generation:
            self._grants[record.name] = granted
        return granted


def _caller(record: ClientRecord, granted: frozenset[str] | None, key_id: str) -> Caller:
    allowed = ALL_SCOPES if granted is None else ALL_SCOPES - ALL_CUSTOMERS_SCOPES
    return Caller(
        name=record.name,
        kind=CallerKind.PARTNER,
        scopes=allowed & record.scopes,
        granted=granted,
        key_id=key_id,
    )
