"""A subgraph with orders. It extends Vaultgraph's `Customer`, of which it knows only the id.

Run it with ``uvicorn orders:app --port 4001``.
"""

import strawberry
from strawberry.asgi import GraphQL

_ORDERS = [
    {"id": "ord_1001", "customer_id": "cus_alex", "total": "59.90", "currency": "USD"},
    {"id": "ord_1002", "customer_id": "cus_alex", "total": "12.00", "currency": "USD"},
    {"id": "ord_1003", "customer_id": "cus_sam", "total": "240.00", "currency": "USD"},
]


@strawberry.type
class Order:
    id: strawberry.ID
    total: str
    currency: str
    customer: "Customer | None"


@strawberry.federation.type(keys=["id"])
class Customer:
    """Vaultgraph owns the name and the payment methods: the router asks it for them by this id.

    `orders` may be null, so that a wallet is still answered while this subgraph is down.
    """

    id: strawberry.ID

    @strawberry.field
    def orders(self) -> list[Order] | None:
        return [_order(row) for row in _ORDERS if row["customer_id"] == self.id]

    @classmethod
    def resolve_reference(cls, id: strawberry.ID) -> "Customer":
        return cls(id=id)


@strawberry.type
class Query:
    @strawberry.field
    def order(self, id: strawberry.ID) -> Order | None:
        return next((_order(row) for row in _ORDERS if row["id"] == id), None)


def _order(row: dict[str, str]) -> Order:
    return Order(
        id=strawberry.ID(row["id"]),
        total=row["total"],
        currency=row["currency"],
        customer=Customer(id=strawberry.ID(row["customer_id"])),
    )


schema = strawberry.federation.Schema(query=Query, types=[Customer], federation_version="2.9")
app: GraphQL[None, None] = GraphQL(schema)
