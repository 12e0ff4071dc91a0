"""A small schema behind the real endpoint, in process: for API behaviour that does not depend on the graph."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import strawberry
from graphql import OperationDefinitionNode

from app.api.cors import OriginPolicy
from app.api.endpoint import EndpointLimits, GraphQLEndpoint
from app.api.headers import RequestHead
from app.api.limits import Limiter, Limits
from app.api.limits.admission import Admission
from app.api.problems import RequestRefused
from app.api.request import GraphQLRequest
from app.api.request_record import RequestRecord
from app.api.response import HttpResponse
from app.api.streams.websocket import SocketLimits
from app.execution.documents import Document, DocumentCache
from app.wallet.caller import ALL_SCOPES, Caller

SECRET = "hunter2-db-password"


@dataclass
class Seen:
    """Calls of the resolvers."""

    writes: list[str] = field(default_factory=list)
    reads: int = 0
    cancelled: int = 0
    streams_open: int = 0


@dataclass
class SmallContext:
    seen: Seen
    upstream_calls: int = 0
    resume_after: str | None = None
    event_id: str | None = None
    has_failed: bool = False

    def response_extensions(self) -> Mapping[str, Any]:
        return {}

    def close(self) -> None:
        return None


Info = strawberry.Info[SmallContext, None]


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, info: Info, name: str = "world") -> str:
        info.context.seen.reads += 1
        return f"hello {name}"

    @strawberry.field
    def number(self, value: int) -> int:
        return value

    @strawberry.field
    def crash(self) -> str:
        raise RuntimeError(f"postgres://user:{SECRET}@10.1.2.3/db card 4111111111111111")

    @strawberry.field
    def maybe_crash(self) -> str | None:
        raise RuntimeError(f"postgres://user:{SECRET}@10.1.2.3/db card 4111111111111111")

    @strawberry.field
    def long(self, size: int) -> str:
        return "x" * size

    @strawberry.field
    async def slow(self, info: Info, seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            info.context.seen.cancelled += 1
            raise
        return "done"

    @strawberry.field
    def odd(self) -> str:
        return "\ud800"


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def write(self, info: Info, value: str, seconds: float = 0) -> str:
        if seconds:
            await asyncio.sleep(seconds)
        info.context.seen.writes.append(value)
        return value


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, info: Info, to: int, seconds: float = 0) -> AsyncIterator[int]:
        seen = info.context.seen
        seen.streams_open += 1
        try:
            for number in range(to):
                if seconds:
                    await asyncio.sleep(seconds)
                yield number
        finally:
            seen.streams_open -= 1

    @strawberry.subscription
    async def flood(self, info: Info) -> AsyncIterator[str]:
        info.context.seen.streams_open += 1
        try:
            while True:
                info.context.seen.reads += 1
                yield "x" * 100_000
                await asyncio.sleep(0)
        finally:
            info.context.seen.streams_open -= 1


schema = strawberry.Schema(query=Query, mutation=Mutation, subscription=Subscription)


class SmallKeeper:
    """Accepts ``Bearer good`` (``Bearer plain``: without the scope explore)."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.seen = Seen()
        self.limiter = Limiter(schema._schema, limits)
        self.documents = DocumentCache(
            schema._schema,
            max_bytes=10_000_000,
            max_tokens=self.limiter.limits.tokens,
            suggest=False,
            screen=self.limiter.screen,
        )
        self.admitted: list[int] = []
        self.good = {"good": ALL_SCOPES, "plain": frozenset({"customers:read"})}

    def known(self, headers: Mapping[str, str]) -> None:
        return None

    def recognise(self, head: RequestHead) -> None:
        return None

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        return await self.authenticate_payload({"authorization": headers.get("authorization", "")})

    async def authenticate_payload(self, payload: object) -> Caller:
        given = payload.get("authorization", "") if isinstance(payload, dict) else ""
        scopes = self.good.get(given.removeprefix("Bearer "))
        if scopes is None:
            raise RequestRefused("UNAUTHENTICATED")
        return Caller(name=given.removeprefix("Bearer "), scopes=scopes)

    async def revalidate(self, caller: Caller) -> Caller | None:
        return caller if caller.name in self.good else None

    async def document(self, request: GraphQLRequest, caller: Caller) -> Document:
        if request.query is None:
            raise RequestRefused("BAD_REQUEST")
        return self.documents.get(request.query)

    async def admit(
        self, document: Document, operation: OperationDefinitionNode, request: GraphQLRequest, caller: Caller
    ) -> Admission:
        cost = self.limiter.admit(document, operation, request.variables, caller)
        self.admitted.append(cost)
        return Admission(cost)

    def context(self, caller: Caller, record: RequestRecord) -> SmallContext:
        return SmallContext(self.seen)


def endpoint(
    keeper: SmallKeeper | None = None,
    *,
    page: HttpResponse | None = None,
    origins: OriginPolicy | None = None,
    sockets: SocketLimits | None = None,
    **limits: Any,
) -> GraphQLEndpoint:
    return GraphQLEndpoint(
        schema, keeper or SmallKeeper(), EndpointLimits(**limits), page, origins=origins, sockets=sockets
    )
