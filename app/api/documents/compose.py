"""Builds the document services from settings."""

from collections.abc import Callable, Mapping
from typing import Any

from app.api.documents.apq import AutomaticPersistedQueries, LocalApqStore, RedisApqStore
from app.api.documents.catalogue import Catalogue, PublishedStore
from app.api.documents.described import DescribedGraph
from app.api.documents.descriptions import OPENAPI_PATH, Descriptions, OpenApiPage
from app.api.documents.resolve import DocumentResolver, TokenDocumentRules
from app.api.limits import Limiter
from app.api.protocols import Door, RequestPolicy
from app.execution.documents import Document, DocumentCache
from app.settings.model import Settings
from app.store.records import ChangeNotice, Topic


class DocumentServices:
    """Call `start` before the first request, `run` in the background, `stop` at shutdown, `on_change` for changes."""

    def __init__(
        self,
        settings: Settings,
        store: PublishedStore,
        documents: DocumentCache,
        limiter: Limiter,
        print_sdl: Callable[[], str],
        scalars: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """`scalars` has the JSON Schema of each scalar."""

        def make(text: str) -> Document:
            document = documents.prepare(text)
            limiter.prepare(document)
            if document.plans is not None:
                document.plans.prepare(document)
            return document

        section = settings.documents
        self.catalogue = Catalogue(store, make)
        self._automatic = _automatic(settings) if section.automatic else None
        rules = TokenDocumentRules(section.ids_only, section.own_client)
        self.resolver = DocumentResolver(documents, self.catalogue, self._automatic, rules)
        self.descriptions = Descriptions(self.catalogue, self.resolver, lambda: DescribedGraph(print_sdl(), scalars))

    def doors(self, policy: RequestPolicy) -> dict[str, Door]:
        return {OPENAPI_PATH: OpenApiPage(policy, self.descriptions)}

    async def start(self) -> None:
        await self.catalogue.load()

    async def run(self) -> None:
        await self.catalogue.run()

    async def stop(self) -> None:
        if self._automatic is not None:
            await self._automatic.close()
        await self.catalogue.finish()

    def on_change(self, change: ChangeNotice | None) -> None:
        """None means that any document may have changed."""
        if change is None:
            self.catalogue.forget()
        elif change.topic is Topic.DOCUMENTS or (change.topic is Topic.CLIENT and not self.catalogue.knows(change.key)):
            self.catalogue.forget(change.key)


def _automatic(settings: Settings) -> AutomaticPersistedQueries:
    section = settings.documents
    url = settings.store.redis_url.reveal()
    share_bytes = int(section.automatic_bytes * section.automatic_client_share)
    return AutomaticPersistedQueries(
        LocalApqStore(max_bytes=section.automatic_bytes, share=section.automatic_client_share),
        RedisApqStore(url, share_bytes=share_bytes) if url else None,
    )
