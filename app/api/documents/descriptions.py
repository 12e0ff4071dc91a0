"""The descriptions of the documents that a caller may run, and `GET /openapi.json`."""

import asyncio
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Final

from starlette.types import Scope

from app.api.disconnect import DisconnectWatch
from app.api.documents.catalogue import Catalogue
from app.api.documents.described import DescribedDocument, DescribedGraph
from app.api.documents.openapi import openapi
from app.api.documents.resolve import DocumentResolver
from app.api.headers import count_connection
from app.api.problems import RequestRefused
from app.api.protocols import RequestPolicy
from app.api.request_record import RequestRecord
from app.api.response import HttpResponse, encode
from app.caching.lru import LruCache
from app.wallet.caller import Caller

OPENAPI_PATH: Final = "/openapi.json"
_CACHED: Final = 16  # a description may take a megabyte; callers with the same documents and scopes share one


class Descriptions:
    """`make_graph` is called once, at the first request, in a thread: reading the schema takes a tenth of a second."""

    def __init__(
        self, catalogue: Catalogue, resolver: DocumentResolver, make_graph: Callable[[], DescribedGraph]
    ) -> None:
        self._catalogue = catalogue
        self.partner_of = resolver.partner_of
        self._make_graph = make_graph
        self._graph: DescribedGraph | None = None
        self._lock = asyncio.Lock()
        self._known: LruCache[str, tuple[object, list[DescribedDocument]]] = LruCache(_CACHED)

    async def of(self, caller: Caller) -> list[DescribedDocument]:
        """By name; the same list until the partner's documents change. Some may need scopes that the caller lacks."""
        partner = self.partner_of(caller)
        published = self._catalogue.of(partner)
        known = self._known.get(partner)
        if known is None or known[0] is not published:
            async with self._lock:
                if self._graph is None:
                    self._graph = await asyncio.to_thread(self._make_graph)
                made = await asyncio.to_thread(self._graph.describe, list(published.values()))
            known = published, made
            self._known.put(partner, known)
        return known[1]


class OpenApiPage:
    """`GET /openapi.json` for the caller's documents and scopes."""

    def __init__(self, policy: RequestPolicy, descriptions: Descriptions) -> None:
        self._policy = policy
        self._descriptions = descriptions
        self._known: LruCache[tuple[str, frozenset[str]], tuple[object, bytes]] = LruCache(_CACHED)

    async def __call__(
        self, scope: Scope, watch: DisconnectWatch, headers: Mapping[str, str], record: RequestRecord
    ) -> HttpResponse:
        if scope["method"] not in ("GET", "HEAD"):
            raise RequestRefused("METHOD_NOT_ALLOWED", headers={"allow": "GET, HEAD, OPTIONS"})
        record.caller = caller = await self._policy.authenticate(headers)
        count_connection(scope, caller.key)
        self._policy.charge(caller)
        documents = await self._descriptions.of(caller)
        key = self._descriptions.partner_of(caller), caller.scopes
        known = self._known.get(key)
        if known is None or known[0] is not documents:
            made: Any = openapi(documents, caller.scopes, title="Vaultgraph", version=version("vaultgraph"))
            known = documents, encode(made)
            self._known.put(key, known)
        return HttpResponse(200, known[1], headers={"cache-control": "private, no-cache"}, is_open=True)
