"""What each vault contributed to an answer."""

from datetime import datetime
from typing import Self

import strawberry

from app.vault.names import ProviderName, SourceState
from app.wallet.assemble import SourceRow


@strawberry.type(description="What one vault contributed to this customer's answer.")
class SourceStatus:
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

    @classmethod
    def of(cls, row: SourceRow) -> Self:
        """Made once for a row: rows of kept wallets are shown many times."""
        if row.shown is None:
            row.shown = cls._made(row)
        found: Self = row.shown
        return found

    @classmethod
    def _made(cls, row: SourceRow) -> Self:
        return cls(
            provider=row.provider,
            state=row.state,
            method_count=row.method_count,
            skipped_count=row.skipped_count,
            truncated=row.truncated,
            fetched_at=row.fetched_at,
            is_stale=row.is_stale,
            latency_ms=row.latency_ms,
            retry_after_seconds=row.retry_after_seconds,
            message=row.message,
            provider_request_id=row.provider_request_id,
        )
