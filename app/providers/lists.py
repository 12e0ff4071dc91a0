"""Lists in vault replies: distinguishing them from errors, and pagination."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct, structs

from app.errors import VaultError
from app.http.message import VaultRequest
from app.providers.values import flag, integer, text
from app.vault.provider import Call

MOST_PAGES: Final = 200
_ERRORS: Final = frozenset(
    ("error", "errors", "fault", "exception", "exceptionmessage", "modelstate", "errorcode", "error_code")
)
_ABOUT_AN_ERROR: Final = frozenset(("message", "detail", "title", "code", "reason", "responsemessage"))
_BESIDE_AN_ERROR: Final = frozenset(("status", "type", "field", "path", "property", "trace_id", "instance"))
_NO_ERROR: Final = frozenset(("ok", "success", "successful"))
_NEXT_LINKS: Final = ("@odata.nextLink", "odata.nextLink", "nextLink", "next_link", "__next", "next")
_MORE: Final = ("has_more", "hasMore", "HasMore")
_TOTALS: Final = ("@odata.count", "odata.count", "__count", "total", "total_count", "totalCount")
_PAGING: Final = frozenset((*_NEXT_LINKS, *_MORE, *_TOTALS))
_LINK_HEADER: Final = re.compile(r"<([^<>]*)>\s*;[^,<]*\brel=\"?next\b", re.IGNORECASE)
_SENDABLE_QUERY: Final = re.compile(r"[A-Za-z0-9!$%&'()*+,./:;=?@\[\]_~-]{1,4000}").fullmatch
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_SHARE_OF_TIME: Final = 0.85


_ODD: Final = sorted({*_ERRORS, *(name.lower() for name in _PAGING)} - {"total"})
_INITIALS: Final = "".join(sorted({name[0] for name in _ODD}))
# Only with the look-ahead is the search quick: most quotes begin another name, or are the second ones.
_find_odd: Final = re.compile(f'"(?=[{_INITIALS}])(?:{"|".join(map(re.escape, _ODD))})'.encode(), re.IGNORECASE).search


def is_ordinary(body: bytes) -> bool:
    """True if no member of a JSON text can report an error or further pages, besides ``total``."""
    return _find_odd(body) is None and b"\\u" not in body


def is_ordinary_around(body: bytes, part: bytes) -> bool:
    """`is_ordinary` for the text around `part`, an array or object in it."""
    start = body.find(part[:64])
    around = body[:start] + body[start + len(part) :] if body.startswith(part, start) else body
    return _find_odd(around) is None and b"\\u" not in around


def is_error(body: Mapping[str, Any], *, is_empty: bool = False) -> bool:
    """True if an object reports a failure.

    `is_empty`: the list in it is empty. Then a message next to it counts as an explanation.
    """
    for key, value in body.items():
        name = key.lower()
        if value and name in _ERRORS:
            return True
        if is_empty and _explains(name, value):
            return True
    return False


def _explains(name: str, value: object) -> bool:
    if name == "status":
        return (integer(value) or 0) >= 400
    if name == "success":
        return flag(value) is False
    return bool(value) and name in _ABOUT_AN_ERROR and (text(value) or "").lower() not in _NO_ERROR


def are_errors(records: Sequence[Any]) -> bool:
    """True if a list contains only descriptions of errors."""
    return bool(records) and all(isinstance(one, dict) and _describes_error(one) for one in records)


def _describes_error(record: Mapping[str, Any]) -> bool:
    names = {key.lower() for key in record}
    error_names = names & (_ERRORS | _ABOUT_AN_ERROR)
    return bool(error_names) and names <= error_names | _BESIDE_AN_ERROR


class Page(Struct, frozen=True):
    """One page of a list, and what the vault reports about further ones.

    `next_query` is the encoded query of the next page; None with `has_more` if the vault does not provide it. `total`
    is the number of records in all pages.
    """

    records: list[Any]
    has_more: bool = False
    next_query: str | None = None
    total: int | None = None


def to_page(records: list[Any], around: Mapping[str, Any], headers: Mapping[str, str], url: str) -> Page:
    """`around` is the object that contains the list; a ``Link`` header is read too. `url` is the requested URL."""
    is_in_header = "link" in headers
    if not is_in_header and _PAGING.isdisjoint(around):
        return Page(records)
    link = next((around[key] for key in _NEXT_LINKS if around.get(key)), None)
    if link is None and is_in_header and (in_header := _LINK_HEADER.search(headers["link"])):
        link = in_header[1]
    return Page(
        records,
        link is not None or any(flag(around[key]) for key in _MORE if key in around),
        None if link is None else _query_of(link, urlsplit(url)),
        next((total for key in _TOTALS if key in around and (total := integer(around[key])) is not None), None),
    )


def says_more(around: Mapping[str, Any], given: int) -> bool:
    """True if the object around a list of `given` records reports more records than those."""
    if _PAGING.isdisjoint(around):
        return False
    page = to_page([], around, {}, "")
    return page.has_more or (page.total is not None and page.total > given)


async def follow(
    first: Page,
    request: VaultRequest,
    fetch: Callable[[VaultRequest, Call], Awaitable[Page]],
    call: Call,
    most: int,
) -> tuple[list[Any], bool]:
    """All records of the list that starts with `first`, the reply to `request`; and whether it has more.

    Pages without a link are requested with ``$skip``. Stops at `most` records, at a repeated page, and shortly before
    the deadline, so that the records read can still be returned.
    """
    if not (first.has_more or (first.total is not None and first.total > len(first.records))):
        return first.records, False
    records, page, requested = list(first.records), first, set[str]()
    now = asyncio.get_running_loop().time()
    within = replace(call, deadline_at=now + _SHARE_OF_TIME * (call.deadline_at - now))
    while page.has_more or (page.total is not None and page.total > len(records)):
        following = _following(request, page, len(records))
        name = f"{following.raw_query} {following.query}"
        if name in requested or len(requested) >= MOST_PAGES or not page.records or len(records) >= most:
            return records, True
        requested.add(name)
        try:
            found = await fetch(following, within)
        except VaultError:
            return records, True
        if found.records == page.records:  # the vault ignores the query
            return records, True
        page = found
        records += page.records
    return records, False


def _following(request: VaultRequest, page: Page, start: int) -> VaultRequest:
    if page.next_query:
        return structs.replace(request, query=(), raw_query=page.next_query)
    return structs.replace(request, query=(*request.query, ("$skip", str(start))))


def _query_of(link: object, requested: SplitResult) -> str | None:
    """The query of a link to the same list; None for any other link. No other part of a link is used."""
    if not isinstance(link, str):
        return None
    try:
        parts = urlsplit(link.strip())
        is_here = not parts.netloc or _host(parts) == _host(requested)
    except ValueError:
        return None
    there, here = _segments(parts.path), _segments(requested.path)
    shorter = min(len(there), len(here))
    is_same = is_here and (not there or there[-shorter:] == here[-shorter:])
    return parts.query if is_same and _SENDABLE_QUERY(parts.query) else None


def _host(parts: SplitResult) -> tuple[str | None, int | None]:
    """Ignores the scheme: behind a proxy, vaults write ``http`` in links to themselves."""
    return parts.hostname, None if parts.port == _DEFAULT_PORTS.get(parts.scheme) else parts.port


def _segments(path: str) -> list[str]:
    """``Customers()`` and ``Customers``, ``Customers(id=7)`` and ``Customers(7)`` are equal."""
    parts = unquote(path).lower().replace("(id=", "(").split("/")
    return [part.removesuffix("()") for part in parts if part]
