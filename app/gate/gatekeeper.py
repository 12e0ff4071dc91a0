"""What the endpoint asks of the rest of the gate, whatever the transport."""

from collections.abc import Hashable, Mapping
from typing import Any, Protocol

from graphql import OperationDefinitionNode

from app.execution.documents import Document
from app.gate.admission import Admission
from app.gate.request import GraphQLRequest


class RequestContext(Protocol):
    """What the resolvers' context shows to the gate after an operation ran.

    `resume_after` is set before a subscription starts: the last event id that the client had. `event_id` is that of the
    answer which a stream gives just now, if it has one. `question` is set before an operation starts: the same for all
    requests of one operation. `budget` is what the answer may hold, set before anything runs. `has_failed` is whether a
    mutation's payload tells of a failure of the gateway itself.
    """

    budget: Any
    question: Hashable | None
    resume_after: str | None
    event_id: str | None
    has_failed: bool

    def response_extensions(self) -> Mapping[str, Any]: ...

    @property
    def upstream_calls(self) -> int:
        """How many calls to vaults were made for this request so far."""
        ...

    def close(self) -> None: ...


class Gatekeeper(Protocol):
    """Who may ask what, and how much. `docs/security.md` lists the rules."""

    async def authenticate(self, headers: Mapping[str, str]) -> Any:
        """The caller; raises Refused(UNAUTHENTICATED)."""
        ...

    async def authenticate_payload(self, payload: object) -> Any:
        """The same for a WebSocket, from the payload of `connection_init`."""
        ...

    async def again(self, caller: Any) -> Any | None:
        """The caller with the rights it has now; None when it has none any more. For streams, every now and then."""
        ...

    async def document(self, request: GraphQLRequest, caller: Any) -> Document:
        """The document that the request names, by text or id; raises Refused."""
        ...

    async def admit(
        self, document: Document, operation: OperationDefinitionNode, request: GraphQLRequest, caller: Any
    ) -> Admission:
        """Limits, scopes of root mutation fields, cost, rate; raises Refused. Nothing upstream has been called yet."""
        ...

    def context(self, caller: Any, request_id: str, headers: Mapping[str, str]) -> RequestContext: ...
