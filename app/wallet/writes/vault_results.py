"""Writes at several vaults: each part has its own result, and all form one operation."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.errors import VaultError
from app.store.records import NewEvent, OperationState, WriteOutcome
from app.vault.enums import CustomerRef, ProviderName
from app.wallet.commands import WriteResult
from app.wallet.problems import WriteProblem
from app.wallet.writes.handler import Apply, CompletedWrite, row_of
from app.wallet.writes.interrupts import NotApplied, NothingSent, StillUnknown, WriteRefused
from app.wallet.writes.refusals import interrupted, is_final, outcome_unknown, problems_of, proven_absent


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


async def gather_results(parts: Iterable[Awaitable[VaultResult]]) -> list[VaultResult]:
    """Run all parts concurrently. Exceptions are raised only after every part has ended, so that none keeps running."""
    found = await asyncio.gather(*parts, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return [one for one in found if isinstance(one, VaultResult)]


async def run_at_vault(provider: ProviderName, work: Callable[[], Awaitable[CustomerRef]], *path: str) -> VaultResult:
    """Run one vault's part, which returns the vault's customer ref, and report its result.

    `path` is used if a vault names no field.
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
        return _failed(provider, problems_of(error), is_final(error), path)
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
