"""Runs the cells of the fault matrix: one gateway per fault, all vaults in parallel, one customer per vault."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.sandbox.demo import DemoCustomer, load_customer
from app.vault.enums import ProviderName
from tests.faults.rules import RETRIES, Cell, Fault, Heard, Operation
from tests.faults.writes import VERBS, Write, prepared
from tests.support.gateway import RunningGateway
from tests.support.gateways import each_vault
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

SILENT_DEADLINE_S: Final = 1.2
READ_DEADLINE_S: Final = 4.0
MARGIN_S: Final = 15.0
"""The measurement includes the test client, threads and the sandbox."""

WRITE_DEADLINE_S: Final = 4.5
"""A silent vault is awaited until its deadline, so that is short; other deadlines leave room for a busy machine."""


def settings_for(fault: Fault) -> dict[str, Any]:
    """Disable the breaker and raise the retry budget, so that cells are independent. The request deadline is far off,
    so that it cannot hide a missed vault deadline.
    """
    vaults = each_vault(
        deadline_s=read_deadline_s(fault),
        write_deadline_s=WRITE_DEADLINE_S,
        fresh_for_s=0,
        retries=RETRIES,
        retry_budget_ratio=1.0,
        breaker={"minimum_calls": 1000},
    )
    return {**vaults, "request_deadline_s": 30}


def read_deadline_s(fault: Fault) -> float:
    return SILENT_DEADLINE_S if fault.heard is Heard.SILENCE else READ_DEADLINE_S


_READ: Final = """query ($id: ID!, $provider: Provider!) { customer(id: $id) {
  paymentMethods(filter: {providers: [$provider]}) { id isStale } sources { provider state } } }"""


@dataclass(frozen=True, slots=True)
class Seen:
    """The result of a cell. `vault_calls` are those to its vault without token routes."""

    said: str
    calls: int
    seconds: float
    effects: int = 0


class Runner:
    """All operations under one fault. `folder` is a data directory with the demo customers linked."""

    def __init__(self, sandbox: RunningSandbox, folder: Path, fault: Fault) -> None:
        self._sandbox = sandbox
        self._folder = folder
        self._fault = fault
        self._gateway: RunningGateway

    def run(self) -> dict[Cell, Seen]:
        found: dict[Cell, Seen] = {}
        with _copy_of(self._folder) as folder:
            self._sandbox.reset()
            with RunningGateway(self._sandbox.url, folder, **settings_for(self._fault)) as self._gateway:
                self._warm_up()
                for operation in filter(self._fault.strikes, (Operation.READ, Operation.REREAD)):
                    found.update(self._reads(operation))
                for together in self._groups():
                    found.update(self._writes(together))
                self._sandbox.clear_faults()
        return found

    def _warm_up(self) -> None:
        """Create documents, tokens and connections before timing starts, with a customer that no cell uses. A busy
        machine may need longer than the deadline of a silent vault.
        """
        for provider in ProviderName:
            variables = {"id": load_customer(200).id, "provider": provider.name}
            eventually(lambda: not self._gateway.query(_READ, variables).errors)  # noqa: B023 - called here

    def _groups(self) -> list[list[Operation]]:
        """Writes of different customers run together, except where one affects the next at its vault: Retry-After, a
        renewed token.
        """
        writes = [Operation.ADD, Operation.DEFAULT, Operation.DELETE]
        is_lasting = self._fault.heard in (Heard.THROTTLE, Heard.NO_ENTRY)
        return [[one] for one in writes] if is_lasting else [writes]

    def _writes(self, operations: list[Operation]) -> dict[Cell, Seen]:
        writes = [
            prepared(self._gateway, self._sandbox, operation, provider, customer_of(operation, provider))
            for operation in operations
            for provider in ProviderName
        ]
        self._sandbox.clear_calls()
        for provider in ProviderName:
            for verb in VERBS:
                self._sandbox.fault(provider.value, self._fault.kind.value, method=verb, **self._fault.fields)

        def sent(write: Write) -> tuple[str, float]:
            began = time.monotonic()
            return write.send(self._gateway), time.monotonic() - began

        with ThreadPoolExecutor(len(writes)) as pool:
            results = list(pool.map(sent, writes))
        calls = [call for call in self._sandbox.calls() if call["method"] in VERBS]
        self._after()
        return {
            Cell(write.provider, self._fault, write.operation): Seen(
                said, sum(_is_call_of(write, call) for call in calls), seconds, write.effects(self._sandbox)
            )
            for write, (said, seconds) in zip(writes, results, strict=True)
        }

    def _after(self) -> None:
        self._sandbox.clear_faults()
        if self._fault.heard is Heard.THROTTLE:
            time.sleep(1.1)  # the Retry-After of the vaults

    def _reads(self, operation: Operation) -> dict[Cell, Seen]:
        """The same operation at every vault in parallel: they share nothing, and each has its own fault."""
        act = self._read
        if operation is not Operation.READ:
            eventually(lambda: {said for said, _ in self._run_parallel(act).values()} == {"OK"})
        self._sandbox.clear_calls()
        for provider in ProviderName:
            self._sandbox.fault(provider.value, self._fault.kind.value, **self._fault.fields)
        seen = self._run_parallel(act)
        calls = self._sandbox.calls()
        self._after()
        return {
            Cell(provider, self._fault, operation): Seen(
                said, sum(1 for call in calls if call["provider"] == provider.value), seconds
            )
            for provider, (said, seconds) in seen.items()
        }

    def _run_parallel(self, act: Callable[[ProviderName], str]) -> dict[ProviderName, tuple[str, float]]:
        def timed(provider: ProviderName) -> tuple[str, float]:
            began = time.monotonic()
            return act(provider), time.monotonic() - began

        with ThreadPoolExecutor(len(ProviderName)) as pool:
            return dict(zip(ProviderName, pool.map(timed, ProviderName), strict=True))

    def _read(self, provider: ProviderName) -> str:
        variables = {"id": customer_of(Operation.READ, provider).id, "provider": provider.name}
        customer = self._gateway.query(_READ, variables).data["customer"]
        state: str = next(row["state"] for row in customer["sources"] if row["provider"] == provider.name)
        shown: list[Any] | None = customer["paymentMethods"]
        assert (shown is not None) == (state in ("OK", "STALE")), (
            "an answer, or null: never an empty list for a failure"
        )
        assert {one["isStale"] for one in shown or ()} <= {state == "STALE"}
        return state


def _is_call_of(write: Write, call: dict[str, Any]) -> bool:
    """By the customer in the path; Aloha has it in the body, and only one write."""
    if call["provider"] != write.provider.value:
        return False
    return write.ref in call["path"] or (write.provider is ProviderName.ALOHA and write.operation is Operation.ADD)


def customer_of(operation: Operation, provider: ProviderName) -> DemoCustomer:
    """One customer per operation and vault, so that no cell sees another's writes."""
    place = list(Operation).index(operation) * len(ProviderName) + list(ProviderName).index(provider)
    return load_customer(1 + place)


@contextmanager
def _copy_of(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as parent:
        yield Path(shutil.copytree(folder, Path(parent) / "data"))


def longest_s(cell: Cell) -> float:
    """The cell's deadline."""
    return read_deadline_s(cell.fault) if cell.operation.is_read else WRITE_DEADLINE_S
