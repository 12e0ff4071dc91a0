"""What clients with a normalised cache must know about the schema, as JSON."""

from typing import Any

from graphql import (
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_abstract_type,
)

_PAGING = frozenset({"first", "after", "last", "before"})
_NEVER_MERGED = ("Payload", "Error", "Connection", "Edge")


def apollo_config(schema: GraphQLSchema) -> dict[str, Any]:
    """Options of Apollo Client's `InMemoryCache`: `possibleTypes` and `typePolicies`.

    Objects without an id are kept in the object that holds them: what two queries read of one is merged. The pages of a
    connection are one list; only the other arguments, `keyArgs`, make another one.
    """
    roots = (schema.query_type, schema.mutation_type, schema.subscription_type)
    possible: dict[str, list[str]] = {}
    policies: dict[str, dict[str, Any]] = {}
    for name, kind in sorted(schema.type_map.items()):
        if is_abstract_type(kind):
            assert isinstance(kind, GraphQLInterfaceType | GraphQLUnionType)
            possible[name] = sorted(one.name for one in schema.get_possible_types(kind))
        elif isinstance(kind, GraphQLObjectType) and not name.startswith("__"):
            policy: dict[str, Any] = {}
            if kind not in roots and "id" not in kind.fields and not name.endswith(_NEVER_MERGED):
                policy["merge"] = True
            fields = {
                field_name: {"keyArgs": sorted(field.args.keys() - _PAGING) or False}
                for field_name, field in kind.fields.items()
                if get_named_type(field.type).name.endswith("Connection")
            }
            if fields:
                policy["fields"] = fields
            if policy:
                policies[name] = policy
    return {"possibleTypes": possible, "typePolicies": policies}
