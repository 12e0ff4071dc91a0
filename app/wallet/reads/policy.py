"""Read policy of a vault."""

from dataclasses import dataclass

from app.settings.model import GatewaySettings
from app.vault.enums import ProviderName


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPolicy:
    """Read policy of one vault. Durations are seconds. At most `max_methods` of a customer's methods are kept."""

    deadline_s: float = 3.0
    fresh_for_s: float = 5.0
    stale_if_error_for_s: float = 600.0
    three_ds_concurrency: int = 8
    max_methods: int = 1_000

    @property
    def keeps_replies(self) -> bool:
        return self.fresh_for_s > 0 or self.stale_if_error_for_s > 0


def read_policies(settings: GatewaySettings) -> dict[ProviderName, ReadPolicy]:
    found: dict[ProviderName, ReadPolicy] = {}
    for name in ProviderName:
        section = settings.provider(name.value)
        found[name] = ReadPolicy(
            deadline_s=section.deadline_s,
            fresh_for_s=section.fresh_for_s,
            stale_if_error_for_s=section.stale_if_error_for_s,
            max_methods=section.max_methods,
            three_ds_concurrency=getattr(section, "three_ds_concurrency", ReadPolicy().three_ds_concurrency),
        )
    return found
