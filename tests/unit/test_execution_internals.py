"""Private and internal APIs that plans use still exist; an incompatible upgrade fails here first."""

import inspect
from enum import Enum
from typing import Any

import pytest
import strawberry
from graphql import FieldNode, GraphQLError, GraphQLObjectType, GraphQLScalarType, parse
from graphql.execution import execute, values
from graphql.execution.collect_fields import FieldDetails, FragmentDetails
from graphql.execution.executor import Executor
from graphql.execution.get_variable_signature import GraphQLVariableSignature
from graphql.pyutils import Path
from strawberry.extensions import FieldExtension, SchemaExtension
from strawberry.schema import schema as strawberry_schema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from app.execution import strawberry_internals as internals
from resolvers.schema import schema as wallet_schema
from resolvers.scopes import ScopeGuard
from resolvers.types.payment_method import GraphCard
from tests.equality import odd_graph

GRAPH = wallet_schema._schema
ODD = odd_graph.schema._schema


def field_of(type_: str, name: str, graph: Any = GRAPH) -> Any:
    return graph.type_map[type_].fields[name]


def test_strawberry_stores_its_definitions_in_the_extensions() -> None:
    assert GraphQLCoreConverter.DEFINITION_BACKREF == "strawberry-definition"
    own = internals.strawberry_field(field_of("Card", "label"))
    assert isinstance(own, StrawberryField)
    assert (own.python_name, own.is_basic_field, own.default_resolver) == ("label", True, getattr)
    definition = internals.definition_of(GRAPH.type_map["Card"])
    assert definition is not None
    assert (definition.origin, definition.is_type_of, definition.resolve_type, definition.concrete_of) == (
        GraphCard,
        None,
        None,
        None,
    )
    assert definition.is_graphql_generic is False
    assert internals.definition_of(GRAPH.type_map["String"]) is None


def test_a_resolver_has_its_function_and_reserved_parameters() -> None:
    found = internals.resolution_of(wallet_schema, field_of("Customer", "paymentMethods"))
    assert isinstance(found, internals.FieldResolver)
    assert inspect.isfunction(found.function)
    assert found.function.__name__ == "payment_methods"
    assert (found.takes_self, found.info_name, found.source_names, found.is_async) == (True, "info", (), False)
    assert [internals.argument_name(wallet_schema, one) for one in found.arguments] == ["filter", "orderBy", "first"]
    (guard,) = found.guards
    assert isinstance(guard, ScopeGuard)


def test_only_fields_with_guards_alone_can_be_planned() -> None:
    assert isinstance(internals.resolution_of(wallet_schema, field_of("Card", "bin")), internals.Attribute)
    for name in ("secret", "loud"):
        assert internals.resolution_of(odd_graph.schema, field_of("Nested", name, ODD)) is None
    assert internals.resolution_of(odd_graph.schema, field_of("Plain", "guarded", ODD)) is not None
    assert FieldExtension.map_arguments is not None
    assert odd_graph.schema.schema_converter._get_field_exception_handlers(StrawberryField()) == ()


def test_an_extension_that_maps_arguments_is_not_a_guard() -> None:
    class Rewrites(FieldExtension):
        def allows(self, context: Any) -> bool:
            return True

        def map_arguments(self, kwargs: dict[str, Any]) -> dict[str, Any]:
            return kwargs

    @strawberry.type
    class Query:
        @strawberry.field(extensions=[Rewrites()])
        def one(self) -> int:
            return 1

    made = strawberry.Schema(query=Query)
    assert internals.resolution_of(made, made._schema.query_type.fields["one"]) is None  # type: ignore[union-attr]


def test_the_resolver_chain_is_the_resolve_function_of_the_field() -> None:
    field = field_of("Nested", "loud", ODD)
    assert internals.chain_of(field) is field.resolve


def test_fields_are_collected_as_the_executor_collects_them() -> None:
    document = parse("query ($c: Boolean!) { ...F customer(id: 1) { id @skip(if: $c) name } } "
                     "fragment F on Query { viewer { partner } a: viewer { scopes } }")  # fmt: skip
    operation, fragment = document.definitions
    fragments: Any = {"F": fragment}
    root = internals.root_fields(GRAPH, operation, fragments, {"c": True}, GRAPH.query_type)  # type: ignore[arg-type]
    assert list(root.now) == ["viewer", "a", "customer"]
    (details,) = root.now["customer"]
    assert isinstance(details, FieldDetails)
    assert isinstance(details.node, FieldNode)
    customer: Any = GRAPH.type_map["Customer"]
    below = internals.sub_fields(GRAPH, operation, fragments, {"c": True}, customer, root.now["customer"])  # type: ignore[arg-type]
    assert list(below.now) == ["name"]
    assert FragmentDetails._fields == ("definition", "variable_signatures")


def test_variables_are_coerced_as_execute_does() -> None:
    operation: Any = parse("query ($a: Int!, $b: Int = 3) { x }").definitions[0]
    found = internals.coerced(GRAPH, operation, {"a": 1}, True)
    assert isinstance(found, internals.VariableValues)
    assert found.coerced == {"a": 1, "b": 3}
    assert set(found.sources) == {"a", "b"}
    errors = internals.coerced(GRAPH, operation, {"a": "x"}, True)
    assert isinstance(errors, list)
    assert isinstance(errors[0], GraphQLError)
    signature = internals.get_variable_signature(GRAPH, operation.variable_definitions[0])
    assert isinstance(signature, GraphQLVariableSignature)
    assert (signature.name, signature.default) == ("a", None)
    default = inspect.signature(execute).parameters["max_coercion_errors"].default
    assert default == 50, "bridge.coerced repeats it"
    assert "inputs" in inspect.signature(values.get_variable_values).parameters


def test_the_raw_info_is_the_one_that_strawberry_s_executor_makes() -> None:
    made = strawberry_schema._OperationContextAwareGraphQLResolveInfo
    assert made._fields == (
        "field_name",
        "field_nodes",
        "return_type",
        "parent_type",
        "path",
        "schema",
        "fragments",
        "root_value",
        "operation",
        "variable_values",
        "context",
        "is_awaitable",
        "abort_signal",
        "async_helpers",
        "operation_extensions",
    )
    assert wallet_schema.execution_context_class is strawberry_schema.StrawberryGraphQLCoreExecutionContext
    assert wallet_schema.config.info_class is strawberry.Info
    assert set(strawberry.Info.__dataclass_fields__) == {"_raw_info", "_field"}
    assert GRAPH._strawberry_schema is wallet_schema  # type: ignore[attr-defined]


def test_paths_equal_those_of_graphql_core() -> None:
    assert Path._fields == ("prev", "key", "typename")
    found = internals.path_of(((None, "a", "Query"), 0, None))
    assert isinstance(found, Path)
    assert found.as_list() == ["a", 0]


def test_executors_have_the_steps_that_the_interpreter_follows() -> None:
    steps = [
        "execute_operation",
        "execute_fields",
        "execute_fields_serially",
        "execute_field",
        "complete_value",
        "complete_awaitable_value",
        "complete_list_value",
        "complete_iterable_value",
        "complete_list_item_value",
        "complete_leaf_value",
        "complete_abstract_value",
        "ensure_valid_runtime_type",
        "complete_object_value",
        "complete_async_iterator_value",
        "handle_field_error",
        "settle_in_background",
    ]
    assert [step for step in steps if not hasattr(Executor, step)] == []


def test_classes_map_to_types_only_without_custom_type_resolution() -> None:
    kinds = internals.classes_of(GRAPH, GRAPH.type_map["PaymentMethod"])  # type: ignore[arg-type]
    assert {kind.__name__: type_.name for kind, type_ in kinds.items()} == {
        "GraphCard": "Card",
        "GraphBankAccount": "BankAccount",
        "GraphOtherMethod": "OtherMethod",
    }
    assert internals.classes_of(ODD, ODD.type_map["Found"]) == {}  # type: ignore[arg-type]
    asked: Any = ODD.type_map["Asked"]
    assert isinstance(asked, GraphQLObjectType)
    assert internals.class_of(asked) is None
    marked = strawberry.cast(GraphCard, odd_graph.Stand("x"))
    assert getattr(marked, internals.CAST_MARK) is GraphCard


def test_what_is_precomputed_is_an_attribute_of_every_class() -> None:
    """`resolvers` may not import the name of the metadata's key."""
    named = {
        (type_.name, name): attribute
        for type_ in GRAPH.type_map.values()
        if isinstance(type_, GraphQLObjectType)
        for name, field in type_.fields.items()
        if (attribute := internals.precomputed_attribute(field)) is not None
    }
    kinds = ("Card", "BankAccount", "OtherMethod")
    assert named == {(kind, "authStatus"): "auth_status_without_call" for kind in kinds}
    classes = [internals.class_of(GRAPH.type_map[kind]) for kind in kinds]  # type: ignore[arg-type]
    assert all("auth_status_without_call" in kind.__dataclass_fields__ for kind in classes)  # type: ignore[union-attr]


def test_leaves_are_serialized_by_their_types() -> None:
    brand: Any = GRAPH.type_map["CardBrand"]
    names = internals.EnumNames.of(brand)
    assert issubclass(brand.wrapped_cls, Enum)
    assert {names.of_member(member) for member in brand.wrapped_cls} == set(brand.values)
    with pytest.raises(LookupError):
        names.of_member("VISA")
    assert internals.is_passed_through(GRAPH.type_map["Last4"])  # type: ignore[arg-type]
    assert not internals.is_passed_through(GRAPH.type_map["DateTime"])  # type: ignore[arg-type]
    assert not internals.is_passed_through(GRAPH.type_map["String"])  # type: ignore[arg-type]
    assert isinstance(GRAPH.type_map["Last4"], GraphQLScalarType)


def test_middleware_is_detected() -> None:
    class Sees(SchemaExtension):
        def resolve(self, _next: Any, root: Any, info: Any, *args: Any, **kwargs: Any) -> Any:
            return _next(root, info, *args, **kwargs)

    assert not internals.has_middleware(wallet_schema)
    assert internals.has_middleware(
        strawberry.Schema(query=odd_graph.Query, types=[odd_graph.Plain], extensions=[Sees])
    )


def test_cost_and_scopes_come_from_field_directives() -> None:
    assert internals.declared(field_of("Query", "customer")) == (4, ("customers:read",))
    assert internals.declared(field_of("Card", "label")) == (None, ())


def test_deferred_fields_are_planned_and_published_as_graphql_core_does() -> None:
    text = '{ viewer { partner ... @defer(label: "a") { scopes ... @defer { partner testMode } } } }'
    (operation,) = parse(text).definitions
    root = internals.root_fields(GRAPH, operation, {}, {}, GRAPH.query_type)  # type: ignore[arg-type]
    viewer: Any = GRAPH.type_map["Viewer"]
    found = internals.sub_fields(GRAPH, operation, {}, {}, viewer, root.now["viewer"])  # type: ignore[arg-type]
    assert list(found.now) == ["partner"], "also in a deferred fragment: once"
    assert [(list(fragments), list(fields)) for fragments, fields in found.later] == [
        ([found.fragments[0]], ["scopes"]),
        ([found.fragments[1]], ["testMode"]),
    ]
    assert [(one.label, one.parent_defer_usage) for one in found.fragments] == [("a", None), (None, found.fragments[0])]
    assert internals.Work._fields == ("groups", "tasks", "streams")
    assert internals.WorkResult._fields == ("value", "work")
    assert internals.ExecutionGroupValue._fields == ("delivery_groups", "path", "data", "errors")
    assert {*inspect.signature(internals.IncrementalPublisher.build_response).parameters} == {
        "self", "data", "errors", "work", "context",
    }  # fmt: skip
    assert {*inspect.signature(internals.Computation).parameters} == {"fn", "on_abort"}
    own = "execute_field build_resolve_info execute_collected_subfields execute_execution_group"
    names = {name: [*inspect.signature(getattr(internals.LibraryExecutor, name)).parameters] for name in own.split()}
    assert names == {
        "execute_field": ["self", "parent_type", "source", "field_details_list", "path", "position_context"],
        "build_resolve_info": ["self", "field_def", "field_nodes", "parent_type", "path"],
        "execute_collected_subfields": [
            "self", "parent_type", "source_value", "path", "grouped_field_set", "new_defer_usages",
            "delivery_group_map",
        ],
        "execute_execution_group": [
            "self", "delivery_groups", "parent_type", "source_value", "path", "grouped_field_set",
            "delivery_group_map",
        ],
    }  # fmt: skip
