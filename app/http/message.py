"""What an adapter hands to the HTTP room, and what it gets back."""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

import orjson


class Effect(Enum):
    """What repeating the request would do. It decides retries and what a lost answer means."""

    READ = "read"  # may be retried; a lost answer is VaultUnavailable or VaultTimeout
    WRITE = "write"  # never retried once it may have left us; a lost answer is OutcomeUnknown


class Meter(Protocol):
    """Counts calls that were made; what refuses to call leaves it alone."""

    calls: int


class CallLike(Protocol):
    """The parts of `app.vault.provider.Call` that this room needs."""

    @property
    def deadline_at(self) -> float: ...
    @property
    def request_id(self) -> str: ...
    @property
    def traceparent(self) -> str | None: ...
    @property
    def client(self) -> str: ...
    @property
    def meter(self) -> Meter: ...


class FixedHeaders(dict[str, str]):
    """Headers that nobody ever changes and that many requests share: what follows from them is worked out once.

    Both attributes are for transports: `is_safe` once one has found that they can be written, and in `wire` how.
    """

    __slots__ = ("is_safe", "wire")

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        self.is_safe = False
        self.wire: str | None = None

    __hash__ = object.__hash__  # type: ignore[assignment]  # by identity: nobody changes it

    def __eq__(self, other: object) -> bool:
        return self is other or dict.__eq__(self, other) is True


class ExtendedHeaders(dict[str, str]):
    """Fixed headers and a few of one call's own, of other names. Transports may read it as any other mapping."""

    __slots__ = ("fixed", "own")

    def __init__(self, fixed: FixedHeaders, own: Mapping[str, str]) -> None:
        if not fixed.keys().isdisjoint(own):
            raise ValueError("a header would be sent twice")
        super().__init__(fixed)
        self.update(own)
        self.fixed = fixed
        self.own = own


_MARKS: Final = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NO_HEADERS: Final = FixedHeaders({})


@dataclass(slots=True, kw_only=True)  # not frozen, though nobody changes one: it is made for each call
class VaultRequest:
    """One call to a vault.

    `path` is relative to the base URL, already percent-encoded, without a leading slash; `query` is encoded here, and
    `raw_query`, for a page that a vault named itself, is taken as it is. `route` names the operation without ids
    (``consumer-profiles/{id}``) for metrics and logs. `json` is encoded with orjson; `body` with `content_type` is for
    anything else. `own_headers` go with this call alone, beside `headers` and never in their place; their names are in
    lower case.
    """

    method: str
    path: str
    route: str
    effect: Effect = Effect.READ
    query: tuple[tuple[str, str], ...] = ()
    raw_query: str = ""
    json: Any = None
    body: bytes | None = None
    content_type: str | None = None
    headers: Mapping[str, str] = NO_HEADERS
    own_headers: Mapping[str, str] | None = None


@dataclass(slots=True)  # as requests
class VaultReply:
    """A complete answer. Header names are lower case. `body` never goes into a log or an exception."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    latency_ms: int = 0

    def json(self) -> Any:
        """Decode the body; raises ValueError (orjson.JSONDecodeError) without quoting it.

        A byte order mark is taken off, as RFC 8259 allows; UTF-16 and UTF-32 are read where one says so.
        """
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            encoding = next((name for mark, name in _MARKS if self.body.startswith(mark)), None)
            if encoding is None:
                raise
        try:
            decoded = self.body.decode(encoding)
        except UnicodeDecodeError:
            raise ValueError("the body is not text in its own encoding") from None  # the other one holds the body
        return orjson.loads(decoded)


class VaultHttp(Protocol):
    """One vault's HTTP door: session, credentials, deadline, cap, retries, breaker, redaction.

    `send` answers any reply with a status below 500 other than 401 (after one refresh where tokens are used) and 429;
    it raises, all from `app.errors`:

    - `VaultThrottled` on a READ's 429 (with retry_after_s), or when our cap's queue is full or too slow: nothing sent
    - `CircuitOpen` when not calling at all
    - READ: `VaultTimeout`, `VaultUnavailable` (connect, reset, truncated reply, 5xx) after bounded retries
    - WRITE: `VaultUnavailable`/`VaultTimeout` only when provably nothing left us (cap, refused connection, token
      fetch failed); otherwise `OutcomeUnknown` (5xx, 429, reset, timeout, truncated reply, a 401 without a challenge)
    - `VaultRefusedUs` on a 401 that survives one token refresh, or when the token endpoint refuses us
    """

    async def send(self, request: VaultRequest, call: CallLike) -> VaultReply: ...

    async def close(self) -> None: ...
