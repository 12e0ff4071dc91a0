"""Scopes per field: declared once, printed as `@requiresScope`, asked before the field's own resolver."""

from collections.abc import Callable
from typing import Any

import strawberry
from strawberry.extensions import FieldExtension

from resolvers.context import Info
from resolvers.directives import RequiresScope, UpstreamCost
from resolvers.errors import Forbidden


def require(info: Info, *scopes: str) -> None:
    """The one place where a caller's scopes are asked. Raises Forbidden."""
    if not info.context.caller.has_any(scopes):
        raise Forbidden(scopes)


class ScopeGuard(FieldExtension):
    """Runs before the resolver; synchronous, so that a plain attribute stays one."""

    def __init__(self, scopes: tuple[str, ...]) -> None:
        self.scopes = scopes

    def lets_pass(self, context: Any) -> bool:
        """What `resolve` will decide, for whoever asks before any field is run (`app.execution.bridge.Guard`)."""
        return bool(context.caller.has_any(self.scopes))

    def resolve(self, next_: Callable[..., Any], source: Any, info: Any, **kwargs: Any) -> Any:
        require(info, *self.scopes)
        return next_(source, info, **kwargs)

    async def resolve_async(self, next_: Callable[..., Any], source: Any, info: Any, **kwargs: Any) -> Any:
        require(info, *self.scopes)
        return await next_(source, info, **kwargs)


def scoped(*scopes: str, calls: int | None = None, **field: Any) -> Any:
    """`strawberry.field` for a field that needs any one of these scopes, and may cost this many vault calls.

    The field must be nullable: without the scope it is null, with an error FORBIDDEN.
    """
    directives: list[object] = [RequiresScope(any=list(scopes))]
    if calls is not None:
        directives.append(UpstreamCost(calls=calls))
    return strawberry.field(directives=directives, extensions=[ScopeGuard(scopes)], **field)
