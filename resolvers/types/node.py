import strawberry


@strawberry.interface(description="Whatever has an id of its own.")
class Node:
    id: strawberry.ID
