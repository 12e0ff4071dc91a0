"""Writes at several vaults: each part has its own result, and all form one operation."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.errors import VaultError
from app.store.records import NewEvent, OperationState, ResultRow, WriteOutcome
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.wallet.commands import WriteResult
from app.wallet.problems import WriteProblem
from app.wallet.writes.handler import Apply, CompletedWrite, row_of
from app.wallet.writes.interrupts import NotApplied, NothingSent, StillUnknown, WriteRefused
from app.wallet.writes.refusals import (
    PathOf,
    interrupted,
    is_final,
    outcome_unknown,
    path_unchanged,
    problems_of,
    proven_absent,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultResult:
    """The result at one vault."""

    provider: ProviderName
    state: OperationState
    outcome: WriteOutcome
    is_final: bool = True
    for_person: bool = False
    look_at: datetime | None = None
    problems: tuple[WriteProblem, ...] = ()
    customer_ref: CustomerRef | None = None
    method_ref: MethodRef | None = None


async def gather_results(parts: Iterable[Awaitable[VaultResult]]) -> list[VaultResult]:
    """Run all parts concurrently. Exceptions are raised only after every part has ended, so that none keeps running."""
    found = await asyncio.gather(*parts, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return [one for one in found if isinstance(one, VaultResult)]


async def run_at_vault(
    provider: ProviderName,
    work: Callable[[], Awaitable[CustomerRef]],
    *path: str,
    path_of: PathOf = path_unchanged,
) -> VaultResult:
    """Run one vault's part, which returns the vault's customer ref, and report its result.

    `path` is used if a vault names no field, `path_of` if it names one.
    """
    try:
        ref = await work()
    except WriteRefused as refused:
        return _failed(provider, refused.problems, refused.is_final, path)
    except NothingSent:
        return _failed(provider, (interrupted(provider),), False, path)
    except NotApplied as absent:
        return _failed(provider, (proven_absent(provider, absent.error),), False, path)
    except StillUnknown as unknown:
        return VaultResult(
            provider=provider,
            state=OperationState.UNKNOWN,
            outcome=WriteOutcome.UNKNOWN,
            for_person=unknown.for_person,
            look_at=unknown.look_at,
            problems=(replace(outcome_unknown(provider, unknown.error), path=path),),
        )
    except VaultError as error:
        return _failed(provider, problems_of(error, path_of), is_final(error), path)
    return VaultResult(
        provider=provider,
        state=OperationState.SUCCEEDED,
        outcome=WriteOutcome.APPLIED,
        customer_ref=ref,
    )


def summary(
    endings: Sequence[VaultResult],
    result: WriteResult,
    *,
    apply: tuple[Apply, ...] = (),
    events: tuple[NewEvent, ...] = (),
) -> CompletedWrite:
    """UNKNOWN if any part is; PARTIAL if any failed, repeatable unless every failure is final."""
    unknown = [one for one in endings if one.state is OperationState.UNKNOWN]
    failed = [one for one in endings if one.state is OperationState.FAILED]
    state = OperationState.SUCCEEDED
    if unknown:
        state = OperationState.UNKNOWN
    elif failed:
        state = OperationState.PARTIAL
    return CompletedWrite(
        result=replace(result, problems=tuple(problem for one in endings for problem in one.problems)),
        state=state,
        outcome=WriteOutcome.UNKNOWN if unknown else WriteOutcome.APPLIED,
        is_final=all(one.is_final for one in failed),
        for_person=all(one.for_person for one in unknown),
        look_at=max((one.look_at for one in unknown if one.look_at is not None), default=None),
        rows=tuple(
            row_of(
                number,
                one.provider,
                one.state,
                one.outcome,
                customer_ref=one.customer_ref,
                problem=one.problems[0] if one.problems else None,
            )
            for number, one in enumerate(endings)
        ),
        apply=apply,
        events=events,
    )


def rows_summary(
    found: Mapping[int, VaultResult], settled: Collection[OperationState], *, dry_run: bool = False
) -> CompletedWrite:
    """PARTIAL if some rows failed, FAILED if all did; a dry run's good rows are SUCCEEDED and NOT_APPLIED.

    `found` is by row number; `settled` are the states of the other rows, which stay unchanged.
    """
    endings = found.values()
    count = Counter([*settled, *(ending.state for ending in endings)])
    state = OperationState.SUCCEEDED
    if count[OperationState.UNKNOWN]:
        state = OperationState.UNKNOWN
    elif count[OperationState.FAILED]:
        state = OperationState.FAILED if count[OperationState.FAILED] == count.total() else OperationState.PARTIAL
    applied = WriteOutcome.NOT_APPLIED if dry_run or state is OperationState.FAILED else WriteOutcome.APPLIED
    return CompletedWrite(
        result=WriteResult(),
        state=state,
        outcome=WriteOutcome.UNKNOWN if state is OperationState.UNKNOWN else applied,
        is_final=all(one.is_final for one in endings if one.state is OperationState.FAILED),
        for_person=all(one.for_person for one in endings if one.state is OperationState.UNKNOWN),
        rows=tuple(_result_row(number, ending, dry_run=dry_run) for number, ending in found.items()),
    )


def _result_row(number: int, ending: VaultResult, *, dry_run: bool) -> ResultRow:
    is_done = ending.state is OperationState.SUCCEEDED
    return row_of(
        number,
        ending.provider,
        ending.state,
        WriteOutcome.NOT_APPLIED if dry_run and is_done else ending.outcome,
        customer_ref=ending.customer_ref,
        method_ref=ending.method_ref,
        problem=ending.problems[0] if ending.problems else None,
    )


def _failed(
    provider: ProviderName, problems: tuple[WriteProblem, ...], final: bool, path: tuple[str, ...]
) -> VaultResult:
    placed = tuple(
        replace(one, path=one.path or path, provider=provider, outcome=one.outcome or WriteOutcome.NOT_APPLIED)
        for one in problems
    )
    return VaultResult(
        provider=provider,
        state=OperationState.FAILED,
        outcome=WriteOutcome.NOT_APPLIED,
        is_final=final,
        problems=placed,
    )
