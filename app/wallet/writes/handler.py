"""Base class of the write handlers: input digest, checks, execution, follow-up."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final, Generic, TypeVar

from app.errors import FieldFault, VaultError
from app.store import Connection, Transaction
from app.store.directory_reads import directory_entry, directory_entry_by_ref, merged_into
from app.store.records import (
    DirectoryEntry,
    MethodAddress,
    NewEvent,
    OperationRecord,
    OperationState,
    ResultRow,
    WriteOutcome,
)
from app.vault.added_later import named_values
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.vault.model import NewMethod
from app.vault.provider import VaultProvider
from app.wallet.commands import Actor, WriteResult
from app.wallet.problems import WriteProblem, invalid, not_found, unsupported
from app.wallet.writes.deps import Deps
from app.wallet.writes.intents import Intent, IntentT_co
from app.wallet.writes.interrupts import WriteRefused
from app.wallet.writes.refusals import outcome_unknown, path_unchanged
from app.wallet.writes.run import WriteRun
from app.wallet.writes.stored_result import problem_row

C = TypeVar("C")
IntentT = TypeVar("IntentT", bound=Intent)
NICKNAME_LIMIT: Final = 100
Apply = Callable[[Transaction], None]
"""A change of the directory."""


@dataclass(frozen=True, kw_only=True)
class PreparedWrite(Generic[IntentT_co]):
    """A command that passed every check without a vault call.

    `intent` is what the journal stores. `customer_id` is None if several customers take part, `provider` if several
    vaults do, each with a row. `within` runs in the transaction of the operation's first row. `new` and `memory` are
    not stored. `exclusive` is held by one operation at a time, whatever its key; a second one gets the first one's
    result. `entry` is the customer as read for the checks.
    """

    intent: IntentT_co
    customer_id: str | None
    provider: ProviderName | None
    entry: DirectoryEntry | None = None
    rows: tuple[ResultRow, ...] = ()
    within: Callable[[Transaction], None] | None = None
    new: NewMethod | None = None
    memory: object = None
    exclusive: str | None = None


@dataclass(frozen=True, kw_only=True)
class CompletedWrite:
    """The result of a write. `events` and `apply` are written in the transaction of the journal's final state.

    If still UNKNOWN: `look_at` is the earliest time at which a lookup may be conclusive, `for_person` that an operator
    must decide.
    """

    result: WriteResult
    state: OperationState = OperationState.SUCCEEDED
    outcome: WriteOutcome = WriteOutcome.APPLIED
    is_final: bool = True
    for_person: bool = False
    look_at: datetime | None = None
    rows: tuple[ResultRow, ...] = ()
    apply: tuple[Apply, ...] = ()
    events: tuple[NewEvent, ...] = field(default=())


class WriteHandler(ABC, Generic[C, IntentT]):
    """One mutation. `execute` is written as straight-line code; `WriteRun` makes it resumable."""

    command: ClassVar[type[Any]]
    mutation: ClassVar[str]
    changes_methods: ClassVar[bool] = False
    """Whether its steps change methods: then the vault is read after the write, see `post_write_refresh`."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    def digest(self, command: C) -> Mapping[str, Any]:
        """The values that make two inputs the same, for `input_digest`: by default every field but the key."""
        asked = named_values(command)
        asked.pop("idempotency_key", None)
        for name in ("method_id", "replacement_id"):
            if asked.get(name) is not None:  # ids made with different keys are the same input
                asked[name] = self.deps.ids.decode(asked[name]) or asked[name]
        return asked

    @abstractmethod
    def prepare(
        self, tx: Connection, command: C, actor: Actor, known: OperationRecord | None
    ) -> PreparedWrite[IntentT]:
        """Check without a vault call, in the transaction that begins the operation. `known` is the operation that runs
        again. Raises WriteRefused."""

    @abstractmethod
    async def execute(self, run: WriteRun[IntentT]) -> CompletedWrite:
        """Execute, or continue from the journal. Raises VaultError and `interrupts`."""

    def settle(self, tx: Transaction, run: WriteRun[IntentT], done: CompletedWrite) -> CompletedWrite:
        """Called in the transaction that ends the operation; returns the final result."""
        return done

    def settle_unread(self, tx: Transaction, operation: OperationRecord, done: CompletedWrite) -> CompletedWrite:
        """As `settle`, for an operation whose intent cannot be read."""
        return done

    def unknown(self, provider: ProviderName | None, error: VaultError | None = None) -> WriteProblem:
        return outcome_unknown(provider, error)

    def path_of(self, intent: IntentT, fault: FieldFault) -> tuple[str, ...]:
        return path_unchanged(fault)

    # ---- shared helpers ----

    def entry_of(self, tx: Connection, customer_id: str, actor: Actor, *path: str) -> DirectoryEntry:
        """The customer; unknown and invisible customers give the same error."""
        found = directory_entry(tx, customer_id) if actor.may_see(customer_id) else None
        if found is not None:
            return found
        into = merged_into(tx, customer_id) if actor.may_see(customer_id) else None
        is_shown = into is not None and actor.may_see(into)
        message = f"This customer was merged into {into}." if is_shown else "There is no such customer."
        raise WriteRefused(not_found(message, *(path or ("customer_id",))))

    def method_of(
        self, tx: Connection, method_id: str, actor: Actor, *path: str
    ) -> tuple[MethodAddress, DirectoryEntry]:
        """The address of a payment method whose customer is linked and visible to the caller."""
        address = self.deps.ids.decode(method_id)
        refusal = WriteRefused(not_found("There is no such payment method.", *path))
        if address is None:
            raise refusal
        entry = directory_entry_by_ref(tx, address.provider, address.customer_ref)
        if entry is None or not actor.may_see(entry.customer.id):
            raise refusal
        return address, entry

    def method_in(self, entry: DirectoryEntry, method_id: str, *path: str) -> MethodAddress:
        """As `method_of`, for a customer that was already read; methods of other customers are not found."""
        address = self.deps.ids.decode(method_id)
        if address is not None:
            link = entry.link(address.provider)
            if link is not None and link.customer_ref == address.customer_ref:
                return address
        raise WriteRefused(not_found("There is no such payment method.", *path))

    def vault_of(self, provider: ProviderName, *path: str) -> VaultProvider:
        found = self.deps.providers.get(provider)
        if found is None:
            raise WriteRefused(unsupported(provider, "This vault is not enabled here.", *path))
        return found


def nickname_problems(nickname: str | None) -> tuple[WriteProblem, ...]:
    if nickname is None or len(nickname) <= NICKNAME_LIMIT:
        return ()
    return (invalid(f"A nickname has at most {NICKNAME_LIMIT} characters.", "nickname"),)


def row_of(
    number: int,
    provider: ProviderName,
    state: OperationState,
    outcome: WriteOutcome,
    *,
    customer_ref: CustomerRef | None = None,
    method_ref: MethodRef | None = None,
    problem: WriteProblem | None = None,
) -> ResultRow:
    return ResultRow(
        row=number,
        provider=provider,
        state=state,
        outcome=outcome,
        customer_ref=customer_ref,
        method_ref=method_ref,
        error=problem_row(problem) if problem else None,
    )


def applied_row(address: MethodAddress) -> tuple[ResultRow, ...]:
    """The single row of a write applied at one vault."""
    return (
        row_of(
            0,
            address.provider,
            OperationState.SUCCEEDED,
            WriteOutcome.APPLIED,
            customer_ref=address.customer_ref,
            method_ref=address.method_ref,
        ),
    )
