"""Control-flow exceptions of the write pipeline: raised by handlers and steps, caught by the writer."""

from collections.abc import Sequence
from datetime import datetime

from app.errors import VaultError
from app.vault.enums import MethodRef, ProviderName
from app.wallet.problems import WriteProblem


class WriteInterrupt(Exception):
    """Base class. None of these is a program error."""


class WriteRefused(WriteInterrupt):
    """Not applied, for a reason of the gateway. `is_final` false: the same key and input may succeed later."""

    def __init__(self, *problems: WriteProblem, is_final: bool = True) -> None:
        super().__init__()
        self.problems = problems
        self.is_final = is_final


class NotApplied(WriteInterrupt):
    """A lookup after a lost answer proved that it was not applied. `error` is None if no process saw one."""

    def __init__(self, provider: ProviderName, error: VaultError | None = None) -> None:
        super().__init__()
        self.provider = provider
        self.error = error


class StillUnknown(WriteInterrupt):
    """Undecided. `for_person`: an operator must decide; `candidates` are the methods it may have made.

    `look_at` is the earliest time at which a lookup may be conclusive, if known.
    """

    def __init__(
        self,
        provider: ProviderName,
        *,
        for_person: bool = False,
        candidates: Sequence[MethodRef] = (),
        error: VaultError | None = None,
        look_at: datetime | None = None,
    ) -> None:
        super().__init__()
        self.provider = provider
        self.look_at = look_at
        self.for_person = for_person
        self.candidates = tuple(candidates)
        self.error = error


class NothingSent(WriteInterrupt):
    """Cannot be resumed from the journal: the data it needs is deliberately not stored."""


class LeaseLost(WriteInterrupt):
    """Another process holds the operation: this process's state is outdated."""


class WritesBlocked(WriteInterrupt):
    """Other writes were running or unreconciled there until the deadline."""


class WritesUnreconciled(WriteInterrupt):
    """Another write there is not yet reconciled. Nothing was sent."""
