"""How one vault is read."""

from dataclasses import dataclass

from app.vault.provider import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPolicy:
    """How one vault is read. Durations are seconds. Of a customer's methods, at most `max_methods` are kept."""

    deadline_s: float = 3.0
    fresh_for_s: float = 5.0
    stale_if_error_for_s: float = 600.0
    three_ds_concurrency: int = 8
    max_methods: int = 1_000

    def until(self, call: Call, now: float) -> float:
        """How long whoever asks for `call` waits, on the loop's clock."""
        return min(call.deadline_at, now + self.deadline_s)

    def own_deadline(self, call: Call, now: float) -> Call:
        """A shared read lives by the vault's deadline: the first caller's smaller one is not the others'."""
        deadline_at = now + self.deadline_s
        return Call(deadline_at, call.request_id, call.traceparent, call.client, call.tags, call.meter)
