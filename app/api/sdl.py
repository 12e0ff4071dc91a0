"""The API schema of a subgraph: its SDL without the parts for federation routers.

Source: https://www.apollographql.com/docs/graphos/schema-design/federated-schemas/reference/subgraph-spec
"""

from typing import Any, Final

from graphql import SKIP, DirectiveDefinitionNode, Node, Visitor, parse, specified_directives, visit

_FEDERATION_NAMES: Final = frozenset({"_Any", "_Entity", "_Service", "_FieldSet", "FieldSet", "_entities", "_service"})
_FEDERATION_NAMESPACES: Final = ("federation__", "link__")


def api_sdl(sdl: str) -> str:
    """The API schema, for tools without federation support. SDL without federation is returned unchanged.

    Keeps the directives that `sdl` defines. Raises GraphQLError if `sdl` cannot be parsed.
    """
    document = parse(sdl)
    defined = {one.name.value for one in document.definitions if isinstance(one, DirectiveDefinitionNode)}
    parts = _FederationParts(defined | {one.name for one in specified_directives})
    visit(document, parts)
    text, start = "", 0
    for node in parts.found:
        assert node.loc is not None
        text += sdl[start : node.loc.start].rstrip()  # removes the preceding whitespace too
        start = node.loc.end
    return (text + sdl[start:]).lstrip()


class _FederationParts(Visitor):
    """Collects federation's types and fields, and undefined directives, in the order of the text."""

    def __init__(self, directives: set[str]) -> None:
        super().__init__()
        self._directives = directives
        self.found: list[Node] = []

    def enter_directive(self, node: Any, *_: Any) -> Any:
        return self._collect(node, node.name.value not in self._directives)

    def enter_schema_extension(self, node: Any, *_: Any) -> Any:
        is_link_only = not node.operation_types and all(
            one.name.value not in self._directives for one in node.directives
        )
        return self._collect(node, is_link_only)  # without its directives it would extend nothing

    def enter_field_definition(self, node: Any, *_: Any) -> Any:
        return self._collect(node, _is_federation(node.name.value))

    def _enter_type(self, node: Any, *_: Any) -> Any:
        return self._collect(node, _is_federation(node.name.value))

    enter_scalar_type_definition = enter_object_type_definition = enter_union_type_definition = _enter_type
    enter_enum_type_definition = enter_input_object_type_definition = _enter_type

    def _collect(self, node: Node, is_federation: bool) -> Any:
        if not is_federation:
            return None
        self.found.append(node)
        return SKIP


def _is_federation(name: str) -> bool:
    return name in _FEDERATION_NAMES or name.startswith(_FEDERATION_NAMESPACES)
