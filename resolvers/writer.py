"""The interfaces through which resolvers write and read operations."""

from typing import Protocol

from app.store.records import OperationRecord, ResultPage
from app.vault.provider import Call
from app.wallet.commands import Actor, Command, WriteResult


class Writer(Protocol):
    async def run(self, command: Command, actor: Actor, call: Call) -> WriteResult:
        """Failures of vaults are in the result; exceptions are bugs."""


class OperationReader(Protocol):
    """Reads the journal."""

    async def operation(self, operation_id: str) -> OperationRecord | None:
        return None

    async def results(self, operation_id: str, *, after: int = -1, first: int = 50) -> ResultPage:
        return ResultPage((), has_next=False)


class NoWrites(Writer, OperationReader):
    """For a process without writes: no operation is known, and every write raises."""

    async def run(self, command: Command, actor: Actor, call: Call) -> WriteResult:
        raise RuntimeError("this process was created without a writer")
