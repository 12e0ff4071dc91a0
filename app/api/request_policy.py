"""The default request policy: authenticates callers, resolves documents, admits requests, creates contexts."""

from collections.abc import Mapping
from typing import Any

from graphql import OperationDefinitionNode

from app.api.audit import Audit
from app.api.auth.authentication import Authenticator
from app.api.deadline import HEADER, asked_s
from app.api.documents.resolve import DocumentResolver
from app.api.limits import Limiter
from app.api.limits.admission import Admission
from app.api.limits.rate import RateLimiter
from app.api.problems import RequestRefused
from app.api.request import GraphQLRequest
from app.api.request_record import RequestRecord
from app.execution.documents import Document
from app.wallet.caller import Caller


class DefaultRequestPolicy:
    """Implements `RequestPolicy`. `make_context` takes caller, request id and trace context."""

    def __init__(
        self,
        documents: DocumentResolver,
        callers: Authenticator,
        limiter: Limiter,
        rates: RateLimiter,
        audit: Audit,
        make_context: Any,
    ) -> None:
        self._documents = documents
        self._callers = callers
        self._limiter = limiter
        self._rates = rates
        self._audit = audit
        self._make_context = make_context
        self.known = callers.known
        self.recognise = callers.recognise
        self.charge = rates.request

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        try:
            return await self._callers.authenticate(headers)
        except RequestRefused as refused:
            self._audit.turned_away(None, refused.code)
            raise

    async def authenticate_payload(self, payload: object) -> Caller:
        """For WebSockets: `payload` is that of `connection_init`."""
        try:
            return await self._callers.authenticate_payload(payload)
        except RequestRefused as refused:
            self._audit.turned_away(None, refused.code)
            raise

    async def revalidate(self, caller: Caller) -> Caller | None:
        return await self._callers.revalidate(caller)

    def turn_away(self, caller: Caller, code: str) -> RequestRefused:
        self._audit.turned_away(caller, code)
        try:
            self.charge(caller)
        except RequestRefused as throttled:
            return throttled
        return RequestRefused(code)

    async def document(self, request: GraphQLRequest, caller: Caller) -> Document:
        self._rates.request(caller)
        if (known := self._documents.by_text(request, caller)) is not None:
            return known
        try:
            return await self._documents.document(request, caller)
        except RequestRefused as refused:
            self._audit.turned_away(caller, refused.code)
            raise

    async def admit(
        self, document: Document, operation: OperationDefinitionNode, request: GraphQLRequest, caller: Caller
    ) -> Admission:
        variables = request.variables if request.query else _declared(operation, request.variables)
        try:
            cost = self._limiter.admit(document, operation, variables, caller)
        except RequestRefused as refused:
            self._audit.turned_away(caller, refused.code)
            raise
        rates = self._rates
        return Admission(cost, rates.cost_now(caller, cost) if rates.is_local else await rates.cost(caller, cost))

    def context(self, caller: Caller, record: RequestRecord) -> Any:
        deadline_s = asked_s(record.headers) if HEADER in record.headers else None
        return self._make_context(caller, record.request_id, record.trace, deadline_s)


def _declared(operation: OperationDefinitionNode, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The variables of a published document that count against the limits.

    A client older or newer than a published document may send variables that the document does not declare; these are
    never read.
    """
    names = [one.variable.name.value for one in operation.variable_definitions or ()]
    return {name: given[name] for name in names if name in given}
