"""The interface through which the endpoint authenticates and admits requests, for every transport."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any, Protocol

from graphql import OperationDefinitionNode
from starlette.types import Scope

from app.api.disconnect import DisconnectWatch
from app.api.headers import RequestHead
from app.api.limits.admission import Admission
from app.api.problems import RequestRefused
from app.api.request import GraphQLRequest
from app.api.request_record import RequestRecord
from app.api.response import HttpResponse
from app.execution.documents import Document
from app.wallet.commands import WriteResult


class RequestContext(Protocol):
    """The part of the resolvers' context that the API layer uses.

    Set before execution: `resume_after` (the client's last event id, for a subscription), `question` (equal for all
    requests of one operation) and `budget` (the response limits). Read afterwards: `event_id` (id of the event just
    sent, if it has one), `has_failed` (True if a mutation's payload reports an internal failure) and `writes` (the
    results of the mutation's root fields that ran, by their keys in the response; None for one that raised).
    """

    budget: Any
    question: Hashable | None
    resume_after: str | None
    event_id: str | None
    has_failed: bool
    writes: dict[str, WriteResult | None] | None

    def response_extensions(self) -> Mapping[str, Any]: ...

    @property
    def upstream_calls(self) -> int:
        """The number of vault calls made for this request so far."""

    def close(self) -> None: ...


class RequestPolicy(Protocol):
    """Authentication, authorization and limits. `docs/security.md` lists the rules."""

    def known(self, headers: Mapping[str, str]) -> Any | None:
        """The caller, if that is known without awaiting; None if `authenticate` must find out."""

    def recognise(self, head: RequestHead) -> Any | None:
        """As `known`, for a head, in which it may keep what it found for the next request with it."""

    async def authenticate(self, headers: Mapping[str, str]) -> Any:
        """The caller; raises RequestRefused(UNAUTHENTICATED)."""

    async def authenticate_payload(self, payload: object) -> Any:
        """The same for a WebSocket, from the payload of `connection_init`."""

    async def revalidate(self, caller: Any) -> Any | None:
        """The caller with its current rights, or None if it has lost access. Streams call this periodically."""

    def charge(self, caller: Any) -> None:
        """Count a request that runs no document; raises RequestRefused(THROTTLED)."""

    def turn_away(self, caller: Any, code: str) -> RequestRefused:
        """Count and audit a request for something that the caller does not have. Returns the refusal: this code, or
        THROTTLED.
        """
        ...

    async def document(self, request: GraphQLRequest, caller: Any) -> Document:
        """The document that the request names by text or id; raises RequestRefused."""

    async def admit(
        self, document: Document, operation: OperationDefinitionNode, request: GraphQLRequest, caller: Any
    ) -> Admission:
        """Check limits, scopes of mutation fields, cost and rate before any upstream call; raises RequestRefused."""

    def context(self, caller: Any, record: RequestRecord) -> RequestContext: ...


Door = Callable[[Scope, DisconnectWatch, Mapping[str, str], RequestRecord], Awaitable[HttpResponse]]
"""Answers the requests to a path outside /graphql that has the same limits, error format, log and metrics; may raise
RequestRefused.
"""
