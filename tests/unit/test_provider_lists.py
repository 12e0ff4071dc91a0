"""Lists in replies: what is an error, and which pages are followed how far."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from app.errors import VaultUnavailable
from app.http.message import VaultRequest
from app.providers.lists import MOST_PAGES, Page, follow, is_ordinary, is_ordinary_around, to_page
from app.vault.enums import ProviderName
from app.vault.provider import Call

URL = "https://vault.example/caselle/api/customers/cus_1/payment-methods"
REQUEST = VaultRequest(method="GET", path="api/customers/cus_1/payment-methods", route="list", query=(("a", "b"),))


@pytest.mark.parametrize(
    ("link", "query"),
    [
        (f"{URL}?$skip=2", "$skip=2"),
        ("http://vault.example/caselle/api/customers/cus_1/payment-methods?$skip=2", "$skip=2"),
        ("//VAULT.example/api/customers/cus_1/payment-methods?$skiptoken=a%2Bb", "$skiptoken=a%2Bb"),
        ("/api/customers/CUS_1/payment-methods?$skip=2", "$skip=2"),
        ("payment-methods?page=2", "page=2"),
        ("?$skip=2", "$skip=2"),
        ("https://vault.example:8443/caselle/api/customers/cus_1/payment-methods?$skip=2", None),
        ("https://evil.example/caselle/api/customers/cus_1/payment-methods?$skip=2", None),
        ("https://vault.example@evil.example/caselle/api/customers/cus_1/payment-methods?$skip=2", None),
        ("/api/customers/cus_2/payment-methods?$skip=2", None),
        ("/api/customers?$skip=2", None),
        (f"{URL}?a=b\r\nHost: x", None),
        (f"{URL}", None),
        ("https://[vault/?x=1", None),
        ("https://vault.example:port/?x=1", None),
        ("cursor-17", None),
        (7, None),
        ({"href": "?$skip=2"}, None),
    ],
)
def test_a_next_link_is_followed_to_the_same_list_and_nowhere_else(link: Any, query: str | None) -> None:
    assert to_page([1], {"@odata.nextLink": link}, {}, URL) == Page([1], True, query)


@pytest.mark.parametrize(
    ("around", "headers", "page"),
    [
        ({}, {}, Page([])),
        ({"has_more": False, "next": None, "@odata.nextLink": ""}, {}, Page([])),
        ({"has_more": True}, {}, Page([], True)),
        ({"hasMore": "true"}, {}, Page([], True)),
        ({"__next": "?$skip=1"}, {}, Page([], True, "$skip=1")),
        ({"@odata.count": 3}, {}, Page([], total=3)),
        ({"total": "4"}, {}, Page([], total=4)),
        ({}, {"link": '<?a=1>; rel="prev", <?a=3>; rel="next"'}, Page([], True, "a=3")),
        ({}, {"link": "<?a=3>; rel=next"}, Page([], True, "a=3")),
        ({}, {"link": '<?a=1>; rel="last"'}, Page([])),
    ],
)
def test_what_says_that_there_is_more(around: Mapping[str, Any], headers: Mapping[str, str], page: Page) -> None:
    assert to_page([], around, headers, URL) == page


class Vault:
    """Pages by what was asked for; whatever is not there fails."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self.pages = pages
        self.asked: list[str] = []
        self.deadlines: list[float] = []

    async def fetch(self, request: VaultRequest, call: Call) -> Page:
        assert request.path == REQUEST.path
        query = request.raw_query or "&".join(f"{name}={value}" for name, value in request.query)
        self.asked.append(query)
        self.deadlines.append(call.deadline_at)
        if query not in self.pages:
            raise VaultUnavailable(ProviderName.CASELLE)
        return self.pages[query]


async def read(first: Page, pages: Mapping[str, Page], most: int = 1_000) -> tuple[Sequence[Any], bool, list[str]]:
    vault = Vault(pages)
    until = asyncio.get_running_loop().time() + 10
    records, is_cut_short = await follow(first, REQUEST, vault.fetch, Call(until, "r"), most)
    assert all(deadline < until for deadline in vault.deadlines), "time is left to answer"
    return records, is_cut_short, vault.asked


async def test_one_page_costs_no_call() -> None:
    assert await read(Page([1, 2]), {}) == ([1, 2], False, [])
    assert await read(Page([1, 2], total=2), {}) == ([1, 2], False, [])


async def test_pages_are_followed_to_the_end() -> None:
    pages = {"p=2": Page([3], True, "p=3"), "p=3": Page([4])}
    assert await read(Page([1, 2], True, "p=2"), pages) == ([1, 2, 3, 4], False, ["p=2", "p=3"])


async def test_pages_without_a_link_are_counted() -> None:
    pages = {"a=b&$skip=2": Page([3, 4], True), "a=b&$skip=4": Page([5])}
    asked = ["a=b&$skip=2", "a=b&$skip=4"]
    assert await read(Page([1, 2], True), pages) == ([1, 2, 3, 4, 5], False, asked)
    by_total = {"a=b&$skip=2": Page([3], total=3)}
    assert await read(Page([1, 2], total=3), by_total) == ([1, 2, 3], False, ["a=b&$skip=2"])


@pytest.mark.parametrize(
    ("first", "pages", "records", "calls"),
    [
        (Page([1], True, "p=2"), {}, [1], 1),
        (Page([1], True, "p=2"), {"p=2": Page([2], True, "p=2")}, [1, 2], 1),
        (Page([1], True, "p=2"), {"p=2": Page([2], True, "p=3"), "p=3": Page([3], True, "p=2")}, [1, 2, 3], 2),
        (Page([1], True), {"a=b&$skip=1": Page([1], True)}, [1], 1),
        (Page([1], True, "p=2"), {"p=2": Page([], True, "p=3")}, [1], 1),
        (Page([], True, "p=2"), {}, [], 0),
    ],
    ids=["fails", "names itself", "goes round", "takes no notice", "has nothing", "begins with nothing"],
)
async def test_what_cannot_be_read_to_the_end_is_cut_short(
    first: Page, pages: Mapping[str, Page], records: list[int], calls: int
) -> None:
    found, is_cut_short, asked = await read(first, pages)
    assert (found, is_cut_short, len(asked)) == (records, True, calls)


async def test_pages_have_an_end() -> None:
    endless = {f"p={number}": Page([number], True, f"p={number + 1}") for number in range(1, 2 * MOST_PAGES)}
    _, is_cut_short, asked = await read(Page([0], True, "p=1"), endless)
    assert (is_cut_short, len(asked)) == (True, MOST_PAGES)
    records, is_cut_short, asked = await read(Page([0], True, "p=1"), endless, most=3)
    assert (records, is_cut_short, len(asked)) == ([0, 1, 2], True, 2)


ODD = ("error", "Errors", "errorCode", "error_code", "fault", "Exception", "ExceptionMessage", "ModelState", "nextLink",
       "@odata.nextLink", "odata.nextLink", "next_link", "__next", "next", "has_more", "hasMore", "HasMore", "__count",
       "@odata.count", "odata.count", "total_count", "totalCount", "\\u0065rror")  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_a_member_that_may_report_an_error_or_more_pages_is_not_ordinary(name: str) -> None:
    part, odd = b'[{"id":1}]', b'"%b":1' % name.encode()
    for body in (b'{%b,"rows":%b}' % (odd, part), b'{"rows":%b,%b}' % (part, odd)):
        assert not is_ordinary(body)
        assert not is_ordinary_around(body, part)


def test_only_the_part_that_was_named_is_left_out() -> None:
    part = b'[{"error":1}]'
    assert is_ordinary_around(b'{"total":1,"rows":%b}' % part, part)
    assert not is_ordinary_around(b'{"total":1,"rows":%b,"more":%b}' % (part, part), part)
    assert not is_ordinary_around(b'{"error":1}', part)
    assert is_ordinary(b'{"total":1,"rows":[],"message":"an error"}')
