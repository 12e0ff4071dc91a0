"""Pages of a customer's payment methods, over the same merged and ordered list as ``paymentMethods``."""

from collections.abc import Mapping, Sequence
from typing import Final

import strawberry

from app.wallet.reads.build_wallet import WalletMethod
from resolvers.errors import BadUserInput
from resolvers.scopes import scoped
from resolvers.types.paging import PageInfo, from_cursor, to_cursor
from resolvers.types.payment_method import PaymentMethod

_CURSOR: Final = "method"


@strawberry.type(description="One payment method and its cursor.")
class PaymentMethodEdge:
    cursor: str
    node: PaymentMethod | None = scoped("payment_methods:read")


@strawberry.type(description="A page of a customer's payment methods.")
class PaymentMethodConnection:
    edges: list[PaymentMethodEdge]
    page_info: PageInfo
    total_count: int = strawberry.field(description="Of all pages, as far as vaults could be read: see sources.")


def method_page(
    methods: Sequence[WalletMethod], shown: Mapping[str, PaymentMethod], size: int, after: str | None
) -> PaymentMethodConnection:
    """The page of `size` methods after `after`. Raises BadUserInput for a cursor of another connection."""
    start = place_after(methods, after)
    edges = [
        PaymentMethodEdge(cursor=to_cursor(_CURSOR, f"{place}.{one.id}"), node=shown[one.id])
        for place, one in enumerate(methods[start : start + size], start)
    ]
    return PaymentMethodConnection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=start + size < len(methods),
            has_previous_page=start > 0,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        total_count=len(methods),
    )


def place_after(methods: Sequence[WalletMethod], after: str | None) -> int:
    """The index after the cursor's method, wherever it is now; if it is gone, its former index. 0 without a cursor."""
    if not after:
        return 0
    place, _, method_id = from_cursor(_CURSOR, after).partition(".")
    if not (place.isascii() and place.isdecimal() and len(place) < 10):
        raise BadUserInput("after is not a cursor of this connection.")
    return next((index for index, one in enumerate(methods, 1) if one.id == method_id), int(place))
