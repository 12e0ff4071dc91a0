"""Errors of mutations, returned as data: a refused write is a result, not an error of the request."""

import math
from typing import Any, Final

import strawberry
from strawberry.utils.str_converters import to_camel_case

from app.store.records import WriteOutcome
from app.vault.enums import ProviderName
from app.wallet.problems import ProblemCode, WriteProblem
from resolvers.types.payment_method import PaymentMethod

_CONFLICTS: Final = frozenset(
    {
        ProblemCode.STALE_ETAG,
        ProblemCode.LINK_CONFLICT,
        ProblemCode.METHOD_IN_USE,
        ProblemCode.DUPLICATE,
        ProblemCode.IDEMPOTENCY_KEY_REUSED,
        ProblemCode.IDEMPOTENCY_IN_PROGRESS,
    }
)


@strawberry.interface(description="A problem that prevents a write, or a warning.")
class UserError:
    code: ProblemCode = strawberry.field(description="The machine-readable problem.")
    message: str = strawberry.field(description="For developers; it never quotes input.")
    path: list[str] | None = strawberry.field(
        description='The input field concerned, from the mutation\'s argument on: ["input", "method", ...].'
    )
    retryable: bool = strawberry.field(description="The same request, with the same key, may succeed later.")


@strawberry.type(description="The input must change.")
class InputError(UserError):
    pass


@strawberry.type(description="The vault has the same method, or one that looks like it.")
class DuplicateError(UserError):
    existing: PaymentMethod = strawberry.field(description="The payment method that is already there.")


@strawberry.type(description="A conflict with another write, another link or a newer state.")
class ConflictError(UserError):
    current_etag: str | None = strawberry.field(description="The value to send as ifMatch after reading again.")


@strawberry.type(description="A vault refused or did not answer.")
class ProviderError(UserError):
    provider: ProviderName = strawberry.field(description="The vault.")
    outcome: WriteOutcome = strawberry.field(description="Whether the vault applied the write nevertheless.")
    provider_code: str | None = strawberry.field(description="The vault's code.")
    retry_after_seconds: int | None = strawberry.field(description="When to try again; null if the vault does not say.")
    provider_request_id: str | None = strawberry.field(description="For the vault's support.")


def to_user_error(problem: WriteProblem, existing: PaymentMethod | None = None) -> UserError:
    """`existing` is the method of `problem.existing`, if the caller may see it."""
    shared: dict[str, Any] = {
        "code": problem.code,
        "message": problem.message,
        "path": path_of(problem),
        "retryable": problem.retryable,
    }
    if problem.outcome is not None and problem.provider is not None:
        return ProviderError(
            **shared,
            provider=problem.provider,
            outcome=problem.outcome,
            provider_code=problem.provider_code,
            retry_after_seconds=None if problem.retry_after_s is None else math.ceil(problem.retry_after_s),
            provider_request_id=problem.provider_request_id,
        )
    if existing is not None:
        return DuplicateError(**shared, existing=existing)
    if problem.code in _CONFLICTS:
        return ConflictError(**shared, current_etag=problem.current_etag)
    return InputError(**shared)


def path_of(problem: WriteProblem) -> list[str] | None:
    return ["input", *(to_camel_case(name) for name in problem.path)] if problem.path else None
