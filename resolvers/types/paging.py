"""Pagination. Cursors are opaque to clients and increase with their position."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

import strawberry

from resolvers.errors import BadUserInput


@strawberry.type(description="The position of a page.")
class PageInfo:
    has_next_page: bool
    has_previous_page: bool = strawberry.field(description="True unless the page starts at the beginning.")
    start_cursor: str | None
    end_cursor: str | None


def to_cursor(kind: str, position: str) -> str:
    return urlsafe_b64encode(f"{kind}:{position}".encode()).decode().rstrip("=")


def from_cursor(kind: str, cursor: str) -> str:
    """The position. Raises BadUserInput for a cursor that `to_cursor` did not create for this kind."""
    try:
        found, _, position = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(":")
    except (Base64Error, ValueError):
        raise BadUserInput("after is not a cursor of this connection.") from None
    if found != kind or to_cursor(kind, position) != cursor:
        raise BadUserInput("after is not a cursor of this connection.")
    return position


def page_size(first: int, most: int) -> int:
    if not 1 <= first <= most:
        raise BadUserInput(f"first must be from 1 to {most}.")
    return first
