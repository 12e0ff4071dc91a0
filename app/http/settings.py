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
    """Share of failures that opens it."""
    open_for_s: Positive = 5.0
    """How long an open circuit blocks calls."""


class ProviderSettings(Section, frozen=True):
    """What every vault has."""

    enabled: bool = False
    """A vault that is not enabled is `DISABLED`, and needs no settings."""
    base_url: str = ""
    """Required."""
    deadline_s: Positive = 3.0
    """Time limit of a read."""
    write_deadline_s: Positive = 8.0
    """Time limit of a write."""
    concurrency: Count = 64
    """Calls at a time per process."""
    queue_limit: CountOrNone = 1000
    """Calls that may wait."""
    queue_wait_s: ZeroOrMore = 1.0
    """How long a call may wait; then `THROTTLED`."""
    retries: CountOrNone = 2
    """Repetitions of a failed read."""
    retry_budget_ratio: Annotated[float, Meta(ge=0, le=1)] = 0.1
    """Retries as a share of all calls, at most."""
    fresh_for_s: ZeroOrMore = 5.0
    """How long a cached reply needs no call; 0 calls every time."""
    stale_if_error_for_s: ZeroOrMore = 600.0
    """How long a cached reply is served, marked as stale, if the vault fails."""
    max_body_bytes: Count = 8_000_000
    """Longer replies are refused."""
    max_methods: Count = 1_000
    """Payment methods read per customer; with more, the row is `PARTIAL` and `truncated`."""
    transport: Literal["lean", "aiohttp"] = "lean"
    """The gateway's HTTP/1.1 client, or `aiohttp` if a vault [needs it](decisions/0010-lean-by-default.md)."""
    proxy: str = ""
    """HTTP proxy for the vault and its token endpoint, without credentials; implies `aiohttp`."""
    ca_file: str = ""
    """PEM file with the authorities trusted for the vault, instead of the public ones."""
    client_cert_file: str = ""
    """PEM file with the gateway's certificate; `vaultgraph check` shows its expiry."""
    client_key_file: str = ""
    """PEM file with its key, without a password, readable by its owner only."""
    breaker: BreakerSettings = BreakerSettings()
