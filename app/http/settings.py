"""Settings common to all vaults. Public interface: each vault's settings model extends `ProviderSettings`."""

from typing import Annotated, Literal

from msgspec import Meta

from app.settings.parse import Count, CountOrNone, Positive, Section, Share, ZeroOrMore


class BreakerSettings(Section, frozen=True):
    """The circuit breaker of one vault."""

    minimum_calls: Count = 20
    window_s: Positive = 10.0
    failure_ratio: Share = 0.5
    open_for_s: Positive = 5.0


class ProviderSettings(Section, frozen=True):
    """Common settings of a vault. Durations in seconds; `fresh_for_s` 0 disables the fresh cache. With a `proxy` (its
    URL), `transport` is always aiohttp. The files are PEM: `ca_file` holds the only authorities that are trusted, the
    other two the certificate that the gateway presents.
    """

    enabled: bool = False
    base_url: str = ""
    deadline_s: Positive = 3.0
    write_deadline_s: Positive = 8.0
    concurrency: Count = 64
    queue_limit: CountOrNone = 1000
    queue_wait_s: ZeroOrMore = 1.0
    retries: CountOrNone = 2
    retry_budget_ratio: Annotated[float, Meta(ge=0, le=1)] = 0.1
    fresh_for_s: ZeroOrMore = 5.0
    stale_if_error_for_s: ZeroOrMore = 600.0
    max_body_bytes: Count = 8_000_000
    max_methods: Count = 1_000
    transport: Literal["lean", "aiohttp"] = "lean"
    proxy: str = ""
    ca_file: str = ""
    client_cert_file: str = ""
    client_key_file: str = ""
    breaker: BreakerSettings = BreakerSettings()
