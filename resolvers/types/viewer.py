"""Who is asking."""

import strawberry

from resolvers.context import Info
from resolvers.scopes import scoped
from resolvers.types.customer import Customer


@strawberry.type(description="The caller, as the gateway sees it.")
class Viewer:
    partner: str = strawberry.field(description="The name under which the caller is known.")
    scopes: list[str]
    test_mode: bool
    schema_date: str = strawberry.field(description="The day of the schema's last change that clients should know of.")

    @scoped("customers:read", description="The customer for whom an end user's token speaks; null for other callers.")
    async def acting_customer(self, info: Info) -> Customer | None:
        acting = info.context.caller.acting_customer
        entry = await info.context.entry(acting) if acting else None
        return Customer.of(entry) if entry else None
