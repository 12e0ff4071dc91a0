"""Pagination. Cursors are opaque to clients and increase with their position."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Final

import strawberry

from resolvers.errors import BadUserInput

_LONGEST: Final = 4_096


@strawberry.type(description="The position of a page.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="True if more follow this page.")
    has_previous_page: bool = strawberry.field(description="True unless the page starts at the beginning.")
    start_cursor: str | None = strawberry.field(description="The cursor of the page's first item; null if it is empty.")
    end_cursor: str | None = strawberry.field(
        description="The cursor of the page's last item, the value for `after`; null if it is empty."
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
