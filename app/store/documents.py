"""Published documents of partner apps, with usage counters."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Row, Select, case, func, select, update

from app.store.database import Database, Tx
from app.store.errors import ClientUnknown, DocumentChanged
from app.store.records import DocumentRecord, DocumentUse, NewDocument, Publication, Topic
from app.store.tables import clients, documents
from app.store.text import is_storable, storable


class PublishedDocuments:
    """Every change is published under `Topic.DOCUMENTS` with the client's name."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def publish(
        self, client: str, new: Sequence[NewDocument], *, replace: bool = False, tx: Tx | None = None
    ) -> Publication:
        """Add documents atomically; `replace` also retires all other documents of the client.

        Without `replace`, raises DocumentChanged for a live id with another text; a retired id can be reused with any
        text. Raises ClientUnknown.
        """
        for document in new:
            storable(document.document_id, document.text, document.operation_name)
        wanted = {document.document_id: document for document in new}
        async with self._db.writing(tx) as own:
            await self._lock(client, own)
            known = {record.document_id: record for record in await self._of(client, own)}
            live = {key: record for key, record in known.items() if record.retired_at is None}
            same = {key for key, document in wanted.items() if key in live and live[key].sha256 == document.sha256}
            changed = tuple(key for key in wanted if key in live and key not in same)
            if changed and not replace:
                raise DocumentChanged(changed)
            version = 1 + max((record.version for record in known.values()), default=0)
            fresh = [document for key, document in wanted.items() if key not in same]
            gone = tuple(key for key in live if key not in wanted) if replace else ()
            await self._write(client, fresh, version, own)
            await self._retire(client, gone, own)
            own.touch(Topic.DOCUMENTS, client)
        added = tuple(document.document_id for document in fresh)
        return Publication(version, added, tuple(key for key in wanted if key in same), gone)

    async def retire(self, client: str, document_ids: Iterable[str], *, tx: Tx | None = None) -> tuple[str, ...]:
        """Retire live documents; returns the ids retired. Raises ClientUnknown."""
        async with self._db.writing(tx) as own:
            await self._lock(client, own)
            gone = await self._retire(client, [key for key in document_ids if is_storable(key)], own)
            own.touch(Topic.DOCUMENTS, client)
            return gone

    async def live(self, client: str | None = None) -> list[DocumentRecord]:
        """Live documents of one client, or of all clients that are not disabled (loaded at startup)."""
        query = self._all().where(documents.c.retired_at.is_(None))
        if client is not None:
            return await self._read(query.where(documents.c.client == client))
        enabled = select(clients.c.name).where(clients.c.tenant == self._db.tenant, clients.c.disabled_at.is_(None))
        return await self._read(query.where(documents.c.client.in_(enabled)))

    async def all(self, client: str) -> list[DocumentRecord]:
        """All documents of a client, including retired ones."""
        return await self._read(self._all().where(documents.c.client == client))

    async def document(self, client: str, document_id: str) -> DocumentRecord | None:
        """A live document."""
        if not (is_storable(client) and is_storable(document_id)):
            return None
        query = self._all().where(
            documents.c.client == client, documents.c.document_id == document_id, documents.c.retired_at.is_(None)
        )
        found = await self._read(query)
        return found[0] if found else None

    async def count_uses(self, uses: Collection[DocumentUse]) -> None:
        """Add a batch of uses to the counters. Unknown documents are ignored."""
        async with self._db.writing() as tx:
            for use in sorted(uses, key=lambda each: (each.client, each.document_id)):
                last = documents.c.last_used_at
                is_later = last.is_(None) | (last < use.last_used_at)
                await tx.conn.execute(
                    update(documents)
                    .where(
                        documents.c.tenant == self._db.tenant,
                        documents.c.client == use.client,
                        documents.c.document_id == use.document_id,
                    )
                    .values(
                        uses=documents.c.uses + use.uses,
                        last_used_at=case((is_later, use.last_used_at), else_=last),
                    )
                )

    async def _lock(self, client: str, tx: Tx) -> None:
        query = select(clients.c.name).where(clients.c.tenant == self._db.tenant, clients.c.name == client)
        if not is_storable(client) or (await tx.conn.execute(query.with_for_update())).first() is None:
            raise ClientUnknown("no such client")

    async def _of(self, client: str, tx: Tx) -> list[DocumentRecord]:
        rows = await tx.conn.execute(self._all().where(documents.c.client == client))
        return [_record(row) for row in rows]

    async def _write(self, client: str, new: Sequence[NewDocument], version: int, tx: Tx) -> None:
        if not new:
            return
        insert = self._db.insert(documents)
        names = ("text", "sha256", "operation_kind", "operation_name", "cost", "version", "published_at", "retired_at")
        statement = insert.on_conflict_do_update(
            index_elements=["tenant", "client", "document_id"], set_={name: insert.excluded[name] for name in names}
        )
        now = self._db.now()
        rows = [
            {
                "tenant": self._db.tenant,
                "client": client,
                "document_id": document.document_id,
                "text": document.text,
                "sha256": document.sha256,
                "operation_kind": document.operation_kind,
                "operation_name": document.operation_name,
                "cost": document.cost,
                "version": version,
                "published_at": now,
                "retired_at": None,
            }
            for document in new
        ]
        await tx.conn.execute(statement, rows)

    async def _retire(self, client: str, document_ids: Collection[str], tx: Tx) -> tuple[str, ...]:
        if not document_ids:
            return ()
        statement = (
            update(documents)
            .where(
                documents.c.tenant == self._db.tenant,
                documents.c.client == client,
                documents.c.document_id.in_(list(document_ids)),
                documents.c.retired_at.is_(None),
            )
            .values(retired_at=self._db.now())
            .returning(documents.c.document_id)
        )
        return tuple(sorted((await tx.conn.execute(statement)).scalars()))

    def _all(self) -> Select[Any]:
        order = (documents.c.client, func.coalesce(documents.c.operation_name, ""), documents.c.document_id)
        return select(documents).where(documents.c.tenant == self._db.tenant).order_by(*order)

    async def _read(self, query: Select[Any]) -> list[DocumentRecord]:
        async with self._db.reading() as conn:
            return [_record(row) for row in await conn.execute(query)]


def _record(row: Row[Any]) -> DocumentRecord:
    return DocumentRecord(
        client=row.client,
        document_id=row.document_id,
        text=row.text,
        sha256=row.sha256,
        operation_kind=row.operation_kind,
        operation_name=row.operation_name,
        cost=row.cost,
        version=row.version,
        published_at=row.published_at,
        retired_at=row.retired_at,
        uses=row.uses,
        last_used_at=row.last_used_at,
    )
