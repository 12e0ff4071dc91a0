"""The four formats of published documents, and the faults reported for each file."""

import json
from pathlib import Path

import pytest

from app.api.documents.check import Checker
from app.api.documents.formats import ManifestUnreadable, read
from app.api.limits import Limits

WALLET = "query Wallet($id: ID!) { customer(id: $id) { name paymentMethods { ...Method } } }"
METHOD = "fragment Method on PaymentMethod { label provider }"
TEXT = f"{WALLET} {METHOD}"
SDL = (Path(__file__).resolve().parents[2] / "schema.graphql").read_text("utf-8")
READS = frozenset({"customers:read", "payment_methods:read"})


def manifest(*operations: dict[str, object]) -> dict[str, object]:
    return {"format": "apollo-persisted-query-manifest", "version": 1, "operations": list(operations)}


def written(folder: Path, value: object) -> Path:
    path = folder / "documents.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
    return path


@pytest.mark.parametrize(
    ("value", "document_id"),
    [
        (manifest({"id": "a1", "name": "Wallet", "type": "query", "body": TEXT}), "a1"),
        ({"0d9f": TEXT}, "0d9f"),
        ([["0d9f", TEXT]], "0d9f"),
        ({"sha256:" + "0" * 64: TEXT}, "sha256:" + "0" * 64),
    ],
    ids=["apollo", "relay object", "relay pairs", "codegen"],
)
def test_every_format_is_read(tmp_path: Path, value: object, document_id: str) -> None:
    found, faults = read(written(tmp_path, value))
    assert faults == []
    assert [(one.document_id, one.text) for one in found] == [(document_id, TEXT)]


def test_a_folder_gathers_fragments_from_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "wallet.graphql").write_text(WALLET)
    (tmp_path / "parts.gql").write_text(METHOD)
    found, faults = read(tmp_path)
    assert faults == []
    assert [(one.document_id, one.place) for one in found] == [("Wallet", "queries/wallet.graphql")]
    good, faults = Checker.from_sdl(SDL, Limits()).check(found, partner_scopes=READS)
    assert faults == []
    assert [(one.new.operation_name, one.new.operation_kind, one.new.cost) for one in good] == [("Wallet", "query", 4)]


@pytest.mark.parametrize(
    "value",
    [
        "{",
        "[1]",
        '"text"',
        json.dumps({"format": "other", "operations": []}),
        json.dumps({"format": "apollo-persisted-query-manifest", "version": 2, "operations": []}),
        '{"a": "{ viewer { partner } }", "a": "{ viewer { partner } }"}',
    ],
)
def test_an_unknown_format_is_refused_as_a_whole(tmp_path: Path, value: str) -> None:
    with pytest.raises(ManifestUnreadable, match=r"^documents\.json: "):
        read(written(tmp_path, value))


def test_a_missing_file_and_an_empty_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestUnreadable, match="No such file"):
        read(tmp_path / "nothing.json")
    with pytest.raises(ManifestUnreadable, match=r"no \.graphql files"):
        read(tmp_path)


def test_every_fault_is_named_by_file_operation_and_position(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        manifest(
            {"id": "good", "name": "Good", "type": "query", "body": "query Good { viewer { partner } }"},
            {"id": "syntax", "name": "Syntax", "type": "query", "body": "query Syntax {"},
            {"id": "field", "name": "Field", "type": "query", "body": "query Field {\n  viewer { nothing }\n}"},
            {
                "id": "two",
                "name": "Two",
                "type": "query",
                "body": "query A { viewer { partner } } query B { viewer { partner } }",
            },
            {
                "id": "scope",
                "name": "Scope",
                "type": "query",
                "body": 'query S { customer(id: "x") { links { provider } } }',
            },
            {"id": "dear", "name": "Dear", "type": "query", "body": f"query D {{ {dear()} }}"},
            {"id": "bad id!", "name": "BadId", "type": "query", "body": "{ viewer { partner } }"},
            {"id": "empty", "name": "Empty", "type": "query", "body": " "},
        ),
    )
    found, early = read(path)
    good, late = Checker.from_sdl(SDL, Limits()).check(found, partner_scopes=READS)
    assert [one.new.document_id for one in good] == ["good"]
    lines = [str(fault) for fault in (*early, *late)]
    assert [line.split(": ")[:2] for line in lines] == [
        ["documents.json", "BadId"],
        ["documents.json", "Empty"],
        ["documents.json:1:15", "Syntax"],
        ["documents.json:2:12", "Field"],
        ["documents.json", "Two"],
        ["documents.json", "Scope"],
        ["documents.json", "Dear"],
    ]
    assert "links:read" in lines[5]


def dear() -> str:
    """Two lists of customers, each within the budget by itself."""
    lists = [", ".join(f'"cus_{alias}{number}"' for number in range(99)) for alias in "ab"]
    return " ".join(f"a{number}: nodes(ids: [{ids}]) {{ id }}" for number, ids in enumerate(lists))


@pytest.mark.parametrize(
    ("variables", "key", "is_fixed"),
    [("$id: ID!", '"delete-0123456789abcdef"', True), ("$id: ID!, $key: IdempotencyKey!", "$key", False)],
)
def test_an_idempotency_key_in_the_document_is_refused(
    tmp_path: Path, variables: str, key: str, is_fixed: bool
) -> None:
    call = f"deletePaymentMethod(input: {{id: $id, idempotencyKey: {key}}}) {{ deletedId }}"
    text = f"mutation M({variables}) {{ {call} }}"
    good, faults = Checker.from_sdl(SDL, Limits()).check(read(written(tmp_path, {"m": text}))[0], partner_scopes=None)
    assert len(good) == (not is_fixed)
    assert [str(fault) for fault in faults] == (
        ["documents.json: m: an idempotency key must be a variable: each write has its own"] if is_fixed else []
    )
    assert "0123456789abcdef" not in "".join(map(str, faults))


def test_a_subscription_and_a_mutation_know_their_kind(tmp_path: Path) -> None:
    path = written(
        tmp_path, {"m": "mutation M($i: DeletePaymentMethodInput!) { deletePaymentMethod(input: $i) { deletedId } }"}
    )
    good, faults = Checker.from_sdl(SDL, Limits()).check(read(path)[0], partner_scopes=None)
    assert faults == []
    assert [one.new.operation_kind for one in good] == ["mutation"]
    assert good[0].scopes == (frozenset({"payment_methods:write"}),)


@pytest.mark.parametrize("document_id", ["md5:0123", ":0123", "sha256:0123", "sha256:" + "A" * 64, "", "a" * 201, 5])
def test_an_invalid_id_is_not_published(tmp_path: Path, document_id: object) -> None:
    found, faults = read(written(tmp_path, [[document_id, TEXT]]))
    assert found == []
    assert len(faults) == 1


@pytest.mark.parametrize("document_id", ["x-acme:1", "acme.wallet-1_2", "sha256:" + "a" * 64, "0" * 32])
def test_ids_are_opaque(tmp_path: Path, document_id: str) -> None:
    found, faults = read(written(tmp_path, {document_id: TEXT}))
    assert ([one.document_id for one in found], faults) == ([document_id], [])
