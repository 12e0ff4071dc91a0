"""The OData subset of Caselle's lists: `$filter` with `eq` and `and`, `$top`, `$skip`, `$orderby`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from app.sandbox.base import Json
from app.sandbox.caselle.problems import CaselleProblem, CaselleRefusal

_LEXEME: Final = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>-?\d+))")
_OPTIONS: Final = frozenset({"$filter", "$top", "$skip", "$orderby"})


def bad(why: str) -> CaselleRefusal:
    return CaselleRefusal(CaselleProblem.BAD_QUERY, why)


def select(rows: Iterable[Json], query: Sequence[tuple[str, str]], fields: frozenset[str]) -> list[Json]:
    """The selected `rows`; `fields` are allowed in the query. Raises CaselleRefusal for anything outside the subset."""
    options = dict(query)
    if len(options) != len(query) or not options.keys() <= _OPTIONS:
        raise bad("Only $filter, $top, $skip and $orderby, each once.")
    wanted = _filter(options["$filter"], fields) if "$filter" in options else {}
    found = [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]
    for name, is_descending in reversed(_order(options.get("$orderby", ""), fields)):
        found.sort(key=lambda row: str(row.get(name) or ""), reverse=is_descending)
    start = _count(options, "$skip") or 0
    top = _count(options, "$top")
    return found[start:] if top is None else found[start : start + top]


def skipped(query: Sequence[tuple[str, str]]) -> int:
    """`$skip` of a list that has no other option."""
    return _count(dict(query), "$skip") or 0


def _count(options: Mapping[str, str], name: str) -> int | None:
    given = options.get(name)
    if given is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", given):
        raise bad(f"{name} must be a number.")
    return int(given)


def _order(given: str, fields: frozenset[str]) -> list[tuple[str, bool]]:
    order = []
    for part in filter(None, (part.split() for part in given.split(","))):
        if part[0] not in fields or len(part) > 2 or part[1:] not in ([], ["asc"], ["desc"]):
            raise bad("$orderby takes known properties, each asc or desc.")
        order.append((part[0], part[1:] == ["desc"]))
    return order


def _filter(given: str, fields: frozenset[str]) -> dict[str, Any]:
    lexemes = _lexemes(given)
    wanted: dict[str, Any] = {}
    while True:
        if len(lexemes) < 3 or lexemes[0][0] != "word" or lexemes[1] != ("word", "eq"):
            raise bad("$filter takes comparisons: property eq value.")
        name = lexemes[0][1]
        if name not in fields:
            raise bad("$filter names an unknown property.")
        value = _value(*lexemes[2])
        if name in wanted and wanted[name] != value:
            value = object()  # two different values for one field: no match
        wanted[name] = value
        lexemes = lexemes[3:]
        if not lexemes:
            return wanted
        if lexemes[0] != ("word", "and"):
            raise bad("$filter joins comparisons with and.")
        lexemes = lexemes[1:]


def _lexemes(given: str) -> list[tuple[str, str]]:
    found, place = [], 0
    given = given.rstrip()
    while place < len(given):
        match = _LEXEME.match(given, place)
        if match is None or match.lastgroup is None:
            raise bad("$filter cannot be read.")
        found.append((match.lastgroup, match[match.lastgroup]))
        place = match.end()
    return found


def _value(kind: str, lexeme: str) -> Any:
    if kind == "text":
        return lexeme[1:-1].replace("''", "'")
    if kind == "number":
        return int(lexeme)
    literals: dict[str, Any] = {"true": True, "false": False, "null": None}
    if lexeme not in literals:
        raise bad("$filter compares with a quoted string, a number, true, false or null.")
    return literals[lexeme]
