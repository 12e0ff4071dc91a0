"""What each vault contributed to an answer."""

from datetime import datetime

import strawberry

from app.vault.names import ProviderName, SourceState


@strawberry.type(description="What one vault contributed to this customer's answer.")
class SourceStatus:
    """The graph's description of `SourceRow`, which is answered as it is: rows are made anew for each read."""

    provider: ProviderName
    state: SourceState
    method_count: int | None = strawberry.field(description="Inactive methods left out; null = unknown.")
    skipped_count: int = strawberry.field(description="Records that could not be read.")
    truncated: bool = strawberry.field(description="The vault holds more than it gave.")
    fetched_at: datetime | None
    is_stale: bool
    latency_ms: int | None = strawberry.field(description="Of the call; null when none was needed.")
    retry_after_seconds: int | None
    message: str | None
    provider_request_id: str | None = strawberry.field(description="For a talk with the vault's support.")
