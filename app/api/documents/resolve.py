"""Finds the document of a request, depending on the caller.

Partners run only documents published for them, by id. Callers with a token (trusted frontends) may send text, use
automatic persisted queries, and run documents published for `own_client`, as far as the settings allow.
"""

from dataclasses import dataclass

from app.api.documents.apq import AutomaticPersistedQueries, digest_of
from app.api.documents.catalogue import Catalogue, Published
from app.api.documents.naming import hash_of, id_of, is_hash_extension
from app.api.limits.card_numbers import check_text
from app.api.operation_names import PUBLISHED
from app.api.problems import RequestRefused
from app.api.request import GraphQLRequest
from app.execution.documents import Document, DocumentCache
from app.wallet.caller import Caller, CallerKind


@dataclass(frozen=True, slots=True)
class TokenDocumentRules:
    """Rules for callers with a token. `own_client` names the partner whose documents they may run; empty: none."""

    ids_only: bool = False
    own_client: str = ""


class DocumentResolver:
    """`automatic` None disables automatic persisted queries."""

    def __init__(
        self,
        documents: DocumentCache,
        catalogue: Catalogue,
        automatic: AutomaticPersistedQueries | None,
        rules: TokenDocumentRules | None = None,
    ) -> None:
        self._documents = documents
        self._catalogue = catalogue
        self._automatic = automatic
        self._rules = rules or TokenDocumentRules()

    def partner_of(self, caller: Caller) -> str:
        """The partner whose published documents the caller may run; empty: none."""
        return caller.name if caller.kind is CallerKind.PARTNER else self._rules.own_client

    def by_text(self, request: GraphQLRequest, caller: Caller) -> Document | None:
        """The document of a request that names it by its text alone, if the caller may; else None: see `document`."""
        if request.query is None or request.document_id is not None or request.extensions:
            return None
        is_free = caller.kind is not CallerKind.PARTNER and not self._rules.ids_only
        return self._documents.get(request.query) if is_free else None

    async def document(self, request: GraphQLRequest, caller: Caller) -> Document:
        """The document, which may be invalid: its errors are reported when it is run. Raises RequestRefused."""
        document_id = id_of(request)
        if caller.kind is CallerKind.PARTNER:
            return self._published(request, document_id, caller.name)
        if self._rules.ids_only:
            return self._published(request, document_id, self._rules.own_client)
        if document_id is None:
            if request.query is None:
                raise RequestRefused("BAD_REQUEST", "The request contains no document: send query, or an id.")
            return self._documents.get(request.query)
        if request.query:
            return await self._registered(request.query, document_id, caller, is_hash_extension(request))
        return await self._by_id(document_id, caller)

    def _published(self, request: GraphQLRequest, document_id: str | None, client: str) -> Document:
        if document_id is None:
            if not request.query:
                raise RequestRefused("BAD_REQUEST", "The request contains no document: send its id.")
            raise RequestRefused("PERSISTED_QUERY_ID_REQUIRED")
        if request.query:
            raise RequestRefused("CANNOT_SEND_PQ_ID_AND_BODY")
        found = self._catalogue.find(client, document_id)
        if found is None:
            raise RequestRefused("PERSISTED_QUERY_NOT_IN_LIST")
        return self._used(found)

    def _used(self, found: Published) -> Document:
        self._catalogue.count(found)
        found.document.memo[PUBLISHED] = True
        return found.document

    async def _by_id(self, document_id: str, caller: Caller) -> Document:
        if self._rules.own_client:
            found = self._catalogue.find(self._rules.own_client, document_id)
            if found is not None:
                return self._used(found)
        if self._automatic is None:
            raise RequestRefused("PERSISTED_QUERY_NOT_SUPPORTED")
        digest = hash_of(document_id)
        text = await self._automatic.text(digest, caller.key) if digest is not None else None
        if text is None:
            raise RequestRefused("PERSISTED_QUERY_NOT_FOUND")
        return self._documents.get(text)

    async def _registered(self, text: str, document_id: str, caller: Caller, by_extension: bool) -> Document:
        """Text sent with its hash. If automatic persisted queries are disabled, the text runs but is not stored."""
        digest = hash_of(document_id)
        if digest is None:
            raise RequestRefused("PERSISTED_QUERY_HASH_MISMATCH" if by_extension else "CANNOT_SEND_PQ_ID_AND_BODY")
        if digest_of(text) != digest:
            raise RequestRefused("PERSISTED_QUERY_HASH_MISMATCH")
        check_text(text)
        document = self._documents.get(text)
        if self._automatic is not None and document.parse_error is None and not document.errors:
            await self._automatic.keep(digest, text, caller.key)
        return document
