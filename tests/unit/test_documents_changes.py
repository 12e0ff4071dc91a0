"""Schema changes are checked against published documents."""

import pytest

from app.api.documents.changes import Weight, compare, schema_from
from app.api.documents.formats import ManifestEntry
from resolvers.schema import print_sdl, subgraph_sdl

OLD = """
type Query { card(id: ID!, live: Boolean): Card cards(filter: Filter, kinds: [Kind!]): [Card!] bank: Bank }
type Card { id: ID! last4: String! brand: Brand label: String }
type Bank { id: ID! }
enum Brand { VISA OTHER }
enum Kind { DEBIT CREDIT }
input Filter { brand: Brand limit: Int nested: Nested }
input Nested { kind: Kind }
"""
CARD = "query Card($id: ID!) { card(id: $id) { last4 brand } }"
LIST = "query List($filter: Filter) { cards(filter: $filter) { id } }"
LABEL = "query Label { card(id: 1) { label } }"
BANK = "query Bank { bank { id } }"
PUBLISHED = {
    "acme": [ManifestEntry(text.split()[1].split("(")[0], text, "x.json") for text in (CARD, LIST)],
    "beta": [ManifestEntry(text.split()[1], text, "y.json") for text in (LABEL, BANK)],
}


def changed(*replacements: tuple[str, str]) -> tuple[list[tuple[str, str, tuple[str, ...]]], list[tuple[str, str]]]:
    new = OLD
    for before, after in replacements:
        assert new.count(before) == 1
        new = new.replace(before, after)
    changes, broken = compare(schema_from(OLD, "old"), schema_from(new, "new"), PUBLISHED)
    return (
        [(one.weight.value, one.description, one.used_by) for one in changes],
        [(one.partner, one.operation) for one in broken],
    )


def test_the_same_schema_changes_nothing() -> None:
    assert changed() == ([], [])


def test_a_subgraph_and_its_api_schema_are_the_same() -> None:
    """Output of `vaultgraph schema --subgraph` can be compared with that of `vaultgraph schema`, in both directions."""
    api, subgraph = (schema_from(sdl, "schema") for sdl in (print_sdl(), subgraph_sdl()))
    assert compare(api, subgraph, {}) == compare(subgraph, api, {}) == ([], [])


@pytest.mark.parametrize(
    ("before", "after", "who"),
    [
        ("label: String", "", [("beta", "Label")]),
        ("last4: String!", "last4: String", [("acme", "Card")]),
        ("bank: Bank", "", [("beta", "Bank")]),
        ("card(id: ID!, live: Boolean)", "card(id: ID!, tenant: ID!)", [("acme", "Card"), ("beta", "Label")]),
        ("limit: Int", "limit: Int!", [("acme", "List")]),
        ("limit: Int", "", [("acme", "List")]),
        ("limit: Int", "limit: Int first: Int!", [("acme", "List")]),
        ("enum Kind { DEBIT CREDIT }", "enum Kind { DEBIT }", [("acme", "List")]),
        ("kinds: [Kind!]", "", []),
        ("live: Boolean", "", []),
        ("type Bank { id: ID! }", "type Bank { id: ID! } type Unused { id: ID! }", []),
    ],
    ids=[
        "a field is gone", "an answer may be null now", "a root field is gone", "an argument is required",
        "an input is required", "an input is gone", "a new input is required", "an input's value is gone",
        "an unused argument is removed", "another one", "a new type",
    ],
)  # fmt: skip
def test_broken_documents(before: str, after: str, who: list[tuple[str, str]]) -> None:
    assert sorted(set(changed((before, after))[1])) == who


def test_a_removed_enum_value_breaks_only_documents_that_send_it() -> None:
    changes, broken = changed(("enum Brand { VISA OTHER }", "enum Brand { VISA }"))
    assert changes == [("breaking", "Enum value Brand.OTHER was removed.", ("acme/Card", "acme/List"))]
    assert broken == [("acme", "List")]


def test_changes_are_sorted_by_severity_and_list_their_users() -> None:
    changes, broken = changed(
        ("label: String", ""),
        ("enum Brand { VISA OTHER }", "enum Brand { VISA OTHER AMEX }"),
        ("bank: Bank", "bank: Bank banks: [Bank!]"),
    )
    assert [(weight, used_by) for weight, _, used_by in changes] == [
        ("breaking", ("beta/Label",)),
        ("dangerous", ("acme/Card", "acme/List")),
        ("safe", ()),
    ]
    assert [weight.value for weight in Weight] == ["breaking", "dangerous", "safe"]
    assert broken == [("beta", "Label")]
