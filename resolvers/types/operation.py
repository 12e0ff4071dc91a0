"""Operations of the write journal, as clients see them."""

from datetime import datetime
from typing import Final, Self

import strawberry

from app.store.records import MethodAddress, OperationRecord, OperationState, ResultRow, WriteOutcome
from app.vault.enums import ProviderName
from app.wallet.writes.stored_result import row_problem
from resolvers.context import Info
from resolvers.directives import ListSize
from resolvers.errors import BadUserInput
from resolvers.scopes import scoped
from resolvers.types.customer import READ_METHODS
from resolvers.types.node import Node
from resolvers.types.paging import Cursor, PageInfo, PageSize, from_cursor, page_size, to_cursor
from resolvers.types.payment_method import PaymentMethod
from resolvers.types.user_errors import UserError, to_user_error

_ROW: Final = "row"
_MOST_RESULTS: Final = 100


@strawberry.type(description="The outcome of one part of an operation: at one vault, or of one row.")
class OperationResult:
    provider: ProviderName = strawberry.field(description="The vault.")
    row: int | None = strawberry.field(description="Its place in the operation, from 0.")
    state: OperationState = strawberry.field(description="How far this part is.")
    outcome: WriteOutcome = strawberry.field(description="Whether the vault applied it.")
    error: UserError | None = strawberry.field(description="Why it failed; null if it did not.")
    address: strawberry.Private[MethodAddress | None]

    @scoped(READ_METHODS, calls=1, description="The method concerned, if it is still available.")
    async def payment_method(self, info: Info) -> PaymentMethod | None:
        from resolvers.lookup import method_at

        return await method_at(info, self.address) if self.address else None

    @classmethod
    def of(cls, row: ResultRow) -> Self:
        address = None
        if row.customer_ref is not None and row.method_ref is not None:
            address = MethodAddress(row.provider, row.customer_ref, row.method_ref)
        return cls(
            provider=row.provider,
            row=row.row,
            state=row.state,
            outcome=row.outcome,
            error=to_user_error(row_problem(row.error)) if row.error else None,
            address=address,
        )


@strawberry.type(description="One result and its cursor.")
class OperationResultEdge:
    cursor: str = strawberry.field(description="The result's position, for `after`.")
    node: OperationResult = strawberry.field(description="The result.")


@strawberry.type(description="Results in order.")
class OperationResultConnection:
    edges: list[OperationResultEdge] = strawberry.field(description="The results of this page.")
    page_info: PageInfo = strawberry.field(description="Whether there are more pages, and where to continue.")


@strawberry.type(description="One write, applied once or reported as UNKNOWN.")
class Operation(Node):
    mutation: str = strawberry.field(description="The mutation that started it.")
    state: OperationState = strawberry.field(description="How far it is.")
    replayed: bool = strawberry.field(description="An earlier request with the same key did the work.")
    created_at: datetime = strawberry.field(description="When the gateway accepted it.")
    finished_at: datetime | None = strawberry.field(description="null while PENDING or UNKNOWN.")

    @strawberry.field(
        description="The parts, if there are several.",
        directives=[ListSize(assumed_size=_MOST_RESULTS, slicing_arguments=["first"], sized_fields=["edges"])],
    )
    async def results(
        self, info: Info, first: PageSize = 50, after: Cursor = strawberry.UNSET
    ) -> OperationResultConnection:
        size = page_size(first, _MOST_RESULTS)
        start = _after(after)
        page = await info.context.services.operations.results(self.id, after=start, first=size)
        edges = [
            OperationResultEdge(cursor=to_cursor(_ROW, str(row.row)), node=OperationResult.of(row)) for row in page.rows
        ]
        return OperationResultConnection(
            edges=edges,
            page_info=PageInfo.of(edges, has_next=page.has_next, has_previous=start >= 0),
        )

    @classmethod
    def of(cls, record: OperationRecord, *, replayed: bool = False) -> Self:
        return cls(
            id=strawberry.ID(record.id),
            mutation=record.mutation,
            state=record.state,
            replayed=replayed,
            created_at=record.created_at,
            finished_at=record.finished_at,
        )


def _after(cursor: str | None) -> int:
    """The row number to continue after; -1 for the start. `cursor` may be UNSET."""
    if not cursor:
        return -1
    position = from_cursor(_ROW, cursor)
    if not position.isdecimal() or len(position) > 9:
        raise BadUserInput("after is not a cursor of this connection.")
    return int(position)
