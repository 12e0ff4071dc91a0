"""What is expected of every cell of the fault matrix, worked out from rules and never from recorded output.

A fault is described by two facts: what the gateway hears, and whether the vault has done its work. What an operation
then ends in follows from `READS` and `WRITES`, and what it costs from `read_calls` and `write_calls`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from app.providers.aloha import AlohaVault
from app.providers.caselle import CaselleVault
from app.providers.jpmorgan.client import CAPABILITIES as JPMORGAN_CAPABILITIES
from app.providers.loanpro import LoanProVault
from app.sandbox.faults import FaultKind
from app.vault.names import ProviderCapability, ProviderName

RETRIES: Final = 1
"""The gateway's setting in the matrix: one failed read is repeated once."""


class Heard(StrEnum):
    """What reaches the gateway of the vault's answer."""

    ANSWER = "an answer, in time"
    SILENCE = "nothing within the deadline"
    FAILURE = "5xx"
    NO_ENTRY = "401"
    REFUSAL = "another 4xx"
    THROTTLE = "429"
    LOSS = "a lost connection"
    NOISE = "200 and noise"


@dataclass(frozen=True, slots=True)
class Fault:
    """One row. `works` says that the vault does what it was asked, whatever the gateway hears."""

    label: str
    kind: FaultKind
    heard: Heard
    works: bool
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)


FAULTS: Final = (
    Fault("delay 100 ms", FaultKind.DELAY, Heard.ANSWER, works=True, fields={"delay_ms": 100}),
    Fault("delay 60 s", FaultKind.DELAY, Heard.SILENCE, works=False, fields={"delay_ms": 60_000}),
    Fault("hang", FaultKind.HANG, Heard.SILENCE, works=False),
    Fault("hang, committed", FaultKind.HANG, Heard.SILENCE, works=True, fields={"commit": True}),
    Fault("status 500", FaultKind.STATUS, Heard.FAILURE, works=False, fields={"status": 500}),
    Fault("status 500, committed", FaultKind.STATUS, Heard.FAILURE, works=True, fields={"status": 500, "commit": True}),
    Fault("status 503", FaultKind.STATUS, Heard.FAILURE, works=False, fields={"status": 503}),
    Fault("status 401", FaultKind.STATUS, Heard.NO_ENTRY, works=False, fields={"status": 401}),
    Fault("status 418", FaultKind.STATUS, Heard.REFUSAL, works=False, fields={"status": 418}),
    Fault("throttle", FaultKind.THROTTLE, Heard.THROTTLE, works=False, fields={"retry_after_s": 1}),
    Fault("drop_before", FaultKind.DROP_BEFORE, Heard.LOSS, works=False),
    Fault("drop_after", FaultKind.DROP_AFTER, Heard.LOSS, works=True),
    Fault("truncate", FaultKind.TRUNCATE, Heard.LOSS, works=True),
    Fault("garbage", FaultKind.GARBAGE, Heard.NOISE, works=False),
    Fault("rewrite to HTML", FaultKind.REWRITE, Heard.NOISE, works=True, fields={"body": "<html></html>"}),
    Fault("garbage, committed", FaultKind.GARBAGE, Heard.NOISE, works=True, fields={"commit": True}),
)
"""Every kind, and `commit` wherever the control API takes it (a test checks both)."""


class Operation(StrEnum):
    """`READ` has nothing to fall back on; `REREAD` follows a good read. The others are mutations."""

    READ = "read"
    REREAD = "read again"
    ADD = "add"
    DEFAULT = "default"
    DELETE = "delete"

    @property
    def about(self) -> str:
        return _ABOUT[self]

    @property
    def is_read(self) -> bool:
        return self in (Operation.READ, Operation.REREAD)


_ABOUT: Final[Mapping[Operation, str]] = {
    Operation.READ: "the vault's state in `sources` where no earlier answer is kept",
    Operation.REREAD: "the same after a good read",
    Operation.ADD: "the first of `userErrors`, the fault striking the write alone",
    Operation.DEFAULT: "likewise, of setting the default",
    Operation.DELETE: "likewise, of deleting",
}

OPERATIONS: Final = tuple(Operation)

READS: Final[Mapping[Heard, str]] = {
    Heard.ANSWER: "OK",
    Heard.SILENCE: "TIMEOUT",
    Heard.FAILURE: "UNAVAILABLE",
    Heard.NO_ENTRY: "UNAUTHORIZED",
    Heard.REFUSAL: "UNAVAILABLE",
    Heard.THROTTLE: "THROTTLED",
    Heard.LOSS: "UNAVAILABLE",
    Heard.NOISE: "UNAVAILABLE",
}
"""The vault's state in `sources`."""

_OURS_TO_SHOW: Final = frozenset({"TIMEOUT", "UNAVAILABLE", "THROTTLED"})
"""States in which the last answer is shown instead, marked STALE. A vault that refuses us takes it back."""

_RENEWS: Final = frozenset({ProviderName.JPMORGAN, ProviderName.CASELLE})
"""Vaults with access tokens: a 401 is answered with a new token and one more attempt."""

_READS_NOISE_TWICE: Final = frozenset({ProviderName.LOANPRO})
"""LoanPro's large answers are sometimes cut short, says its documentation: what does not parse is read once more."""


WRITES: Final[Mapping[Heard, str | None]] = {
    Heard.ANSWER: "done",
    Heard.SILENCE: None,
    Heard.FAILURE: None,
    Heard.NO_ENTRY: "PROVIDER_AUTH",
    Heard.REFUSAL: "PROVIDER_REJECTED",
    Heard.THROTTLE: "PROVIDER_THROTTLED",
    Heard.LOSS: None,
    Heard.NOISE: None,
}
"""What the mutation says where the vault's answer can be believed; None where it must be looked up: see `looked_up`."""


@dataclass(frozen=True, slots=True)
class Expected:
    """`said` is a state of `sources`, or what a mutation says. `calls` are the vault's with the fault in force: all of
    a read's, and of a mutation's those that write. `effects` is how often the vault has done the write."""

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
        if self.operation is Operation.REREAD and state in _OURS_TO_SHOW:
            state = "STALE"
        return Expected(state, read_calls(self.provider, self.fault.heard))


def expected_of_write(cell: Cell) -> Expected:
    """A write is sent once, whatever becomes of it. Only a 401, which says that it was not looked at, is followed by
    another attempt, where there is a new token to try."""
    if NEEDS[cell.operation] not in CAPABILITIES[cell.provider]:
        return Expected(_WITHOUT_THE_VAULT[cell.operation], 0)
    heard = cell.fault.heard
    said = WRITES[heard] or looked_up(cell.fault)
    calls = 2 if heard is Heard.NO_ENTRY and cell.provider in _RENEWS else 1
    return Expected(said, calls, int(cell.fault.works))


def looked_up(fault: Fault) -> str:
    """The answer is lost; the vault's list is read. What it shows was done. What it does not show was not done, once
    the request can no longer be on its way: after silence that is later than the mutation waits."""
    if fault.works:
        return "done"
    return "OUTCOME_UNKNOWN" if fault.heard is Heard.SILENCE else "PROVIDER_UNAVAILABLE"


def read_calls(provider: ProviderName, heard: Heard) -> int:
    """A failed or lost read is repeated; silence, refusals and throttling are not."""
    if heard in (Heard.FAILURE, Heard.LOSS):
        return 1 + RETRIES
    if heard is Heard.NO_ENTRY and provider in _RENEWS:
        return 2
    if heard is Heard.NOISE and provider in _READS_NOISE_TWICE:
        return 2
    return 1


def cells() -> Iterator[Cell]:
    for fault in FAULTS:
        for operation in OPERATIONS:
            for provider in ProviderName:
                yield Cell(provider, fault, operation)


NEEDS: Final[Mapping[Operation, ProviderCapability]] = {
    Operation.READ: ProviderCapability.LIST,
    Operation.REREAD: ProviderCapability.LIST,
    Operation.ADD: ProviderCapability.ADD,
    Operation.DEFAULT: ProviderCapability.SET_DEFAULT,
    Operation.DELETE: ProviderCapability.DELETE,
}
"""What a vault must be able to do for the operation to reach it at all."""

CAPABILITIES: Final[Mapping[ProviderName, frozenset[ProviderCapability]]] = {
    ProviderName.LOANPRO: LoanProVault.capabilities.operations,
    ProviderName.ALOHA: AlohaVault.capabilities.operations,
    ProviderName.JPMORGAN: JPMORGAN_CAPABILITIES.operations,
    ProviderName.CASELLE: CaselleVault.capabilities.operations,
}

_WITHOUT_THE_VAULT: Final[Mapping[Operation, str]] = {
    Operation.ADD: "UNSUPPORTED_BY_PROVIDER",
    Operation.DEFAULT: "DEFAULT_NOT_MIRRORED",
    Operation.DELETE: "UNSUPPORTED_BY_PROVIDER",
}
"""A default is the gateway's own affair where the vault has none: it is chosen, with a warning."""
