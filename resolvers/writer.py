"""The interfaces through which resolvers write and read operations."""

from typing import Any, Protocol

from app.store.records import OperationRecord, ResultPage
from app.vault.provider import Call
from app.wallet.commands import (
    Actor,
    AddMethod,
    CapturePayment,
    CreateCustomer,
    CreateHostedSession,
    DeleteMethod,
    EraseCustomer,
    ImportMethods,
    LinkCustomer,
    QuotePayment,
    SetDefault,
    UnlinkCustomer,
    UpdateMethod,
    WriteResult,
)


class Writer(Protocol):
    """One method per mutation. Failures of vaults are in the result; exceptions are bugs."""

    async def add_method(self, command: AddMethod, actor: Actor, call: Call) -> WriteResult: ...

    async def update_method(self, command: UpdateMethod, actor: Actor, call: Call) -> WriteResult: ...

    async def set_default(self, command: SetDefault, actor: Actor, call: Call) -> WriteResult: ...

    async def delete_method(self, command: DeleteMethod, actor: Actor, call: Call) -> WriteResult: ...

    async def create_customer(self, command: CreateCustomer, actor: Actor, call: Call) -> WriteResult: ...

    async def link_customer(self, command: LinkCustomer, actor: Actor, call: Call) -> WriteResult: ...

    async def unlink_customer(self, command: UnlinkCustomer, actor: Actor, call: Call) -> WriteResult: ...

    async def erase_customer(self, command: EraseCustomer, actor: Actor, call: Call) -> WriteResult: ...

    async def quote_payment(self, command: QuotePayment, actor: Actor, call: Call) -> WriteResult: ...

    async def capture_payment(self, command: CapturePayment, actor: Actor, call: Call) -> WriteResult: ...

    async def create_hosted_session(self, command: CreateHostedSession, actor: Actor, call: Call) -> WriteResult: ...

    async def import_methods(self, command: ImportMethods, actor: Actor, call: Call) -> WriteResult: ...


class OperationReader(Protocol):
    """Reads the journal."""

    async def operation(self, operation_id: str) -> OperationRecord | None: ...

    async def results(self, operation_id: str, *, after: int = -1, first: int = 50) -> ResultPage: ...


class NoWrites:
    """For a process without writes: no operation is known, and every write raises."""

    async def operation(self, operation_id: str) -> OperationRecord | None:
        return None

    async def results(self, operation_id: str, *, after: int = -1, first: int = 50) -> ResultPage:
        return ResultPage((), has_next=False)

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("this process was created without a writer")
