"""Published documents of partner apps, with usage counters."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.errors import ClientUnknown, DocumentChanged
from app.store.outbox import Transaction
from app.store.records import DocumentRecord, DocumentUse, NewDocument, Publication, Topic
from app.store.statements import Query, Statement, values_of
from app.store.text import is_storable, storable

_DOCUMENTS: Final = "SELECT {columns} FROM documents WHERE tenant = :tenant"
_ORDER: Final = "ORDER BY client, COALESCE(operation_name, ''), document_id"
_OF_CLIENT: Final = Query(DocumentRecord, f"{_DOCUMENTS} AND client = :client {_ORDER}")
_LIVE_OF_CLIENT: Final = Query(DocumentRecord, f"{_DOCUMENTS} AND client = :client AND retired_at IS NULL {_ORDER}")
_LIVE: Final = Query(
    DocumentRecord,
    f"{_DOCUMENTS} AND retired_at IS NULL AND client IN"
    f" (SELECT name FROM clients WHERE clients.tenant = :tenant AND disabled_at IS NULL) {_ORDER}",
)
_ONE: Final = Query(
    DocumentRecord, f"{_DOCUMENTS} AND client = :client AND document_id = :document_id AND retired_at IS NULL"
)
_LOCK_CLIENT: Final = Query(str, "SELECT name FROM clients WHERE tenant = :tenant AND name = :client FOR UPDATE")
_PUT: Final = Statement(
    """
    INSERT INTO documents (
        tenant, client, document_id, text, sha256, operation_kind, operation_name, cost, version, published_at, uses,
        for_agents
    ) VALUES (
        :tenant, :client, :document_id, :text, :sha256, :operation_kind, :operation_name, :cost, :version, :now, 0,
        :for_agents
    ) ON CONFLICT (tenant, client, document_id) DO UPDATE SET
        text = excluded.text, sha256 = excluded.sha256, operation_kind = excluded.operation_kind,
        operation_name = excluded.operation_name, cost = excluded.cost, version = excluded.version,
        published_at = excluded.published_at, retired_at = NULL, for_agents = excluded.for_agents
    """
)
_RETIRE: Final = Query(
    str,
    "UPDATE documents SET retired_at = :now WHERE tenant = :tenant AND client = :client"
    " AND document_id IN :document_ids AND retired_at IS NULL RETURNING document_id",
)
_SET_FOR_AGENTS: Final = Statement(
    "UPDATE documents SET for_agents = :for_agents WHERE tenant = :tenant AND client = :client"
    " AND document_id IN :document_ids"
)
_COUNT_USE: Final = Statement(
    """
    UPDATE documents SET
        uses = uses + :uses,
        last_used_at = CASE
            WHEN last_used_at IS NULL OR last_used_at < :last_used_at THEN :last_used_at ELSE last_used_at
        END
    WHERE tenant = :tenant AND client = :client AND document_id = :document_id
    """
)


def publish_documents(
    tx: Transaction, client: str, new: Sequence[NewDocument], *, replace: bool = False
) -> Publication:
    """Add documents atomically; `replace` also retires all other documents of the client.

    A document that is published already may become one for agents, and with `replace` no longer be one. Without
    `replace`, raises DocumentChanged for a live id with another text; a retired id can be reused with any text.
    Raises ClientUnknown.
    """
    for document in new:
        storable(document.document_id, document.text, document.operation_name)
    wanted = {document.document_id: document for document in new}
    _lock(tx, client)
    known = {record.document_id: record for record in tx.all(_OF_CLIENT, client=client)}
    live = {key: record for key, record in known.items() if record.retired_at is None}
    same = {key for key, document in wanted.items() if key in live and live[key].sha256 == document.sha256}
    changed = tuple(key for key in wanted if key in live and key not in same)
    if changed and not replace:
        raise DocumentChanged(changed)
    version = 1 + max((record.version for record in known.values()), default=0)
    fresh = [document for key, document in wanted.items() if key not in same]
    gone = tuple(key for key in live if key not in wanted) if replace else ()
    its = {"client": client, "version": version, "now": tx.now()}
    tx.execute_many(_PUT, [{**values_of(document), **its} for document in fresh])
    for flag in (True, False) if replace else (True,):
        turned = [key for key in same if wanted[key].for_agents is flag is not live[key].for_agents]
        if turned:
            tx.execute(_SET_FOR_AGENTS, client=client, document_ids=turned, for_agents=flag)
    _retire(tx, client, gone)
    tx.touch(Topic.DOCUMENTS, client)
    added = tuple(document.document_id for document in fresh)
    return Publication(version, added, tuple(key for key in wanted if key in same), gone)


def retire_documents(tx: Transaction, client: str, document_ids: Iterable[str]) -> tuple[str, ...]:
    """Retire live documents; returns the ids retired. Raises ClientUnknown."""
    _lock(tx, client)
    gone = _retire(tx, client, [key for key in document_ids if is_storable(key)])
    tx.touch(Topic.DOCUMENTS, client)
    return gone


def live_documents(db: Connection, client: str | None = None) -> list[DocumentRecord]:
    """Live documents of one client, or of all clients that are not disabled (loaded at startup)."""
    return db.all(_LIVE) if client is None else db.all(_LIVE_OF_CLIENT, client=client)


def documents_of_client(db: Connection, client: str) -> list[DocumentRecord]:
    """All documents of a client, including retired ones."""
    return db.all(_OF_CLIENT, client=client)


def find_document(db: Connection, client: str, document_id: str) -> DocumentRecord | None:
    """A live document."""
    if not (is_storable(client) and is_storable(document_id)):
        return None
    return db.one(_ONE, client=client, document_id=document_id)


def count_document_uses(tx: Transaction, uses: Collection[DocumentUse]) -> None:
    """Add a batch of uses to the counters. Unknown documents are ignored."""
    in_order = sorted(uses, key=lambda each: (each.client, each.document_id))
    tx.execute_many(_COUNT_USE, [values_of(use) for use in in_order])


def _lock(tx: Transaction, client: str) -> None:
    if not is_storable(client) or tx.one(_LOCK_CLIENT, client=client) is None:
        raise ClientUnknown("no such client")


def _retire(tx: Transaction, client: str, document_ids: Collection[str]) -> tuple[str, ...]:
    if not document_ids:
        return ()
    return tuple(sorted(tx.all(_RETIRE, client=client, document_ids=list(document_ids), now=tx.now())))


class PublishedDocuments(Repository):
    """Every change is published under `Topic.DOCUMENTS` with the client's name."""

    publish = WriteMethod(publish_documents)
    retire = WriteMethod(retire_documents)
    live = ReadMethod(live_documents)
    all = ReadMethod(documents_of_client)
    document = ReadMethod(find_document)
    count_uses = WriteMethod(count_document_uses)
