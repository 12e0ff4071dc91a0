"""Pages of a customer's payment methods. A cursor holds the place in the order, not an index, so it stays valid while
methods come, go or become the default.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import strawberry

from app.store.records import DirectoryEntry
from app.vault.rules.order import PaymentMethodOrder, SortKey, sort_key, vault_key
from app.wallet.reads.build_wallet import Wallet, WalletMethod
from resolvers.context import IdReader
from resolvers.errors import BadUserInput
from resolvers.scopes import scoped
from resolvers.types.paging import PageInfo, from_cursor, to_cursor, wrong_cursor
from resolvers.types.payment_method import PaymentMethod

_CURSOR: Final = "method"
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_READ_METHODS: Final = "payment_methods:read"


@strawberry.type(description="One payment method and its cursor.")
class PaymentMethodEdge:
    cursor: str = strawberry.field(description="The method's place in this order: the value for `after`.")
    node: PaymentMethod | None = scoped(_READ_METHODS, description="The payment method.")


@strawberry.type(
    description="A page of a customer's payment methods. It has what could be read: the methods of a vault that did "
    "not answer are missing, and a later page may be past their place. `isComplete` tells."
)
class PaymentMethodConnection:
    edges: list[PaymentMethodEdge] = strawberry.field(description="The methods of this page with their cursors.")
    page_info: PageInfo = strawberry.field(description="The position of this page.")
    total_count: int | None = strawberry.field(
        description="The number of methods of all pages; null unless isComplete, since it is then unknown."
    )
    is_complete: bool = strawberry.field(
        description="False if a vault of the filter did not answer now and in full (see sources): start again from the "
        "first page once it does."
    )

    @scoped(_READ_METHODS, description="The methods of this page without their cursors.")
    def nodes(self) -> list[PaymentMethod] | None:
        return [edge.node for edge in self.edges]  # type: ignore[misc]  # the graph's field is nullable, the value never null


@dataclass(frozen=True, slots=True)
class MethodPage:
    """`methods` are those of the page; `start` is the number of methods before them. `first_id` is the method that the
    walk lists first."""

    methods: Sequence[WalletMethod]
    start: int
    total: int
    order: PaymentMethodOrder
    first_id: str

    def to_connection(self, shown: Mapping[str, PaymentMethod], *, is_complete: bool) -> PaymentMethodConnection:
        edges = [
            PaymentMethodEdge(cursor=_cursor_of(one, self.order, self.first_id), node=shown[one.id])
            for one in self.methods
        ]
        return PaymentMethodConnection(
            edges=edges,
            page_info=PageInfo.of(edges, has_next=self.start + len(edges) < self.total, has_previous=self.start > 0),
            total_count=self.total if is_complete else None,
            is_complete=is_complete,
        )


def method_page(
    wallet: Wallet,
    methods: Sequence[WalletMethod],
    order: PaymentMethodOrder,
    size: int,
    after: str | None,
    ids: IdReader,
) -> MethodPage:
    """The page of `size` of the wallet's `methods` after `after`. Raises BadUserInput for a cursor of another customer
    or order."""
    if after:
        first_id, start_key = _place(after, order, wallet.entry, ids)
    else:
        first_id, start_key = wallet.default.method_id or "", None
    placed = sorted([(_key(one, order, first_id), one) for one in methods], key=_first)
    start = 0 if start_key is None else sum(key <= start_key for key, _ in placed)
    return MethodPage([one for _, one in placed[start : start + size]], start, len(placed), order, first_id)


def _first(placed: tuple[SortKey, WalletMethod]) -> SortKey:
    return placed[0]


def _key(one: WalletMethod, order: PaymentMethodOrder, first_id: str) -> SortKey:
    return sort_key(one.method, order, is_first=one.id == first_id)


def _cursor_of(one: WalletMethod, order: PaymentMethodOrder, first_id: str) -> str:
    """Besides the method's id (encrypted), the number that it was sorted by, and the method that was listed first."""
    number, _ = _key(one, order, first_id)
    first = first_id if order is PaymentMethodOrder.DEFAULT_FIRST else ""
    return to_cursor(_CURSOR, f"{order.value}.{number}.{one.id}.{first}")


def _place(cursor: str, order: PaymentMethodOrder, entry: DirectoryEntry, ids: IdReader) -> tuple[str, SortKey]:
    """The method that was listed first, and the key of the cursor's method."""
    name, number, method_id, first_id = _parts(from_cursor(_CURSOR, cursor))
    if name != order.value:
        raise BadUserInput("after is a cursor of another orderBy.")
    address = ids.decode(method_id)
    link = entry.link(address.provider) if address else None
    if address is None or link is None or link.customer_ref != address.customer_ref:
        raise wrong_cursor()
    if first_id and ids.decode(first_id) is None:
        raise wrong_cursor()
    return first_id, (number, vault_key(address.provider, address.method_ref))


def _parts(position: str) -> tuple[str, int, str, str]:
    parts = position.split(".")
    if len(parts) != 4 or not _NUMBER.fullmatch(parts[1]):
        raise wrong_cursor()
    return parts[0], int(parts[1]), parts[2], parts[3]
