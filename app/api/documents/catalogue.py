"""Published documents in memory, loaded at startup and reloaded when a publication is announced.

A document is parsed, validated, priced and planned once, in the background; a request that needs it earlier does so
itself. While the store is unavailable, the loaded documents stay in use.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from app.api.documents.naming import spellings
from app.execution.documents import Document
from app.store.errors import RETRY_STORE_S, StoreUnavailable, logged
from app.store.records import DocumentRecord, DocumentUse

_log = logging.getLogger("vaultgraph.documents")
_READY_WITHIN_S: Final = 10.0

Make = Callable[[str], Document]


class PublishedStore(Protocol):
    async def live(self, client: str | None = None) -> list[DocumentRecord]: ...

    async def count_uses(self, uses: Collection[DocumentUse]) -> None: ...


class Published:
    """One document of one partner. Partners that publish the same text share its compiled form."""

    __slots__ = ("_compiled", "client", "document_id", "for_agents", "last_used_at", "uses", "version")

    def __init__(self, record: DocumentRecord, compiled: "_Compiled") -> None:
        self.client = record.client
        self.document_id = record.document_id
        self.version = record.version
        self.for_agents = record.for_agents
        self.uses = 0
        self.last_used_at = 0.0
        self._compiled = compiled

    @property
    def document(self) -> Document:
        return self._compiled.document

    @property
    def text(self) -> str:
        return self._compiled.text

    @property
    def is_ready(self) -> bool:
        """True if `document` has been compiled."""
        return self._compiled.is_made


_NONE: Final[Mapping[str, Published]] = {}


class _Compiled:
    __slots__ = ("_document", "_make", "text", "users")

    def __init__(self, text: str, make: Make) -> None:
        self.text = text
        self.users = 0
        self._make = make
        self._document: Document | None = None

    @property
    def is_made(self) -> bool:
        return self._document is not None

    @property
    def document(self) -> Document:
        if self._document is None:
            self._document = self._make(self.text)
        return self._document


class Catalogue:
    """Call `load` before the first request, `run` in the background, `finish` at shutdown.

    `make` parses, validates, prices and plans a text. `forget` triggers a reload.
    """

    def __init__(
        self,
        store: PublishedStore,
        make: Make,
        *,
        count_every_s: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._make = make
        self._count_every_s = count_every_s
        self._clock = clock
        self._partners: dict[str, Mapping[str, Published]] = {}
        self._texts: dict[str, _Compiled] = {}
        self._used: set[Published] = set()
        self._stale: set[str | None] = set()
        self._woken = asyncio.Event()

    def __len__(self) -> int:
        return sum(len(documents) for documents in self._partners.values())

    def knows(self, client: str) -> bool:
        return client in self._partners

    def of(self, client: str) -> Mapping[str, Published]:
        """The live documents of this partner by id; another mapping after each change."""
        return self._partners.get(client, _NONE)

    def find(self, client: str, document_id: str) -> Published | None:
        """A live document of this partner, by any spelling of its id."""
        documents = self._partners.get(client)
        if documents is None:
            return None
        for spelling in spellings(document_id):
            found = documents.get(spelling)
            if found is not None:
                return found
        return None

    def count(self, published: Published) -> None:
        """Count a use. Counts are kept in memory and written every few seconds."""
        published.uses += 1
        published.last_used_at = self._clock()
        self._used.add(published)

    async def load(self) -> None:
        """Load all documents and compile them within a time limit; `run` compiles the rest."""
        self._set_all(await self._store.live())
        give_up_at = time.monotonic() + _READY_WITHIN_S
        for compiled in list(self._texts.values()):
            if time.monotonic() > give_up_at:
                _log.warning("published documents are still being prepared while requests are served")
                break
            await _prepared(compiled)
        self._log_invalid(self._partners)

    def forget(self, client: str | None = None) -> None:
        """Reload the documents of this partner, or of all partners if None."""
        self._stale.add(client)
        self._woken.set()

    async def run(self) -> None:
        """Reload and write counts until cancelled."""
        await asyncio.gather(self._keep_current(), self._keep_counting())

    async def flush(self) -> None:
        """Write the uses counted so far. If the store raises, the counts are kept and the exception propagates."""
        rows = self._take_uses()
        if not rows:
            return
        try:
            await self._store.count_uses([use for _, use in rows])
        except BaseException:
            for published, use in rows:
                published.uses += use.uses
                self._used.add(published)
            raise

    async def finish(self) -> None:
        """Write the counts if possible; a failure is not raised, since the process is stopping."""
        with logged(_log, "the use of documents could not be written"):
            await self.flush()

    async def _keep_counting(self) -> None:
        while True:
            await asyncio.sleep(self._count_every_s)
            await self.finish()

    async def _keep_current(self) -> None:
        while True:
            await self._make_ready()
            await self._woken.wait()
            self._woken.clear()
            stale, self._stale = self._stale, set()
            try:
                await self._read(stale)
            except Exception as error:  # noqa: BLE001 - what is known stays in force until the store can be read
                if not isinstance(error, StoreUnavailable):
                    _log.exception("published documents could not be read; trying again")
                self._stale |= stale
                await asyncio.sleep(RETRY_STORE_S)
                self._woken.set()

    async def _read(self, stale: Collection[str | None]) -> None:
        if None in stale:
            self._set_all(await self._store.live())
            self._log_invalid(self._partners)
            return
        for client in stale:
            assert client is not None
            self._set(client, await self._store.live(client))
            self._log_invalid([client])

    def _set_all(self, records: Iterable[DocumentRecord]) -> None:
        by_client: dict[str, list[DocumentRecord]] = {}
        for record in records:
            by_client.setdefault(record.client, []).append(record)
        for client in self._partners.keys() - by_client.keys():
            self._set(client, [])
        for client, rows in by_client.items():
            self._set(client, rows)

    def _set(self, client: str, records: Iterable[DocumentRecord]) -> None:
        """Swaps the partner's documents in one assignment. A document with unchanged text stays the same object."""
        before = self._partners.get(client, {})
        now: dict[str, Published] = {}
        for record in records:
            previous = before.get(record.document_id)
            if previous is not None and previous.text == record.text:
                previous.for_agents = record.for_agents
                now[record.document_id] = previous
                continue
            compiled = self._texts.get(record.text)
            if compiled is None:
                compiled = self._texts[record.text] = _Compiled(record.text, self._make)
            compiled.users += 1
            now[record.document_id] = Published(record, compiled)
        for document_id, published in before.items():
            if now.get(document_id) is not published:
                self._release(published)
        if now:
            self._partners[client] = now
        else:
            self._partners.pop(client, None)

    def _release(self, published: Published) -> None:
        compiled = published._compiled
        compiled.users -= 1
        if not compiled.users:
            self._texts.pop(compiled.text, None)

    async def _make_ready(self) -> None:
        for compiled in list(self._texts.values()):
            await _prepared(compiled)

    def _log_invalid(self, clients: Iterable[str]) -> None:
        for client in clients:
            for document_id, published in self._partners.get(client, {}).items():
                if published.is_ready and (published.document.errors or published.document.parse_error):
                    _log.error("document %s of %s does not fit this schema: it is refused", document_id, client)

    def _take_uses(self) -> list[tuple[Published, DocumentUse]]:
        used, self._used = self._used, set()
        rows: list[tuple[Published, DocumentUse]] = []
        for one in used:
            last = datetime.fromtimestamp(one.last_used_at, UTC)
            rows.append((one, DocumentUse(one.client, one.document_id, one.uses, last)))
            one.uses = 0
        return rows


async def _prepared(compiled: _Compiled) -> None:
    """Compile (milliseconds at most), then yield to requests."""
    if not compiled.is_made:
        try:
            _ = compiled.document
        except Exception:  # noqa: BLE001 - one document must not keep the others from being ready
            _log.exception("a published document could not be prepared")
        await asyncio.sleep(0)
