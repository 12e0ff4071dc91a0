"""Requests and replies of vault calls, and the protocol of the HTTP client. A public interface, for vault packages."""

import codecs
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Final, Protocol

import msgspec
import orjson


class Effect(Enum):
    """Whether the request changes state at the vault. Decides retries and the error for a lost reply."""

    READ = "read"  # may be retried; a lost reply is VaultUnavailable or VaultTimeout
    WRITE = "write"  # never retried once it may have been sent; a lost reply is OutcomeUnknown


class Meter(Protocol):
    """Counts the calls made. Calls rejected before sending are not counted."""

    calls: int


class TraceLike(Protocol):
    @property
    def traceparent(self) -> str: ...
    @property
    def tracestate(self) -> str | None: ...


class CallLike(Protocol):
    """The parts of `app.vault.provider.Call` that this package needs."""

    @property
    def deadline_at(self) -> float: ...
    @property
    def request_id(self) -> str: ...
    @property
    def trace(self) -> TraceLike | None: ...
    @property
    def client(self) -> str: ...
    @property
    def meter(self) -> Meter: ...


class FixedHeaders(dict[str, str]):
    """Immutable headers shared by many requests, so that transports can cache what they derive from them.

    Transports set `is_safe` once the headers have been checked, and `wire` to their serialized form.
    """

    __slots__ = ("is_safe", "wire")

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        self.is_safe = False
        self.wire: str | None = None

    __hash__ = object.__hash__  # type: ignore[assignment]  # by identity: the headers never change

    def __eq__(self, other: object) -> bool:
        return self is other or dict.__eq__(self, other) is True


class ExtendedHeaders(Mapping[str, str]):
    """Fixed headers plus headers of one call (`own`) with other names."""

    __slots__ = ("fixed", "own")

    def __init__(self, fixed: FixedHeaders, own: Mapping[str, str]) -> None:
        for name in own:
            if name in fixed:
                raise ValueError("a header would be sent twice")
        self.fixed = fixed
        self.own = own

    def __getitem__(self, name: str) -> str:
        return self.own[name] if name in self.own else self.fixed[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.fixed
        yield from self.own

    def __len__(self) -> int:
        return len(self.fixed) + len(self.own)

    def items(self) -> ItemsView[str, str]:
        return {**self.fixed, **self.own}.items()  # a Mapping's own makes two calls for each header


_MARKS: Final = (  # UTF-32 before UTF-16: its byte order mark starts with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NO_HEADERS: Final = FixedHeaders({})


class VaultRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call to a vault.

    `path` is relative to the base URL, already percent-encoded, without a leading slash. `query` is encoded by the
    client; `raw_query`, for page links that a vault returns, is sent unchanged. `route` names the operation without
    ids (``consumer-profiles/{id}``) for metrics and logs. `json` is encoded with orjson; `body` with `content_type` is
    for anything else. `own_headers` belong to this call, in addition to `headers`; no name may be in both, and names
    are lower case.
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


class VaultReply(msgspec.Struct):
    """A complete reply. Never log `body` or put it into an exception.

    `head` is its headers with names in lower case, or its head as received, which `headers` parses when asked.
    """

    status: int
    head: Mapping[str, str] | bytes
    body: bytes

    def __repr__(self) -> str:
        return f"VaultReply(status={self.status!r}, headers={self.headers!r})"

    @property
    def headers(self) -> Mapping[str, str]:
        """By names in lower case; of a repeated header the last value."""
        if isinstance(self.head, bytes):
            self.head = parse_head(self.head)
        return self.head

    def first_of(self, names: Iterable[str], in_head: Callable[[bytes], list[bytes]]) -> str | None:
        """The first of these headers that has a value. `in_head` finds all their values in a head as received."""
        if isinstance(self.head, bytes):
            found = in_head(self.head)
            if not found:
                return None
            if not found[1:]:
                return found[0].decode("utf-8", "surrogateescape").strip(" \t") or None
        return next((value for name in names if (value := self.headers.get(name))), None)

    def json(self) -> Any:
        """Decode the body; raises ValueError (orjson.JSONDecodeError) without quoting it.

        A byte order mark is ignored, as RFC 8259 allows; UTF-16 and UTF-32 are decoded if their mark is present.
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
            raise ValueError("the body is not valid in its encoding") from None  # UnicodeDecodeError holds the body
        return orjson.loads(decoded)


def parse_head(head: bytes) -> dict[str, str]:
    """The headers of a head whose lines are known to be well-formed."""
    headers: dict[str, str] = {}
    for line in head.decode("utf-8", "surrogateescape").split("\r\n")[1:]:
        if line:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip(" \t")
    return headers


class VaultHttp(Protocol):
    """HTTP client of one vault: session, credentials, deadline, concurrency limit, retries, breaker, redaction.

    A public interface: vault packages outside this repository send through it.

    `send` returns any reply with a status below 500 except 401 (after one token refresh, if any) and 429.
    It raises, all from `app.errors`:

    - `VaultThrottled` on a READ's 429 (with retry_after_s), or, with nothing sent, when the queue is full or too slow
    - `CircuitOpen` while the circuit breaker rejects calls; nothing sent
    - READ: `VaultTimeout`, `VaultUnavailable` (connect, reset, truncated reply, 5xx) after bounded retries
    - WRITE: `VaultUnavailable`/`VaultTimeout` only if certainly nothing was sent (queue, refused connection, failed
      token fetch); otherwise `OutcomeUnknown` (5xx, 429, reset, timeout, truncated reply, a 401 without a challenge)
    - `VaultRefusedUs` on a 401 that remains after one token refresh, or if the token endpoint rejects the client
    """

    async def send(self, request: VaultRequest, call: CallLike) -> VaultReply: ...

    async def close(self) -> None: ...
