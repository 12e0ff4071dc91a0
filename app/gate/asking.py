"""The id of the request that the running task works for: for notes made far from where it is known."""

from contextvars import ContextVar
from typing import Final

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("vaultgraph_request_id", default=None)
