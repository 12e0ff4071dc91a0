"""Read policy of a vault."""

from dataclasses import dataclass

from app.vault.provider import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPolicy:
    """Read policy of one vault. Durations are seconds. At most `max_methods` of a customer's methods are kept."""

    deadline_s: float = 3.0
    fresh_for_s: float = 5.0
    stale_if_error_for_s: float = 600.0
    three_ds_concurrency: int = 8
    max_methods: int = 1_000

    def until(self, call: Call, now: float) -> float:
        """Until when a caller waits, on the loop's clock."""
        return min(call.deadline_at, now + self.deadline_s)

    def own_deadline(self, call: Call, now: float) -> Call:
        """A shared read has the vault's deadline: a shorter deadline of the first caller must not apply to the
        others."""
        deadline_at = now + self.deadline_s
        return Call(deadline_at, call.request_id, call.traceparent, call.client, call.tags, call.meter)
