import strawberry


@strawberry.interface(description="An object with an id.")
class Node:
    id: strawberry.ID
