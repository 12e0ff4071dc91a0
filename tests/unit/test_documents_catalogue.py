"""The catalogue of published documents: loaded once, compiled once, kept during store outages."""

import asyncio
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from app.api.documents.catalogue import Catalogue
from app.api.documents.naming import spellings
from app.execution.documents import Document
from app.store.records import DocumentRecord, DocumentUse

H = "0123456789abcdef" * 4


def record(client: str, document_id: str, text: str) -> DocumentRecord:
    return DocumentRecord(
        client=client,
        document_id=document_id,
        text=text,
        sha256=sha256(text.encode()).hexdigest(),
        operation_kind="query",
        operation_name=None,
        cost=0,
        version=1,
        published_at=datetime(2026, 1, 1, tzinfo=UTC),
        retired_at=None,
        uses=0,
        last_used_at=None,
    )


class Store:
    """A store in a list, which can fail."""

    def __init__(self, *rows: DocumentRecord) -> None:
        self.rows = list(rows)
        self.is_down = False
        self.counted: list[DocumentUse] = []

    async def live(self, client: str | None = None) -> list[DocumentRecord]:
        if self.is_down:
            raise OSError("the store is down")
        return [row for row in self.rows if client in (None, row.client)]

    async def count_uses(self, uses: Collection[DocumentUse]) -> None:
        if self.is_down:
            raise OSError("the store is down")
        self.counted.extend(uses)


class Made:
    """Compiles documents and records which."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str) -> Document:
        self.texts.append(text)
        return Document(text, None, {}, {})


Scene = tuple[Catalogue, Store, Made]


async def scene(*rows: DocumentRecord) -> Scene:
    store, made = Store(*rows), Made()
    catalogue = Catalogue(store, made, count_every_s=3600, clock=lambda: 1_800_000_000.0)
    await catalogue.load()
    return catalogue, store, made


async def running(catalogue: Catalogue, condition: Callable[[], bool]) -> None:
    """Run the catalogue until the condition holds."""
    task = asyncio.create_task(catalogue.run())
    try:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.005)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_every_text_is_compiled_once_before_the_first_request() -> None:
    catalogue, _, made = await scene(record("acme", "a", "T1"), record("acme", "b", "T2"), record("beta", "c", "T1"))
    assert sorted(made.texts) == ["T1", "T2"]
    found = [catalogue.find("acme", "a"), catalogue.find("beta", "c")]
    assert [one and one.document.text for one in found] == ["T1", "T1"]
    assert sorted(made.texts) == ["T1", "T2"], "partners share what was made of one text"
    assert len(catalogue) == 3
    assert catalogue.find("beta", "a") is None
    assert catalogue.find("nobody", "a") is None


@pytest.mark.parametrize(
    ("published", "asked"),
    [(H, H), (H, f"sha256:{H}"), (f"sha256:{H}", H), (f"sha256:{H}", f"sha256:{H}"), ("Wallet", "Wallet")],
)
async def test_a_hash_is_found_bare_and_prefixed(published: str, asked: str) -> None:
    catalogue, _, _ = await scene(record("acme", published, "T"))
    found = catalogue.find("acme", asked)
    assert found is not None
    assert found.document_id == published


async def test_of_two_spellings_the_exact_one_wins() -> None:
    catalogue, _, _ = await scene(record("acme", H, "bare"), record("acme", f"sha256:{H}", "prefixed"))
    found = [catalogue.find("acme", asked) for asked in spellings(H)]
    assert [one and one.text for one in found] == ["bare", "prefixed"]


async def test_a_change_is_reloaded_and_only_new_texts_are_compiled() -> None:
    catalogue, store, made = await scene(record("acme", "a", "T1"), record("acme", "b", "T2"))
    kept = catalogue.find("acme", "a")
    store.rows = [record("acme", "a", "T1"), record("acme", "c", "T3")]
    catalogue.forget("acme")
    await running(catalogue, lambda: made.texts == ["T1", "T2", "T3"])
    assert catalogue.find("acme", "a") is kept
    assert catalogue.find("acme", "b") is None
    store.rows = []
    catalogue.forget("acme")
    await running(catalogue, lambda: not catalogue.knows("acme"))
    assert catalogue._texts == {}, "nothing of what is gone is kept"


async def test_everything_is_reloaded_when_the_change_is_unknown() -> None:
    catalogue, store, _ = await scene(record("acme", "a", "T1"), record("beta", "b", "T2"))
    store.rows = [record("gamma", "c", "T3")]
    catalogue.forget()
    await running(catalogue, lambda: catalogue.find("gamma", "c") is not None)
    assert not catalogue.knows("acme")
    assert not catalogue.knows("beta")


async def test_documents_stay_while_the_store_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.documents.catalogue.RETRY_STORE_S", 0.01)
    catalogue, store, _ = await scene(record("acme", "a", "T1"))
    store.rows, store.is_down = [record("acme", "b", "T2")], True
    catalogue.forget("acme")

    async def comes_back() -> None:
        await asyncio.sleep(0.05)
        assert catalogue.find("acme", "a") is not None
        store.is_down = False

    back = asyncio.create_task(comes_back())
    await running(catalogue, lambda: catalogue.find("acme", "b") is not None)
    await back
    assert catalogue.find("acme", "a") is None


async def test_a_document_that_cannot_be_compiled_does_not_block_the_others() -> None:
    class Failing(Made):
        def __call__(self, text: str) -> Document:
            if text == "T1":
                raise RuntimeError("a bug")
            return super().__call__(text)

    store, made = Store(record("acme", "a", "T1"), record("acme", "b", "T2")), Failing()
    catalogue = Catalogue(store, made)
    await catalogue.load()
    assert made.texts == ["T2"]


async def test_uses_are_written_together_and_not_lost_when_the_store_fails() -> None:
    catalogue, store, _ = await scene(record("acme", "a", "T1"), record("acme", "b", "T2"))
    one = catalogue.find("acme", "a")
    assert one is not None
    for _ in range(3):
        catalogue.count(one)
    store.is_down = True
    await catalogue.finish()
    catalogue.count(one)
    store.is_down = False
    await catalogue.finish()
    await catalogue.finish()
    assert store.counted == [DocumentUse("acme", "a", 4, datetime.fromtimestamp(1_800_000_000, UTC))]


async def test_an_empty_list_is_a_list() -> None:
    catalogue, _, _ = await scene()
    assert (len(catalogue), catalogue.find("acme", "a")) == (0, None)
