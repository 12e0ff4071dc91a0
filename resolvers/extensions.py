"""What happens around every operation that runs through Strawberry's own executor."""

from collections.abc import Iterator
from typing import Any

from strawberry.extensions import SchemaExtension

from resolvers.context import Context


class RequestScope(SchemaExtension):
    """Echoes what could not be read, and lets go of what is still on its way, cancelled requests included."""

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
