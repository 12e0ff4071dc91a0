"""The caller, as the schema shows it."""

from collections.abc import Awaitable

import strawberry

from resolvers.context import Info
from resolvers.scopes import scoped
from resolvers.types.customer import Customer, read_customer


@strawberry.type(description="The caller, as the gateway sees it.")
class Viewer:
    partner: str = strawberry.field(description="The caller's name.")
    scopes: list[str] = strawberry.field(description="What the caller may do.")
    test_mode: bool = strawberry.field(description="True if the vaults are sandboxes: no real money moves.")
    schema_date: str = strawberry.field(description="The day of the schema's last change relevant to clients.")

    @scoped("customers:read", description="The customer of an end user's token; null for other callers.")
    async def acting_customer(self, info: Info) -> Customer | None:
        acting = info.context.caller.acting_customer
        entry = await info.context.entry(acting) if acting else None
        found = read_customer(info, entry) if entry else None
        return await found if isinstance(found, Awaitable) else found
