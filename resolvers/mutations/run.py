"""Runs a mutation: checks the input, passes a command to the use case, converts the result."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from app.errors import StoreUnavailable
from app.vault.provider import Call
from app.wallet.commands import Actor, WriteResult
from app.wallet.problems import STORE_UNAVAILABLE, WriteProblem
from resolvers import lookup
from resolvers.context import Info
from resolvers.inputs.rules import text_problems
from resolvers.types.customer import READ_METHODS
from resolvers.types.operation import Operation
from resolvers.types.user_errors import UserError, to_user_error

C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)


class Input(Protocol[C_co]):
    def to_command(self) -> C_co: ...


WriteHandler = Callable[[C, Actor, Call], Awaitable[WriteResult]]
Check = Callable[[], Sequence[WriteProblem]]


async def run(info: Info, given: "Input[C]", use_case: "WriteHandler[C]", *checks: Check) -> WriteResult:
    """Report all problems of the input at once; then nothing is journalled and no vault is called.

    `checks` only run on input whose text is valid.
    """
    context = info.context
    problems: Sequence[WriteProblem] = text_problems(given, context.services.return_origins)
    problems = problems or [problem for check in checks for problem in check()]
    if problems:
        return WriteResult(problems=tuple(problems))
    try:
        result = await use_case(given.to_command(), Actor(caller=context.caller), context.call)
        if result.replayed:
            _drop_changed_caches(info, result)
        context.has_failed = context.has_failed or STORE_UNAVAILABLE in result.problems
        return result
    except StoreUnavailable:
        context.has_failed = True
        return WriteResult(problems=(STORE_UNAVAILABLE,))
    finally:
        context.after_write()


def _drop_changed_caches(info: Info, result: WriteResult) -> None:
    """Drop cached data that another replica may have changed, whose notice may not have arrived yet."""
    services, operation = info.context.services, result.operation
    customer_id = result.customer_id or (operation.customer_id if operation else None)
    named = [result.method, result.previous, result.replaced, result.deleted]
    changed = {(one.provider, one.customer_ref) for one in named if one is not None}
    if customer_id is not None:
        changed.update(services.directory.refs_of(customer_id))
        services.directory.drop(customer_id)
    for provider, ref in changed:
        services.reader.snapshots.drop(provider, ref)


async def payload_fields(info: Info, result: WriteResult) -> dict[str, Any]:
    """The fields of every payload."""
    return {
        "operation": Operation.of(result.operation, replayed=result.replayed) if result.operation else None,
        "user_errors": await _user_errors(info, result.problems),
        "warnings": await _user_errors(info, result.warnings),
    }


async def _user_errors(info: Info, problems: Iterable[WriteProblem]) -> list[UserError]:
    return [await _user_error(info, problem) for problem in problems]


async def _user_error(info: Info, problem: WriteProblem) -> UserError:
    may_see = problem.existing is not None and info.context.caller.has_any([READ_METHODS])
    existing = await lookup.method_if_readable(info, problem.existing) if problem.existing and may_see else None
    return to_user_error(problem, existing)
