"""Runs a mutation: checks the input, passes its command to the writer."""

from collections.abc import Callable, Sequence
from typing import Protocol

from app.errors import StoreUnavailable
from app.wallet.commands import Actor, Command, WriteResult
from app.wallet.problems import STORE_UNAVAILABLE, WriteProblem
from resolvers.context import Info
from resolvers.inputs.rules import text_problems

Check = Callable[[], Sequence[WriteProblem]]


class Input(Protocol):
    def to_command(self) -> Command: ...


async def run(info: Info, given: Input, *checks: Check) -> WriteResult:
    """Report all problems of the input at once; then nothing is journalled and no vault is called.

    `checks` only run on input whose text is valid.
    """
    context = info.context
    problems: Sequence[WriteProblem] = text_problems(given, context.services.return_origins)
    problems = problems or [problem for check in checks for problem in check()]
    if problems:
        return WriteResult(problems=tuple(problems))
    try:
        result = await context.services.writer.run(given.to_command(), Actor(caller=context.caller), context.call)
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
