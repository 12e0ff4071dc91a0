"""Pagination. Cursors are opaque to clients and increase with their position."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from typing import Annotated, Final, Protocol, Self

import strawberry

from resolvers.errors import BadUserInput

_LONGEST: Final = 4_096
PageSize = Annotated[int, strawberry.argument(description="The size of the page.")]
Cursor = Annotated[
    str | None, strawberry.argument(description="Continue after this cursor, from `pageInfo.endCursor`.")
]


class Edge(Protocol):
    cursor: str


@strawberry.type(description="The position of a page.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="True if more follow this page.")
    has_previous_page: bool = strawberry.field(description="True unless the page starts at the beginning.")
    start_cursor: str | None = strawberry.field(description="The cursor of the page's first item; null if it is empty.")
    end_cursor: str | None = strawberry.field(
        description="The cursor of the page's last item, the value for `after`; null if it is empty."
    )

    @classmethod
    def of(cls, edges: Sequence[Edge], *, has_next: bool, has_previous: bool, end: str | None = None) -> Self:
        """`end`: the cursor to continue after, if it is not the last edge's."""
        return cls(
            has_next_page=has_next,
            has_previous_page=has_previous,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=end or (edges[-1].cursor if edges else None),
        )


def to_cursor(kind: str, position: str) -> str:
    return urlsafe_b64encode(f"{kind}:{position}".encode()).decode().rstrip("=")


def from_cursor(kind: str, cursor: str) -> str:
    """The position. Raises BadUserInput for a cursor that `to_cursor` did not create for this kind."""
    if len(cursor) > _LONGEST:
        raise wrong_cursor()
    try:
        found, _, position = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(":")
    except (Base64Error, ValueError):
        raise wrong_cursor() from None
    if found != kind or to_cursor(kind, position) != cursor:
        raise wrong_cursor()
    return position


def wrong_cursor() -> BadUserInput:
    return BadUserInput("after is not a cursor of this connection.")


def page_size(first: int, most: int) -> int:
    if not 1 <= first <= most:
        raise BadUserInput(f"first must be from 1 to {most}.")
    return first
