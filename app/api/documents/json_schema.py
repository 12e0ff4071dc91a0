"""JSON Schema (2020-12) of a document's variables and of its response, for OpenAPI and MCP.

Works on a schema that was built from SDL. `scalars` maps a scalar's name to its schema.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from graphql import (
    BooleanValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    OperationDefinitionNode,
    SelectionSetNode,
    TypeInfo,
    TypeInfoVisitor,
    ValueNode,
    VariableNode,
    Visitor,
    get_named_type,
    get_nullable_type,
    is_specified_scalar_type,
    type_from_ast,
    value_from_ast_untyped,
    visit,
)

JsonSchema = dict[str, Any]
Hidden = Callable[[str, str, Any], bool]
"""True if this field (its input type, its name, its own type) is not shown."""

_TYPENAME: Final = "__typename"
_INPUT_ONLY: Final = ("pattern", "minLength", "writeOnly", "description")
_Occurrences = dict[str, list[tuple[FieldNode, bool]]]


def nullable(schema: JsonSchema) -> JsonSchema:
    if not schema:  # any value
        return schema
    kind = schema.get("type")
    if isinstance(kind, str) and kind not in ("object", "array") and "const" not in schema:
        return {**schema, "type": [kind, "null"]}
    inner = {key: value for key, value in schema.items() if key != "description"}
    about = {"description": schema["description"]} if "description" in schema else {}
    return {"anyOf": [inner, {"type": "null"}], **about}


def described(schema: JsonSchema, description: str | None) -> JsonSchema:
    return {**schema, "description": description} if description else schema


class JsonSchemas:
    """Makes schemas, and collects in `definitions` the input objects and enums that they refer to below `prefix`."""

    def __init__(
        self,
        schema: GraphQLSchema,
        scalars: Mapping[str, Mapping[str, Any]],
        *,
        prefix: str = "#/$defs/",
        is_hidden: Hidden = lambda owner, name, kind: False,
    ) -> None:
        self.definitions: dict[str, JsonSchema] = {}
        self._schema = schema
        self._scalars = scalars
        self._prefix = prefix
        self._is_hidden = is_hidden

    # ---- variables -------------------------------------------------------------------------------------------

    def variables(
        self, operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
    ) -> JsonSchema:
        """The object of an operation's variables."""
        uses = _uses(self._schema, operation, fragments)
        properties: dict[str, JsonSchema] = {}
        required: list[str] = []
        for one in operation.variable_definitions or ():
            name, kind = one.variable.name.value, type_from_ast(self._schema, one.type)
            if self._is_hidden("", name, kind):
                continue
            own = getattr(one, "description", None)
            about = own.value if own is not None else uses.get(name)
            properties[name] = self._input(kind, about, one.default_value)
            if isinstance(kind, GraphQLNonNull) and one.default_value is None:
                required.append(name)
        return _object(properties, required)

    def _input(self, kind: Any, description: str | None, default: ValueNode | None) -> JsonSchema:
        made = described(self._value(kind), description)
        return made if default is None else {**made, "default": self._visible(kind, value_from_ast_untyped(default))}

    def _visible(self, kind: Any, value: Any) -> Any:
        """A default without the fields that are hidden."""
        named = get_nullable_type(kind)
        if isinstance(named, GraphQLList) and isinstance(value, list):
            return [self._visible(named.of_type, one) for one in value]
        if not isinstance(named, GraphQLInputObjectType) or not isinstance(value, dict):
            return value
        return {
            name: self._visible(named.fields[name].type, one)
            for name, one in value.items()
            if not self._is_hidden(named.name, name, named.fields[name].type)
        }

    def _value(self, kind: Any) -> JsonSchema:
        return self._present(kind.of_type) if isinstance(kind, GraphQLNonNull) else nullable(self._present(kind))

    def _present(self, kind: Any) -> JsonSchema:
        if isinstance(kind, GraphQLList):
            return {"type": "array", "items": self._value(kind.of_type)}
        if isinstance(kind, GraphQLInputObjectType):
            return self._reference(kind, self._input_object)
        if isinstance(kind, GraphQLEnumType):
            return self._reference(kind, _enum)
        made = dict(self._scalars.get(kind.name, {}))
        return made if is_specified_scalar_type(kind) else described(made, kind.description)

    def _reference(self, kind: Any, define: Callable[[Any], JsonSchema]) -> JsonSchema:
        if kind.name not in self.definitions:
            self.definitions[kind.name] = {}  # it may contain itself
            self.definitions[kind.name] = define(kind)
        return {"$ref": f"{self._prefix}{kind.name}"}

    def _input_object(self, kind: GraphQLInputObjectType) -> JsonSchema:
        properties: dict[str, JsonSchema] = {}
        required: list[str] = []
        for name, field in kind.fields.items():
            if self._is_hidden(kind.name, name, field.type):
                continue
            default = field.ast_node.default_value if field.ast_node is not None else None
            wanted = GraphQLNonNull(field.type) if kind.is_one_of else field.type
            properties[name] = self._input(wanted, field.description, default)
            if isinstance(field.type, GraphQLNonNull) and default is None:
                required.append(name)
        made = described(_object(properties, required), kind.description)
        if kind.is_one_of:
            made |= {"minProperties": 1, "maxProperties": 1}
            made["description"] = " ".join(filter(None, (kind.description, "Exactly one of its fields is given.")))
        return made

    # ---- response --------------------------------------------------------------------------------------------

    def data(self, operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]) -> JsonSchema:
        """The response's `data` when it is not null."""
        root = self._schema.get_root_type(operation.operation)
        return self._selected(root, [(operation.selection_set, False)], fragments)

    def root_fields(
        self, operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
    ) -> dict[str, str]:
        """The names of an operation's root fields by their keys in the response."""
        found: _Occurrences = {}
        root: Any = self._schema.get_root_type(operation.operation)
        self._collect(root, operation.selection_set, False, fragments, found)
        return {key: nodes[0][0].name.value for key, nodes in found.items()}

    def _selected(
        self,
        parent: Any,
        sets: Iterable[tuple[SelectionSetNode, bool]],
        fragments: Mapping[str, FragmentDefinitionNode],
    ) -> JsonSchema:
        """An object of the parent type. An interface or union has a schema for each different selection."""
        sets = list(sets)
        if isinstance(parent, GraphQLInterfaceType | GraphQLUnionType):
            concrete = sorted(self._schema.get_possible_types(parent), key=lambda kind: kind.name)
        else:
            concrete = [parent]
        made: list[JsonSchema] = []
        for kind in concrete:
            found: _Occurrences = {}
            for selection_set, is_conditional in sets:
                self._collect(kind, selection_set, is_conditional, fragments, found)
            one = self._fields(kind, found, fragments)
            if one not in made:
                made.append(one)
        return made[0] if len(made) == 1 else {"anyOf": made}

    def _collect(
        self,
        kind: GraphQLObjectType,
        selection_set: SelectionSetNode,
        is_conditional: bool,
        fragments: Mapping[str, FragmentDefinitionNode],
        found: _Occurrences,
    ) -> None:
        for node in selection_set.selections:
            included = _included(node.directives or ())
            if included is False:
                continue
            conditional = is_conditional or included is None
            if isinstance(node, FieldNode):
                key = node.alias.value if node.alias else node.name.value
                found.setdefault(key, []).append((node, conditional))
                continue
            part: Any = fragments[node.name.value] if isinstance(node, FragmentSpreadNode) else node
            if part.type_condition is None or self._applies(part.type_condition.name.value, kind):
                self._collect(kind, part.selection_set, conditional, fragments, found)

    def _applies(self, name: str, kind: GraphQLObjectType) -> bool:
        condition: Any = self._schema.get_type(name)
        return condition is kind or (
            isinstance(condition, GraphQLInterfaceType | GraphQLUnionType) and self._schema.is_sub_type(condition, kind)
        )

    def _fields(
        self, kind: GraphQLObjectType, found: _Occurrences, fragments: Mapping[str, FragmentDefinitionNode]
    ) -> JsonSchema:
        properties: dict[str, JsonSchema] = {}
        required: list[str] = []
        for key, nodes in found.items():
            name = nodes[0][0].name.value
            if name == _TYPENAME:
                properties[key] = {"type": "string", "const": kind.name}
            else:
                field = kind.fields[name]
                # One occurrence alone is as present as its field; of several, some may be absent.
                sets = [
                    (node.selection_set, conditional and len(nodes) > 1)
                    for node, conditional in nodes
                    if node.selection_set is not None
                ]
                properties[key] = described(self._output(field.type, sets, fragments), field.description)
            if not all(conditional for _, conditional in nodes):
                required.append(key)
        return _object(properties, required)

    def _output(
        self,
        kind: Any,
        sets: Sequence[tuple[SelectionSetNode, bool]],
        fragments: Mapping[str, FragmentDefinitionNode],
    ) -> JsonSchema:
        if not isinstance(kind, GraphQLNonNull):
            return nullable(self._output(GraphQLNonNull(kind), sets, fragments))
        inner = kind.of_type
        if isinstance(inner, GraphQLList):
            return {"type": "array", "items": self._output(inner.of_type, sets, fragments)}
        if sets:
            return self._selected(inner, sets, fragments)
        if isinstance(inner, GraphQLEnumType):
            return self._reference(inner, _enum)
        scalar = self._scalars.get(inner.name, {})
        return {key: value for key, value in scalar.items() if key not in _INPUT_ONLY}


def _object(properties: Mapping[str, JsonSchema], required: Sequence[str]) -> JsonSchema:
    made: JsonSchema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**made, "required": list(required)} if required else made


def _enum(kind: GraphQLEnumType) -> JsonSchema:
    notes = [f"{name}: {value.description}" for name, value in kind.values.items() if value.description]
    about = "\n".join(filter(None, (kind.description, *notes)))
    return described({"type": "string", "enum": list(kind.values)}, about)


def _included(directives: Iterable[Any]) -> bool | None:
    """What @include and @skip say: True or False if it is certain, None if it depends on a variable."""
    answer: bool | None = True
    for directive in directives:
        if directive.name.value not in ("include", "skip"):
            continue
        value = directive.arguments[0].value
        if not isinstance(value, BooleanValueNode):
            answer = None if answer else answer
        elif value.value is not (directive.name.value == "include"):
            return False
    return answer


def _uses(
    schema: GraphQLSchema, operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> dict[str, str]:
    """For each variable the description of the first described argument or input field that takes it."""
    found: dict[str, str] = {}
    info = TypeInfo(schema)

    class Variables(Visitor):
        def enter_variable(self, node: VariableNode, _key: Any, parent: Any, *_: Any) -> None:
            taking: Any = info.get_argument()
            if parent.kind == "object_field":
                owner = get_named_type(info.get_parent_input_type())
                taking = getattr(owner, "fields", {}).get(parent.name.value)
            if taking is not None and taking.description:
                found.setdefault(node.name.value, taking.description)

    for node in (operation, *fragments.values()):
        visit(node, TypeInfoVisitor(info, Variables()))
    return found
