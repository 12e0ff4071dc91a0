"""Expected result of every cell of the fault matrix, derived from rules, not from recorded output.

Two facts describe a fault: what the gateway receives, and whether the vault processed the request. `READS` and `ABSENT`
give the result of an operation, and `read_calls` its number of calls.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from app.providers.registry import specs
from app.sandbox.faults import FaultKind
from app.vault.enums import ProviderCapability, ProviderName

RETRIES: Final = 1
"""The gateway's setting in the matrix: a failed read is retried once."""


class Heard(StrEnum):
    """What the gateway receives of the vault's reply."""

    ANSWER = "an answer, in time"
    SILENCE = "nothing within the deadline"
    FAILURE = "5xx"
    NO_ENTRY = "401"
    OTHER = "another status"
    THROTTLE = "429"
    LOSS = "a lost connection"
    NOISE = "200 and noise"


@dataclass(frozen=True, slots=True)
class Fault:
    """One row. `works`: the vault processes the request, whatever the gateway receives.

    `of_writes`: the row applies only to mutations.
    """

    label: str
    kind: FaultKind
    heard: Heard
    works: bool
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)
    of_writes: bool = False

    def strikes(self, operation: "Operation") -> bool:
        return not (self.of_writes and operation.is_read)


def _status(status: int, *, works: bool) -> Fault:
    """A write reply that the vault does not document."""
    label = f"status {status}, committed" if works else f"status {status}"
    fields = {"status": status, "commit": works}
    return Fault(label, FaultKind.STATUS, Heard.OTHER, works=works, fields=fields, of_writes=True)


FAULTS: Final = (
    Fault("delay 100 ms", FaultKind.DELAY, Heard.ANSWER, works=True, fields={"delay_ms": 100}),
    Fault("delay 60 s", FaultKind.DELAY, Heard.SILENCE, works=False, fields={"delay_ms": 60_000}),
    Fault("hang", FaultKind.HANG, Heard.SILENCE, works=False),
    Fault("hang, committed", FaultKind.HANG, Heard.SILENCE, works=True, fields={"commit": True}),
    Fault("status 500", FaultKind.STATUS, Heard.FAILURE, works=False, fields={"status": 500}),
    Fault("status 500, committed", FaultKind.STATUS, Heard.FAILURE, works=True, fields={"status": 500, "commit": True}),
    Fault("status 503", FaultKind.STATUS, Heard.FAILURE, works=False, fields={"status": 503}),
    Fault("status 401", FaultKind.STATUS, Heard.NO_ENTRY, works=False, fields={"status": 401}),
    Fault("status 418", FaultKind.STATUS, Heard.OTHER, works=False, fields={"status": 418}),
    _status(202, works=True),
    _status(204, works=True),
    _status(302, works=True),
    _status(404, works=False),
    _status(404, works=True),
    _status(409, works=True),
    Fault("throttle", FaultKind.THROTTLE, Heard.THROTTLE, works=False, fields={"retry_after_s": 1}),
    Fault("drop_before", FaultKind.DROP_BEFORE, Heard.LOSS, works=False),
    Fault("drop_after", FaultKind.DROP_AFTER, Heard.LOSS, works=True),
    Fault("truncate", FaultKind.TRUNCATE, Heard.LOSS, works=True),
    Fault("garbage", FaultKind.GARBAGE, Heard.NOISE, works=False),
    Fault("rewrite to HTML", FaultKind.REWRITE, Heard.NOISE, works=True, fields={"body": "<html></html>"}),
    Fault("garbage, committed", FaultKind.GARBAGE, Heard.NOISE, works=True, fields={"commit": True}),
)
"""Every kind, and `commit` wherever the control API accepts it (a test checks both)."""


class Operation(StrEnum):
    """`READ` has no cached reply to fall back on; `REREAD` follows a successful read. The others are mutations."""

    READ = "read"
    REREAD = "read again"
    ADD = "add"
    DEFAULT = "default"
    DELETE = "delete"

    @property
    def is_read(self) -> bool:
        return self in (Operation.READ, Operation.REREAD)


OPERATIONS: Final = tuple(Operation)

READS: Final[Mapping[Heard, str]] = {
    Heard.ANSWER: "OK",
    Heard.SILENCE: "TIMEOUT",
    Heard.FAILURE: "UNAVAILABLE",
    Heard.NO_ENTRY: "UNAUTHORIZED",
    Heard.OTHER: "UNAVAILABLE",
    Heard.THROTTLE: "THROTTLED",
    Heard.LOSS: "UNAVAILABLE",
    Heard.NOISE: "UNAVAILABLE",
}
"""The vault's state in `sources`."""

_STALE_IF_ERROR: Final = frozenset({"TIMEOUT", "UNAVAILABLE", "THROTTLED"})
"""States in which the cached reply is shown instead, marked STALE (stale-if-error). A refusal of the credentials is not
one.
"""

_RENEWS_TOKEN: Final = frozenset(name for name, spec in specs().items() if spec.credential_help.tokens)
"""Vaults with access tokens: after a 401 the gateway gets a new token and retries once."""

_RETRIES_UNPARSEABLE: Final = frozenset({ProviderName.LOANPRO})
"""LoanPro documents that large replies are sometimes cut short, so an unparseable one is read again once."""


ABSENT: Final[Mapping[Heard, str]] = {
    Heard.SILENCE: "OUTCOME_UNKNOWN",
    Heard.NO_ENTRY: "PROVIDER_AUTH",
    Heard.THROTTLE: "PROVIDER_THROTTLED",
}
"""The mutation's error if the vault's list does not show the write and the error is not PROVIDER_UNAVAILABLE. After a
timeout the request may still be in flight for longer than the mutation waits.
"""


@dataclass(frozen=True, slots=True)
class Expected:
    """`said` is a state of `sources`, or a mutation's result. `calls` counts vault calls while the fault is set: all of
    a read's, and only the writes of a mutation. `effects` is how often the vault applied the write.
    """

    said: str
    calls: int
    effects: int = 0


@dataclass(frozen=True, slots=True)
class Cell:
    provider: ProviderName
    fault: Fault
    operation: Operation

    @property
    def id(self) -> str:
        return f"{self.provider.value}-{self.fault.label}-{self.operation.value}".replace(" ", "_")

    @property
    def expected(self) -> Expected:
        if not self.operation.is_read:
            return expected_of_write(self)
        state = READS[self.fault.heard]
        if self.operation is Operation.REREAD and state in _STALE_IF_ERROR:
            state = "STALE"
        return Expected(state, read_calls(self.provider, self.fault.heard))


def expected_of_write(cell: Cell) -> Expected:
    """A write is sent once, whatever the reply. None of these replies is documented, so the gateway reads the vault's
    list, and a write shown there was applied.
    """
    if NEEDS[cell.operation] not in CAPABILITIES[cell.provider]:
        return Expected(_UNSUPPORTED_RESULT[cell.operation], 0)
    said = "done" if cell.fault.works else ABSENT.get(cell.fault.heard, "PROVIDER_UNAVAILABLE")
    return Expected(said, 1, int(cell.fault.works))


def read_calls(provider: ProviderName, heard: Heard) -> int:
    """A failed or lost read is retried; timeouts, refusals and throttling are not."""
    if heard in (Heard.FAILURE, Heard.LOSS):
        return 1 + RETRIES
    if heard is Heard.NO_ENTRY and provider in _RENEWS_TOKEN:
        return 2
    if heard is Heard.NOISE and provider in _RETRIES_UNPARSEABLE:
        return 2
    return 1


def cells() -> Iterator[Cell]:
    for fault in FAULTS:
        for operation in filter(fault.strikes, OPERATIONS):
            for provider in ProviderName:
                yield Cell(provider, fault, operation)


NEEDS: Final[Mapping[Operation, ProviderCapability]] = {
    Operation.READ: ProviderCapability.LIST,
    Operation.REREAD: ProviderCapability.LIST,
    Operation.ADD: ProviderCapability.ADD,
    Operation.DEFAULT: ProviderCapability.SET_DEFAULT,
    Operation.DELETE: ProviderCapability.DELETE,
}
"""The capability without which the operation does not reach the vault."""

CAPABILITIES: Final[Mapping[ProviderName, frozenset[ProviderCapability]]] = {
    name: spec.capabilities.operations for name, spec in specs().items()
}

_UNSUPPORTED_RESULT: Final[Mapping[Operation, str]] = {
    Operation.ADD: "UNSUPPORTED_BY_PROVIDER",
    Operation.DEFAULT: "DEFAULT_NOT_MIRRORED",
    Operation.DELETE: "UNSUPPORTED_BY_PROVIDER",
}
"""Without defaults at the vault, the gateway stores the default itself, with a warning."""
