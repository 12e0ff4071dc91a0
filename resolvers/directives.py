"""The directives of the printed schema. They are enforced by `scopes` and the API layer."""

import strawberry
from strawberry.schema_directive import Location


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION, Location.INPUT_FIELD_DEFINITION, Location.OBJECT],
    name="requiresScope",
    description="Any one of these scopes is sufficient; without one the field is null, with an error FORBIDDEN.",
)
class RequiresScope:
    any: list[str]


@strawberry.schema_directive(
    locations=[Location.INPUT_FIELD_DEFINITION],
    name="sensitive",
    description="Send it in variables only. It is redacted wherever requests are recorded.",
)
class Sensitive:
    pass


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="upstreamCost",
    description="The field's price in vault calls, the unit of request limits. `perMethod`: per payment method of a "
    "customer, however many fields request it. `ifRead`: only if a field below is read from a vault.",
)
class UpstreamCost:
    calls: int
    per_method: bool | None = strawberry.UNSET
    if_read: bool | None = strawberry.UNSET


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="listSize",
    description="The assumed number of items when a document is priced: `assumedSize`, or a smaller number in one of "
    "`slicingArguments`. With `sizedFields` it applies to these lists of a connection.",
)
class ListSize:
    assumed_size: int
    slicing_arguments: list[str] | None = strawberry.UNSET
    sized_fields: list[str] | None = strawberry.UNSET
