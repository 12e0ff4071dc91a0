"""Public keys that verify tokens and webhooks, from a file or a configured URL, never from a token.

A key determines its algorithm (RSA: RS256, P-256: ES256), so a token cannot choose another.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from app.errors import SettingsError, VaultgraphError
from app.telemetry.dependency import Dependency

_MOST_KEYS: Final = 100
_LEAST_RSA_BITS: Final = 2048

Fetch = Callable[[], Awaitable[bytes]]
"""Returns the document's bytes, bounded, without following redirects. May raise any exception."""
PublicKey = RSAPublicKey | EllipticCurvePublicKey


class KeysUnavailable(VaultgraphError):
    """The key set has never been loaded, so tokens cannot be verified."""


class NotAKeySet(VaultgraphError):
    """The document is no JSON Web Key Set, or has no usable key."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    key_id: str | None
    algorithm: str
    key: PublicKey


class KeySource(Protocol):
    async def find(self, key_id: str | None, algorithm: str | None) -> VerifyingKey | None:
        """The key with this id; without an id, the algorithm's only key (of any if None). Raises KeysUnavailable."""
        ...


class KeySet:
    """The usable keys of one document: public signature keys, RSA of 2048 bits or more and P-256."""

    def __init__(self, keys: tuple[VerifyingKey, ...]) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    @classmethod
    def parse(cls, raw: bytes) -> "KeySet":
        """Ignores keys of other kinds, as RFC 7517 §5 asks. Raises NotAKeySet."""
        try:
            listed = json.loads(raw)["keys"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise NotAKeySet("not a JSON Web Key Set") from None
        if not isinstance(listed, list):
            raise NotAKeySet("not a JSON Web Key Set")
        found = [key for one in listed[:_MOST_KEYS] if (key := _usable(one)) is not None]
        if not found:
            raise NotAKeySet("no RSA or P-256 key in the key set")
        return cls(tuple(found))

    def find(self, key_id: str | None, algorithm: str | None) -> VerifyingKey | None:
        fitting = [key for key in self._keys if algorithm in (None, key.algorithm)]
        if key_id is None:
            return fitting[0] if len(fitting) == 1 else None
        return next((key for key in fitting if key.key_id == key_id), None)


class FileKeys:
    """A key set loaded at startup; a change of the file needs a restart."""

    def __init__(self, path: Path, *, setting: str = "auth.jwks_path") -> None:
        try:
            self._keys = KeySet.parse(path.read_bytes())
        except (OSError, NotAKeySet) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise SettingsError(f"{setting} cannot be used: {reason}") from None

    async def find(self, key_id: str | None, algorithm: str | None) -> VerifyingKey | None:
        return self._keys.find(key_id, algorithm)


class FetchedKeys:
    """A key set behind a URL. Loaded on first use, again when it is `max_age_s` old or lacks a key id.

    Tokens with invented key ids cause at most one fetch per `min_interval_s`; concurrent callers share a fetch. If a
    reload fails, the old set stays in use for `keep_for_s`, so that an outage of the issuer does not stop the gateway.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        max_age_s: float = 600.0,
        min_interval_s: float = 10.0,
        keep_for_s: float = 86_400.0,
        clock: Callable[[], float] = time.monotonic,
        setting: str = "auth.jwks_url",
    ) -> None:
        """`setting` is the name shown in messages."""
        self._fetch = fetch
        self._setting = setting
        self._state = Dependency(setting, "the keys read before stay in use", clock=clock)
        self._max_age_s = max_age_s
        self._min_interval_s = min_interval_s
        self._keep_for_s = keep_for_s
        self._clock = clock
        self._keys: KeySet | None = None
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._running: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None, algorithm: str | None) -> VerifyingKey | None:
        age = self._clock() - self._read_at
        if self._keys is None or age > self._keep_for_s:
            await self._refresh()
            if self._keys is None or self._clock() - self._read_at > self._keep_for_s:
                raise KeysUnavailable(f"the keys at {self._setting} cannot be read")
        elif age > self._max_age_s:
            self._start()  # in the background: the current set is still valid
        found = self._keys.find(key_id, algorithm)
        if found is None:
            await self._refresh()
            found = self._keys.find(key_id, algorithm)
        return found

    async def _refresh(self) -> None:
        task = self._start()
        if task is not None:
            await asyncio.shield(task)  # shared: cancelling one caller must not cancel the fetch

    def _start(self) -> asyncio.Task[None] | None:
        """The running fetch, a new one, or None within `min_interval_s` of the last."""
        if self._running is not None and not self._running.done():
            return self._running
        if self._clock() - self._tried_at < self._min_interval_s:
            return None
        self._tried_at = self._clock()
        self._running = asyncio.create_task(self._read())
        return self._running

    async def _read(self) -> None:
        try:
            self._keys = KeySet.parse(await self._fetch())
            self._read_at = self._clock()
        except Exception as error:  # noqa: BLE001 - after any error the current keys stay in use
            self._state.failed(type(error).__name__)
        else:
            self._state.worked()


def _usable(listed: Any) -> VerifyingKey | None:
    if not isinstance(listed, Mapping) or listed.get("use", "sig") != "sig" or "d" in listed:
        return None
    operations = listed.get("key_ops")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return None
    try:
        key = PyJWK.from_dict(dict(listed)).key
    except (PyJWTError, ValueError, TypeError, KeyError, NotImplementedError):
        return None
    algorithm = _algorithm_of(key)
    if algorithm is None or listed.get("alg", algorithm) != algorithm:
        return None
    key_id = listed.get("kid")
    return VerifyingKey(key_id if isinstance(key_id, str) else None, algorithm, key)


def _algorithm_of(key: object) -> str | None:
    if isinstance(key, RSAPublicKey) and key.key_size >= _LEAST_RSA_BITS:
        return "RS256"
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    return None
