"""The directives that the printed schema carries: promises to readers, honoured elsewhere (`scopes`, the gate)."""

import strawberry
from strawberry.schema_directive import Location


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION, Location.INPUT_FIELD_DEFINITION, Location.OBJECT],
    name="requiresScope",
    description="Any one of these scopes is enough; without one the field is null, with an error FORBIDDEN.",
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
    description="How many calls to vaults the field may cost: the unit in which requests are limited. `perMethod`: "
    "once for each payment method of a customer, however many fields ask.",
)
class UpstreamCost:
    calls: int
    per_method: bool | None = strawberry.UNSET


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="listSize",
    description="How many items a list is taken to hold when a document is priced: `assumedSize`, or a smaller number "
    "in one of `slicingArguments`. With `sizedFields` it is said of the lists of a connection.",
)
class ListSize:
    assumed_size: int
    slicing_arguments: list[str] | None = strawberry.UNSET
    sized_fields: list[str] | None = strawberry.UNSET
