"""Facade of the write side: one method per mutation."""

from typing import Any

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
from app.wallet.writes.add import AddMethodHandler
from app.wallet.writes.create import CreateCustomerHandler
from app.wallet.writes.defaults import SetDefaultHandler
from app.wallet.writes.delete import DeleteMethodHandler
from app.wallet.writes.deps import Deps
from app.wallet.writes.erase import EraseCustomerHandler
from app.wallet.writes.hosted import CreateHostedSessionHandler
from app.wallet.writes.importing import ImportMethodsHandler
from app.wallet.writes.links import LinkCustomerHandler, UnlinkCustomerHandler
from app.wallet.writes.pay import CapturePaymentHandler, QuotePaymentHandler
from app.wallet.writes.runner import Runner
from app.wallet.writes.update import UpdateMethodHandler
from app.wallet.writes.usecase import WriteHandler


class WalletWriter:
    """Every method returns a `WriteResult`, whatever a vault did; exceptions are bugs or store failures.

    A write continues after a client disconnect and ends by its own deadline: `call.deadline_at` is not used.
    """

    def __init__(self, deps: Deps) -> None:
        self.deps = deps
        self._add = AddMethodHandler(deps)
        self._update = UpdateMethodHandler(deps)
        self._set_default = SetDefaultHandler(deps)
        self._delete = DeleteMethodHandler(deps)
        self._create = CreateCustomerHandler(deps)
        self._link = LinkCustomerHandler(deps)
        self._unlink = UnlinkCustomerHandler(deps)
        self._erase = EraseCustomerHandler(deps)
        self._import = ImportMethodsHandler(deps)
        self._quote = QuotePaymentHandler(deps)
        self._capture = CapturePaymentHandler(deps)
        self._host = CreateHostedSessionHandler(deps)
        all_of_them: tuple[WriteHandler[Any, Any], ...] = (
            self._add,
            self._update,
            self._set_default,
            self._delete,
            self._create,
            self._link,
            self._unlink,
            self._erase,
            self._import,
            self._quote,
            self._capture,
            self._host,
        )
        self.runner = Runner(deps, {one.mutation: one for one in all_of_them})

    async def add_method(self, command: AddMethod, actor: Actor, call: Call) -> WriteResult:
        return await self.runner.submit(self._add, command, actor, call)

    async def update_method(self, command: UpdateMethod, actor: Actor, call: Call) -> WriteResult:
        return await self.runner.submit(self._update, command, actor, call)

    async def set_default(self, command: SetDefault, actor: Actor, call: Call) -> WriteResult:
        return await self.runner.submit(self._set_default, command, actor, call)

    async def delete_method(self, command: DeleteMethod, actor: Actor, call: Call) -> WriteResult:
        return await self.runner.submit(self._delete, command, actor, call)

    async def create_customer(self, command: CreateCustomer, actor: Actor, call: Call) -> WriteResult:
        return await self.runner.submit(self._create, command, actor, call)

    async def link_customer(self, command: LinkCustomer, actor: Actor, call: Call) -> WriteResult:
        return await self.runner.submit(self._link, command, actor, call)

    async def unlink_customer(self, command: UnlinkCustomer, actor: Actor, call: Call) -> WriteResult:
        return await self.runner.submit(self._unlink, command, actor, call)

    async def erase_customer(self, command: EraseCustomer, actor: Actor, call: Call) -> WriteResult:
        return await self.runner.submit(self._erase, command, actor, call)

    async def quote_payment(self, command: QuotePayment, actor: Actor, call: Call) -> WriteResult:
        return await self.runner.submit(self._quote, command, actor, call)

    async def capture_payment(self, command: CapturePayment, actor: Actor, call: Call) -> WriteResult:
        return await self.runner.submit(self._capture, command, actor, call)

    async def create_hosted_session(self, command: CreateHostedSession, actor: Actor, call: Call) -> WriteResult:
        return await self.runner.submit(self._host, command, actor, call)

    async def import_methods(self, command: ImportMethods, actor: Actor, call: Call) -> WriteResult:
        return await self.runner.submit(self._import, command, actor, call)

    async def drain(self) -> None:
        """Wait for the running writes."""
        await self.runner.drain()
