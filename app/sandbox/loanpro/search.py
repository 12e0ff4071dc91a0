"""`POST Customers/Autopal.Search()`: an Elasticsearch-like query over flat index rows.

Supports `match`, `match_all`, `term`, `query_string` with ``*``, and `bool` with `must`, `should`, `must_not` and
`filter` (LoanPro help, "API - Searching Customers"). Text is analysed: `match` on an e-mail also matches similar ones.
"""

import fnmatch
import re
from collections.abc import Sequence
from typing import Any, Final

from app.sandbox.base import Json
from app.sandbox.loanpro.refusals import entity_error

_WORD: Final = re.compile(r"[\w.]*\w")


def row_of(customer: Json) -> Json:
    """One index row. It holds the `ssn` in clear text, like the real one."""
    scalars, address = customer["scalars"], customer["PrimaryAddress"]
    phones = sorted(customer["Phones"], key=lambda phone: -phone["isPrimary"])
    return {
        "id": customer["id"],
        "customId": scalars["customId"],
        "customerName": f"{scalars['firstName']} {scalars['lastName']}",
        "firstName": scalars["firstName"],
        "lastName": scalars["lastName"],
        "email": scalars["email"],
        "ssn": scalars["ssn"],
        "status": scalars["status"],
        "accessUserName": scalars["accessUserName"],
        "primaryPhone": phones[0]["phone"] if phones else None,
        "city": address["city"],
        "state": address["state"],
        "zipcode": address["zipcode"],
    }


def visible_row(customer: Json, now: float, delay_s: float) -> Json | None:
    """A customer's row in an index that lags `delay_s` behind; None if the customer is not indexed yet."""
    if now - customer["changed_at"] >= delay_s:
        return row_of(customer)
    row: Json | None = customer["indexed"]
    return row


def search(rows: Sequence[Json], query: Any) -> list[Json]:
    """Best match first, then by id. Raises SandboxRefusal for an unknown clause."""
    clause = query if query else {"match_all": {}}
    scored = [(_score(row, clause), row) for row in rows]
    hits = [(score, row) for score, row in scored if score > 0]
    return [row for _, row in sorted(hits, key=lambda hit: (-hit[0], hit[1]["id"]))]


def _score(row: Json, clause: Any) -> float:
    """Zero if the row does not match."""
    if not isinstance(clause, dict) or len(clause) != 1:
        raise entity_error("Invalid search query")
    ((kind, body),) = clause.items()
    if kind == "match_all":
        return 1.0
    if not isinstance(body, dict) or kind not in ("bool", "match", "match_phrase", "term", "query_string"):
        raise entity_error("Invalid search query")
    if kind == "bool":
        return _bool(row, body)
    if kind == "query_string":
        return _query_string(row, body)
    if len(body) != 1:
        raise entity_error("Invalid search query")
    ((name, wanted),) = body.items()
    if isinstance(wanted, dict):
        wanted = wanted.get("query", wanted.get("value"))
    have = row.get(name)
    if kind == "term":
        return float(_folded(have) == _folded(wanted))
    if kind == "match_phrase":
        return float(have is not None and _folded(wanted) in _folded(have))
    return float(len(_words(wanted) & _words(have)))


def _bool(row: Json, body: Json) -> float:
    must = [_score(row, clause) for name in ("must", "filter") for clause in _clauses(body, name)]
    should = [_score(row, clause) for clause in _clauses(body, "should")]
    if any(score == 0 for score in must) or any(_score(row, clause) for clause in _clauses(body, "must_not")):
        return 0.0
    if should and not must and not any(should):
        return 0.0
    return sum(must) + sum(should) or (0.0 if must or should else 1.0)


def _clauses(body: Json, name: str) -> list[Any]:
    clauses = body.get(name, [])
    return clauses if isinstance(clauses, list) else [clauses]


def _query_string(row: Json, body: Json) -> float:
    text = body.get("query")
    if not isinstance(text, str):
        raise entity_error("Invalid search query")
    names = body.get("fields") or [body["default_field"]] if body.get("default_field") else body.get("fields")
    have = {word for name in names or row for word in _words(row.get(name)) | {_folded(row.get(name))}}
    terms = [term.lower() for term in text.split() if term not in ("AND", "OR")]
    found = [any(fnmatch.fnmatchcase(word, term) for word in have) for term in terms]
    return float(sum(found)) if (all(found) if " AND " in text else any(found)) else 0.0


def _folded(value: Any) -> str:
    return "" if value is None else str(value).lower()


def _words(value: Any) -> set[str]:
    return set(_WORD.findall(_folded(value)))
