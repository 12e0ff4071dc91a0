"""Strawberry extension for operations run by Strawberry's executor."""

from collections.abc import Iterator
from typing import Any

from strawberry.extensions import SchemaExtension

from resolvers.context import Context


class RequestScope(SchemaExtension):
    """Adds response extensions and closes the context, also when the request is cancelled."""

    def on_operation(self) -> Iterator[None]:
        try:
            yield
        finally:
            context = self.execution_context.context
            if isinstance(context, Context):
                context.close()

    def get_results(self) -> dict[str, Any]:
        context = self.execution_context.context
        return dict(context.response_extensions()) if isinstance(context, Context) else {}
