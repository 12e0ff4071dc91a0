"""LoanPro's OData dialect: `$filter`, `$expand`, `$orderby`, paging.

Sources: LoanPro help, "API - Filtering" and "API - Paginating Results"; there is no `in` operator. A query that does
not parse, or names a field that the rows do not have, raises `QueryError`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from app.sandbox.base import Json

PAGE_SIZE: Final = 50
Value = Callable[[Json], Any]
Expand = dict[str, Any]
"""A tree: ``{"PaymentAccounts": {"CreditCard": {}}}``."""

_TOKEN: Final = re.compile(
    r"""\s*(?:datetime'(?P<datetime>[^']*)'|'(?P<string>(?:[^']|'')*)'|(?P<number>-?\d+(?:\.\d+)?)"""
    r"""|(?P<word>[A-Za-z_][\w/]*)|(?P<punct>[(),]))"""
)
_CONSTANTS: Final[Mapping[str, Any]] = {"null": None, "true": 1, "false": 0}


class QueryError(ValueError):
    """The query is invalid. The message never quotes it."""


@dataclass(frozen=True, slots=True)
class ODataQuery:
    """The options of one read. `top` is None if absent; `wanted_ids` is set if the filter only lists ids."""

    matches: Value
    wanted_ids: tuple[int, ...] | None = None
    expand: Expand = field(default_factory=dict)
    order: tuple[tuple[str, bool], ...] = ()
    top: int | None = None
    skip: int = 0
    is_paged: bool = True


def parse_query(options: Mapping[str, str]) -> ODataQuery:
    text = options.get("$filter", "").strip()
    matches, wanted_ids = _compile(text) if text else (_match_all, None)
    return ODataQuery(
        matches=matches,
        wanted_ids=wanted_ids,
        expand=parse_expand(options.get("$expand", "")),
        order=_order(options.get("$orderby", "")),
        top=_count(options, "$top"),
        skip=_count(options, "$skip") or 0,
        # Documented without a value; clients also send `nopaging=true`.
        is_paged=options.get("nopaging", "false").lower() in ("false", "0"),
    )


def _match_all(row: Json) -> bool:
    return True


def _compile(text: str) -> tuple[Value, tuple[int, ...] | None]:
    """The predicate, and the ids if the whole filter is ``id eq 1 or id eq 2 ...``."""
    parser = _Filter(text)
    if not parser.wanted_ids:
        return parser.predicate, None
    wanted = frozenset(parser.wanted_ids)
    return lambda row: row["id"] in wanted, tuple(sorted(wanted))


def parse_expand(text: str) -> Expand:
    tree: Expand = {}
    for path in filter(None, (part.strip() for part in text.split(","))):
        branch = tree
        for step in path.split("/"):
            branch = branch.setdefault(step, {})
    return tree


def select(rows: Sequence[Json], query: ODataQuery) -> tuple[list[Json], Json]:
    """Filter, sort and page. Returns the page and its `summary`; `pageSize` stays 50 even without paging."""
    found = [row for row in rows if query.matches(row)]
    for name, is_descending in reversed(query.order):
        found.sort(key=lambda row: _sort_key(read_field(row, name)), reverse=is_descending)
    limit = query.top if query.top is not None else len(found)
    if query.is_paged:
        limit = min(limit, PAGE_SIZE)
    page = found[query.skip : query.skip + limit]
    return page, {"start": query.skip, "pageSize": PAGE_SIZE, "total": len(found)}


def read_field(row: Json, path: str) -> Any:
    value: Any = row
    for step in path.split("/"):
        if not isinstance(value, dict) or step not in value:
            raise QueryError("unknown field")
        value = value[step]
    return value


def _count(options: Mapping[str, str], name: str) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not text.isdigit():
        raise QueryError(f"{name} must be a number")
    return int(text)


def _order(text: str) -> tuple[tuple[str, bool], ...]:
    parsed: list[tuple[str, bool]] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, direction = part.partition(" ")
        if direction.strip() not in ("", "asc", "desc"):
            raise QueryError("bad $orderby")
        parsed.append((name, direction.strip() == "desc"))
    return tuple(parsed)


def _sort_key(value: Any) -> tuple[int, float, str]:
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, int | float):
        return (1, float(value), "")
    return (2, 0.0, str(value).lower())


def _instant(text: str) -> float:
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        raise QueryError("bad datetime") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


class _Filter:
    """A recursive-descent parser; `predicate` is the compiled filter."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._ids: list[int] | None = []
        self.predicate = self._or()
        if self._at != len(self._tokens):
            raise QueryError("unexpected text in $filter")

    @property
    def wanted_ids(self) -> tuple[int, ...] | None:
        """The ids if the whole filter is `id eq 1 or id eq 2 ...`, so that a read can skip the scan."""
        return tuple(self._ids) if self._ids else None

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _take(self, kind: str = "", text: str = "") -> tuple[str, str]:
        token = self._peek()
        if token[0] == "end" or (kind and token[0] != kind) or (text and token[1] != text):
            raise QueryError("unexpected text in $filter")
        self._at += 1
        return token

    def _has(self, *words: str) -> bool:
        kind, text = self._peek()
        return kind == "word" and text in words

    def _or(self) -> Value:
        terms = [self._and()]
        while self._has("or"):
            self._take()
            terms.append(self._and())
        return terms[0] if len(terms) == 1 else lambda row: any(term(row) for term in terms)

    def _and(self) -> Value:
        terms = [self._not()]
        while self._has("and"):
            self._take()
            self._ids = None
            terms.append(self._not())
        return terms[0] if len(terms) == 1 else lambda row: all(term(row) for term in terms)

    def _not(self) -> Value:
        if not self._has("not"):
            return self._comparison()
        self._take()
        self._ids = None
        inner = self._not()
        return lambda row: not inner(row)

    def _comparison(self) -> Value:
        start = self._at
        left = self._operand()
        if not self._has(*_COMPARE):
            if self._tokens[start][1] != "(":
                self._ids = None
            return left
        operator = self._take()[1]
        literal = self._peek()
        right = self._operand()
        if self._ids is not None:
            is_id = self._tokens[start : start + 2] == [("word", "id"), ("word", "eq")] and literal[0] == "number"
            if is_id and literal[1].isdigit():
                self._ids.append(int(literal[1]))
            else:
                self._ids = None
        compare = _COMPARE[operator]
        return lambda row: compare(*_equal(left(row), right(row)))

    def _operand(self) -> Value:
        kind, text = self._take()
        if (kind, text) == ("punct", "("):
            inner = self._or()
            self._take("punct", ")")
            return inner
        if kind == "number":
            number = float(text) if "." in text else int(text)
            return lambda row: number
        if kind == "string":
            return lambda row: text
        if kind == "datetime":
            instant = _instant(text)
            return lambda row: instant
        if kind != "word" or text in _RESERVED:
            raise QueryError("unexpected text in $filter")
        if self._peek() == ("punct", "("):
            return self._function(text)
        if text in _CONSTANTS:
            constant = _CONSTANTS[text]
            return lambda row: constant
        return lambda row: read_field(row, text)

    def _function(self, name: str) -> Value:
        if name not in _FUNCTIONS:
            raise QueryError("unknown function")
        arity, run = _FUNCTIONS[name]
        self._ids = None
        self._take("punct", "(")
        arguments = [self._operand()]
        while self._peek() == ("punct", ","):
            self._take()
            arguments.append(self._operand())
        self._take("punct", ")")
        if len(arguments) != arity:
            raise QueryError("wrong number of arguments")
        return lambda row: run(*(_text(argument(row)) for argument in arguments))


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise QueryError("unexpected character in $filter")
        kind = match.lastgroup
        value = match[kind]
        found.append((kind, value.replace("''", "'") if kind == "string" else value))
        at = match.end()
    return found


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _equal(left: Any, right: Any) -> tuple[Any, Any]:
    """Compares as numbers even if one side was quoted; text is compared exactly."""
    if isinstance(left, int | float) == isinstance(right, int | float):
        return left, right
    if left is None or right is None:
        return left, right
    try:
        return float(left), float(right)
    except (TypeError, ValueError):
        return str(left), str(right)


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda left, right: left is not None and right is not None and test(left, right)


_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": lambda left, right: bool(left == right),
    "ne": lambda left, right: bool(left != right),
    "gt": _ordered(lambda left, right: left > right),
    "ge": _ordered(lambda left, right: left >= right),
    "lt": _ordered(lambda left, right: left < right),
    "le": _ordered(lambda left, right: left <= right),
}
_RESERVED: Final = frozenset({*_COMPARE, "and", "or", "not", "in"})
_FUNCTIONS: Final[Mapping[str, tuple[int, Callable[..., Any]]]] = {
    "substringof": (2, lambda part, whole: part in whole),
    "startswith": (2, lambda whole, part: whole.startswith(part)),
    "endswith": (2, lambda whole, part: whole.endswith(part)),
    "tolower": (1, lambda text: text.lower()),
    "toupper": (1, lambda text: text.upper()),
    "trim": (1, lambda text: text.strip()),
    "length": (1, len),
}
