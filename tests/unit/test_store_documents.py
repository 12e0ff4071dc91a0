"""Published documents: atomic publication, change notices, usage counters."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest

from app.store import Store
from app.store.errors import ClientUnknown, DocumentChanged
from app.store.records import DocumentRecord, DocumentUse, NewDocument, Publication, Topic
from tests.support.stores import HandClock


def document(name: str, text: str | None = None) -> NewDocument:
    text = text or f"query {name} {{ viewer {{ partner }} }}"
    return NewDocument(
        document_id=f"id-{name}",
        text=text,
        sha256=sha256(text.encode()).hexdigest(),
        operation_kind="query",
        operation_name=name,
        cost=4,
    )


A, B, C = (document(name) for name in "ABC")


@pytest.fixture
async def acme(store: Store) -> str:
    return (await store.clients.add("acme", key_hash="h1", scopes=[])).name


async def live(store: Store, client: str = "acme") -> list[str]:
    return [record.document_id for record in await store.documents.live(client)]


async def test_a_document_is_published_whole(store: Store, acme: str, clock: HandClock) -> None:
    assert await store.documents.publish(acme, [A]) == Publication(1, ("id-A",), (), ())
    assert await store.documents.document(acme, "id-A") == DocumentRecord(
        client=acme,
        document_id="id-A",
        text=A.text,
        sha256=A.sha256,
        operation_kind="query",
        operation_name="A",
        cost=4,
        version=1,
        published_at=clock(),
        retired_at=None,
        uses=0,
        last_used_at=None,
    )


async def test_publishing_adds_and_replacing_retires_the_rest(store: Store, acme: str, clock: HandClock) -> None:
    await store.documents.publish(acme, [A, B])
    clock.advance(days=1)
    assert await store.documents.publish(acme, [B, C]) == Publication(2, ("id-C",), ("id-B",), ())
    assert await live(store) == ["id-A", "id-B", "id-C"]
    assert await store.documents.publish(acme, [C], replace=True) == Publication(3, (), ("id-C",), ("id-A", "id-B"))
    assert await live(store) == ["id-C"]
    assert await store.documents.publish(acme, [A]) == Publication(3, ("id-A",), (), ())
    assert [(each.document_id, each.version) for each in await store.documents.all(acme)] == [
        ("id-A", 3),
        ("id-B", 1),
        ("id-C", 2),
    ]
    assert await store.documents.document(acme, "id-B") is None


async def test_a_live_id_can_change_its_text_only_with_replace(store: Store, acme: str) -> None:
    await store.documents.publish(acme, [A, B])
    other = replace(document("A", "query A { viewer { scopes } }"))
    with pytest.raises(DocumentChanged) as caught:
        await store.documents.publish(acme, [C, other])
    assert caught.value.document_ids == ("id-A",)
    assert await live(store) == ["id-A", "id-B"]
    assert await store.documents.publish(acme, [other], replace=True) == Publication(2, ("id-A",), (), ("id-B",))
    found = await store.documents.document(acme, "id-A")
    assert found is not None
    assert found.text == other.text


async def test_documents_become_agents_and_stay_so_until_replaced(store: Store, acme: str) -> None:
    async def for_agents() -> list[str]:
        return [record.document_id for record in await store.documents.live(acme) if record.for_agents]

    await store.documents.publish(acme, [A, replace(B, for_agents=True)])
    assert await for_agents() == ["id-B"]
    assert await store.documents.publish(acme, [replace(A, for_agents=True), B]) == Publication(
        2, (), ("id-A", "id-B"), ()
    )
    assert await for_agents() == ["id-A", "id-B"]
    await store.documents.publish(acme, [A, replace(B, for_agents=True)], replace=True)
    assert await for_agents() == ["id-B"]
    await store.documents.retire(acme, ["id-B"])
    await store.documents.publish(acme, [B])
    assert await for_agents() == []


async def test_clients_do_not_share_documents(store: Store, acme: str) -> None:
    await store.clients.add("beta", key_hash="h2", scopes=[])
    await store.documents.publish(acme, [A])
    await store.documents.publish("beta", [B])
    assert await store.documents.document("beta", "id-A") is None
    assert [each.client for each in await store.documents.live()] == ["acme", "beta"]
    await store.clients.enable("beta", is_enabled=False)
    assert [each.client for each in await store.documents.live()] == ["acme"]
    for strange in ("nobody", "nul\x00"):
        assert await store.documents.document(strange, "id-A") is None
        with pytest.raises(ClientUnknown):
            await store.documents.publish(strange, [A])


async def test_retiring_returns_the_ids_that_were_live(store: Store, acme: str) -> None:
    await store.documents.publish(acme, [A, B])
    assert await store.documents.retire(acme, ["id-A", "id-X", "nul\x00"]) == ("id-A",)
    assert await store.documents.retire(acme, ["id-A"]) == ()
    assert await live(store) == ["id-B"]


async def test_uses_are_added_up(store: Store, acme: str, clock: HandClock) -> None:
    await store.documents.publish(acme, [A, B])
    first, second = clock(), clock() + timedelta(seconds=5)
    await store.documents.count_uses([DocumentUse(acme, "id-A", 3, second), DocumentUse(acme, "id-X", 1, first)])
    await store.documents.count_uses([DocumentUse(acme, "id-A", 2, first)])
    counted = [(each.document_id, each.uses, each.last_used_at) for each in await store.documents.all(acme)]
    assert counted == [("id-A", 5, second), ("id-B", 0, None)]
    await store.documents.publish(acme, [A])
    assert (await store.documents.all(acme))[0].uses == 5


async def test_publications_appear_in_the_change_log(store: Store, acme: str) -> None:
    before = await store.changes.version()
    await store.documents.publish(acme, [A])
    await store.documents.retire(acme, ["id-A"])
    seen = (await store.changes.since(before)).rows
    assert [(change.topic, change.key) for change in seen] == [(Topic.DOCUMENTS, "acme")] * 2


async def test_a_large_publication_is_one_commit(store: Store, acme: str) -> None:
    many = [document(f"D{number:04d}") for number in range(1500)]
    published = await store.documents.publish(acme, many)
    assert (published.version, len(published.added)) == (1, 1500)
    assert len(await store.documents.live(acme)) == 1500
