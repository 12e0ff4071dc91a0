"""The id of the current request, in a context variable."""

from contextvars import ContextVar
from typing import Final

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("vaultgraph_request_id", default=None)
