"""How each vault was read for a response."""

from datetime import datetime

import strawberry

from app.vault.enums import ProviderName, SourceState


@strawberry.type(description="How one vault was read for this customer.")
class SourceStatus:
    """Describes `SourceReading`, which is returned unchanged."""

    provider: ProviderName = strawberry.field(description="The vault.")
    state: SourceState = strawberry.field(description="How it was read.")
    method_count: int | None = strawberry.field(description="Without inactive methods; null = unknown.")
    skipped_count: int = strawberry.field(description="Records that could not be parsed.")
    truncated: bool = strawberry.field(
        description="There are more methods than are shown: the vault has more than were read, or the list reached its "
        "limit. `message` says which."
    )
    fetched_at: datetime | None = strawberry.field(
        description="When it returned the data shown; null if there is none."
    )
    is_stale: bool = strawberry.field(
        description="True if the data shown is older than this request's attempt to read it."
    )
    latency_ms: int | None = strawberry.field(description="Duration of the call; null if none was needed.")
    retry_after_seconds: int | None = strawberry.field(description="When to try again; null if the vault does not say.")
    message: str | None = strawberry.field(description="What happened, for developers; null if all is well.")
    provider_request_id: str | None = strawberry.field(description="For the vault's support.")
