"""Settings common to all vaults. Public interface: each vault's settings model extends `ProviderSettings`."""

from typing import Annotated, Literal

from msgspec import Meta

from app.settings.parse import Count, CountOrNone, Positive, Section, Share, ZeroOrMore


class BreakerSettings(Section, frozen=True):
    """The circuit breaker of one vault."""

    minimum_calls: Count = 20
    """Calls within the window before the circuit may open."""
    window_s: Positive = 10.0
    """Length of the window."""
    failure_ratio: Share = 0.5
    """The share of failures that opens it."""
    open_for_s: Positive = 5.0
    """How long an open circuit blocks calls."""


class ProviderSettings(Section, frozen=True):
    """What every vault has. With a `proxy`, `transport` is always aiohttp."""

    enabled: bool = False
    """A vault that is not enabled is shown as `DISABLED`, and needs no other setting."""
    base_url: str = ""
    """Required."""
    deadline_s: Positive = 3.0
    """How long a read may take."""
    write_deadline_s: Positive = 8.0
    """How long a write may take."""
    concurrency: Count = 64
    """Calls at the same time, per process."""
    queue_limit: CountOrNone = 1000
    """Calls that may wait in the queue."""
    queue_wait_s: ZeroOrMore = 1.0
    """How long a call may wait; then the vault's row is `THROTTLED`."""
    retries: CountOrNone = 2
    """How often a failed read is repeated."""
    retry_budget_ratio: Annotated[float, Meta(ge=0, le=1)] = 0.1
    """Retries as a share of all calls, at most."""
    fresh_for_s: ZeroOrMore = 5.0
    """TTL of the cache: how long a reply is served without a call; 0 calls every time."""
    stale_if_error_for_s: ZeroOrMore = 600.0
    """Stale-if-error: how long a reply is served, marked as stale, if the vault fails."""
    max_body_bytes: Count = 8_000_000
    """Longer replies are refused."""
    max_methods: Count = 1_000
    """Payment methods of one customer that are read, over all pages of the list; if there are more, the row is
    `PARTIAL` and `truncated`.
    """
    transport: Literal["lean", "aiohttp"] = "lean"
    """The gateway's own HTTP/1.1 client; or `aiohttp`, a general one, if a vault needs it: [decision
    10](decisions/0010-lean-by-default.md) says when.
    """
    proxy: str = ""
    """URL of an HTTP proxy for this vault and its token endpoint, without credentials: `http://proxy.internal:3128`.
    The vault is then called over aiohttp, as `vaultgraph check` says.
    """
    ca_file: str = ""
    """PEM file with the authorities that are trusted for this vault's URLs and its token endpoint, instead of the
    public ones.
    """
    client_cert_file: str = ""
    """PEM file with the certificate that the gateway presents there; `vaultgraph check` shows when it expires."""
    client_key_file: str = ""
    """PEM file with its key, without a password, readable only by its owner."""
    breaker: BreakerSettings = BreakerSettings()
