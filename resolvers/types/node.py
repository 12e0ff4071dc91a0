import strawberry


@strawberry.interface(description="An object with an id.")
class Node:
    id: strawberry.ID = strawberry.field(
        description="Identifies the object in every query of this API. Opaque: do not parse it."
    )
