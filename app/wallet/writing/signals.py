"""How a write leaves its straight line: raised by use cases and steps, caught by the runner alone."""

from collections.abc import Sequence
from datetime import datetime

from app.errors import VaultError
from app.vault.names import MethodRef, ProviderName
from app.wallet.problems import Problem


class Signal(Exception):
    """None of these is a failure of the program."""


class Refused(Signal):
    """Not done, for reasons of ours. `is_final` false: the same key and input may find another answer later."""

    def __init__(self, *problems: Problem, is_final: bool = True) -> None:
        super().__init__()
        self.problems = problems
        self.is_final = is_final


class NotApplied(Signal):
    """Looked up after a lost answer, and proven not to have happened. `error` is None where no process saw one."""

    def __init__(self, provider: ProviderName, error: VaultError | None = None) -> None:
        super().__init__()
        self.provider = provider
        self.error = error


class StillUnknown(Signal):
    """Nobody can tell yet. `for_person`: looking again will not help; `candidates` are what it may be.

    `look_at` is from when on a look may decide, where that is known.
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


class NothingSent(Signal):
    """Taken up from the journal at a point from which it cannot go on: what it needs was kept nowhere, on purpose."""


class TakenOver(Signal):
    """Another process holds the operation now: whatever we know of it no longer counts."""


class Busy(Signal):
    """Others were writing there, or not yet reconciled, for as long as we were ready to wait."""
