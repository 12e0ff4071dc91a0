"""Snapshots that processes share through Redis or Valkey: what one of them has just read, the others need not read.

Only complete lists of payment methods are shared, encrypted, until they are no longer fresh. Losing them costs a call
to the vault. A process that drops a customer (a write, a webhook, another process's change) or needs a fresh reply
ignores the customer's shared snapshots until each that may have been taken before must have expired. After its start,
and when it does not know what has changed, it ignores all of them for that time.
"""

import asyncio
import hmac
import os
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.caching.shared_redis import SharedRedis
from app.errors import VaultError
from app.vault.enums import CustomerRef, ProviderName
from app.vault.model import BankAccount, Card, OtherMethod, PaymentMethod, VaultProfile, VaultWallet
from app.vault.provider import Call, StartedRead
from app.wallet.keys import KeyRing, derive_key
from app.wallet.reads.cache import InFlightRead, Key, Prepared, Read, Snapshot, SnapshotCache, Source

_SLACK_S: Final = 1.0  # for a save that is under way, and between the clocks of two machines
_KINDS: Final = (Card, BankAccount, OtherMethod)
_DECODED: Final[tuple[Any, ...]] = _KINDS
_PURPOSE: Final = "wallet/shared-snapshots"
_NONCE_BYTES: Final = 12
_MOST_IGNORED: Final = 10_000

Customer = tuple[ProviderName, CustomerRef]


class SnapshotCipher:
    """AES-256-GCM under a key derived from one secret, bound to the customer; names show no ref either."""

    def __init__(self, secret: bytes | str) -> None:
        self._cipher = AESGCM(derive_key(secret, _PURPOSE))
        self._naming = derive_key(secret, f"{_PURPOSE}/names")

    def name(self, customer: Customer) -> str:
        digest = hmac.digest(self._naming, "\0".join(customer).encode("utf-8", "surrogatepass"), "sha256")
        return f"vaultgraph:snapshot:{digest.hex()[:40]}"

    def seal(self, name: str, plain: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """Raises InvalidTag."""
        return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())


class _Stored(msgspec.Struct, array_like=True):
    """Each method is preceded by the place of its class in `_KINDS`.

    No field has a default: a snapshot that another version stored without one is not read, because what it lacks would
    look as if the vault had none.
    """

    asked_at: datetime
    as_of: datetime
    provider_request_id: str | None
    methods: list[tuple[int, msgspec.Raw]]
    profile: VaultProfile | None


@dataclass(frozen=True, slots=True)
class _Shared:
    """A snapshot from Redis, fresh for `fresh_s` more seconds."""

    wallet: VaultWallet
    asked_at: datetime
    as_of: datetime
    fresh_s: float


class SharedSnapshotCache(SnapshotCache):
    """A `SnapshotCache` that asks Redis before it asks a vault."""

    def __init__(
        self,
        max_bytes: int,
        redis: SharedRedis,
        keys: KeyRing[SnapshotCipher],
        prepare: Callable[[VaultWallet, Any], Prepared],
        lasts_s: Mapping[ProviderName, float],
        **clocks: Any,
    ) -> None:
        """`lasts_s`: how long after its read began a vault's snapshot can be fresh: deadline and freshness together."""
        super().__init__(max_bytes, **clocks)
        self._redis = redis
        self._keys = keys
        self._prepare = prepare
        self._lasts_s = {name: seconds + _SLACK_S for name, seconds in lasts_s.items()}
        self._ignored: dict[Customer, float] = {}
        self._ignores_all_until: float | None = None  # set by the first read
        self._saving: set[asyncio.Task[None]] = set()

    async def read(
        self, wanted: Sequence[tuple[Key, Source[Any]]], call: Call, *, force_fresh: bool = False
    ) -> list[Read[Any]]:
        if force_fresh:
            for key, _ in wanted:
                self._ignore(key[0], key[1])
        return await super().read(wanted, call, force_fresh=force_fresh)

    def drop(self, provider: ProviderName, ref: CustomerRef) -> None:
        super().drop(provider, ref)
        self._ignore(provider, ref)

    def clear(self) -> None:
        super().clear()
        self._ignore_all()

    async def close(self) -> None:
        await asyncio.gather(*self._saving, return_exceptions=True)
        await self._redis.close()

    def _ignore(self, provider: ProviderName, ref: CustomerRef) -> None:
        now = self.now()
        if len(self._ignored) >= _MOST_IGNORED:
            self._ignored = {customer: until for customer, until in self._ignored.items() if until > now}
            if len(self._ignored) >= _MOST_IGNORED:
                self._ignored.clear()
                self._ignore_all()
        self._ignored[provider, ref] = now + self._lasts_s[provider]

    def _ignore_all(self) -> None:
        self._ignores_all_until = self.now() + max(self._lasts_s.values())

    def _may_use(self, key: Key) -> bool:
        if self._ignores_all_until is None:
            self._ignore_all()
        now = self.now()
        return now > (self._ignores_all_until or 0.0) and now > self._ignored.get(key[:2], 0.0)

    def _begin(self, read: InFlightRead, source: Source[Any], call: Call, context: Context) -> bool:
        return not self._is_shared(read, source) and super()._begin(read, source, call, context)

    async def _run(
        self, read: InFlightRead, source: Source[Any], call: Call, started: StartedRead | None = None
    ) -> None:
        if self._is_shared(read, source):
            source = replace(source, fetch=partial(self._fetch, source))
        await super()._run(read, source, call, started)

    @staticmethod
    def _is_shared(read: InFlightRead, source: Source[Any]) -> bool:
        return source.fresh_for_s > 0 and read.keys[0][2] is None

    async def _fetch(self, source: Source[Any], keys: Sequence[Key], call: Call) -> Mapping[CustomerRef, Any]:
        shared = await self._load([key for key in keys if self._may_use(key)], source)
        missing = [key for key in keys if key[1] not in shared]
        if not missing:
            return shared
        try:
            return {**shared, **await source.fetch(missing, call)}
        except VaultError as error:
            if not shared:
                raise
            return {**shared, **dict.fromkeys([key[1] for key in missing], error)}

    def _keep(
        self, key: Key, reply: Any, read: InFlightRead, source: Source[Any], now: float, as_of: datetime
    ) -> Snapshot[Any]:
        if isinstance(reply, _Shared):
            return self._keep_shared(key, reply, read, source, now)
        snapshot = super()._keep(key, reply, read, source, now, as_of)
        if snapshot.fresh_until > now and key[2] is None and snapshot.prepared.is_whole:
            self._save(key, snapshot, snapshot.fresh_until - now)
        return snapshot

    def _keep_shared(
        self, key: Key, shared: _Shared, read: InFlightRead, source: Source[Any], now: float
    ) -> Snapshot[Any]:
        before = self._snapshots.peek(key)
        prepared = self._prepare(shared.wallet, None if before is None else before.prepared)
        fresh_until, taken_at = now + shared.fresh_s, now + shared.fresh_s - source.fresh_for_s
        snapshot = Snapshot(
            shared.wallet, prepared, shared.asked_at, shared.as_of, taken_at, prepared.size, float("-inf")
        )
        if self._in_flight.get(key) is read and self._may_use(key):
            snapshot.fresh_until = fresh_until
            if before is not None:
                before.fresh_until = float("-inf")
            self._snapshots.put(key, snapshot, weight=snapshot.size)
        return snapshot

    async def _load(self, keys: Sequence[Key], source: Source[Any]) -> dict[CustomerRef, Any]:
        named = [(key, cipher, cipher.name(key[:2])) for key in keys for cipher in self._keys]
        if not named:
            return {}

        async def ask() -> list[Any]:
            pipeline = self._redis.client.pipeline(transaction=False)
            for _, _, name in named:
                pipeline.get(name)
                pipeline.pttl(name)
            found: list[Any] = await pipeline.execute()
            return found

        answers = await self._redis.attempt(ask) or []
        shared: dict[CustomerRef, Any] = {}
        for (key, cipher, name), sealed, left_ms in zip(named, answers[::2], answers[1::2], strict=False):
            if sealed and left_ms > 0:
                one = _opened(key, cipher, name, sealed, left_ms / 1000)
                age_s = 0.0 if one is None else (datetime.now(UTC) - one.as_of).total_seconds()
                if one is not None and age_s < source.fresh_for_s + _SLACK_S:
                    shared[key[1]] = one
        return shared

    def _save(self, key: Key, snapshot: Snapshot[VaultWallet], for_s: float) -> None:
        """In the background; what fails is not shared."""
        wallet = snapshot.value
        if any(method.__class__ not in _KINDS for method in wallet.methods):
            return
        try:
            methods = [(_KINDS.index(one.__class__), msgspec.Raw(msgspec.json.encode(one))) for one in wallet.methods]
        except TypeError:  # a secret, for example a browser's credential
            return
        stored = _Stored(snapshot.asked_at, snapshot.as_of, wallet.provider_request_id, methods, wallet.profile)
        cipher = self._keys.first
        name = cipher.name(key[:2])
        sealed = cipher.seal(name, msgspec.json.encode(stored))

        async def put() -> None:
            await self._redis.attempt(lambda: self._redis.client.set(name, sealed, px=max(1, int(for_s * 1000))))

        task = asyncio.get_running_loop().create_task(put())
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)


def _method(kind: int, raw: msgspec.Raw) -> PaymentMethod:
    found: PaymentMethod = msgspec.json.decode(raw, type=_DECODED[kind])
    return found


def _opened(key: Key, cipher: SnapshotCipher, name: str, sealed: bytes, fresh_s: float) -> _Shared | None:
    """None if it was made with another key or by another version."""
    try:
        stored = msgspec.json.decode(cipher.open(name, sealed), type=_Stored)
        methods = tuple(_method(*one) for one in stored.methods)
    except (InvalidTag, ValueError, IndexError):  # msgspec's errors are ValueErrors
        return None
    wallet = VaultWallet(
        provider=key[0],
        customer_ref=key[1],
        methods=methods,
        provider_request_id=stored.provider_request_id,
        profile=stored.profile,
    )
    return _Shared(wallet, stored.asked_at, stored.as_of, fresh_s)
