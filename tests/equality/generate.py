"""Random documents and variables over any schema, the same for the same seed.

Not every document is valid (two fields of one name may disagree): the caller validates, and leaves out what is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
)

LITERALS: Mapping[str, Sequence[tuple[str, Any]]] = {
    "Int": [("3", 3), ("100", 100), ("0", 0), ("-7", -7)],
    "String": [('"x"', "x"), ('""', "")],
    "ID": [('"cus_a"', "cus_a"), ('"cus_zz"', "cus_zz"), ("7", 7)],
    "Boolean": [("true", True), ("false", False)],
    "Float": [("1.5", 1.5), ("2", 2)],
}


@dataclass
class Generated:
    text: str
    variables: dict[str, Any]


@dataclass
class Generator:
    """`values` gives further literals, as text and as JSON, by type name; `left_out` are coordinates never asked.
    `deferred` is the part of fragments that are deferred.
    """

    schema: GraphQLSchema
    random: Random
    values: Mapping[str, Sequence[tuple[str, Any]]] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    depth: int = 5
    width: int = 6
    deferred: float = 0.0

    def document(self, kind: str = "query") -> Generated:
        self._variables: dict[str, tuple[str, Any]] = {}
        self._fragments: dict[str, tuple[str, str]] = {}
        self._aliases = self._labels = 0
        root = self.schema.query_type if kind == "query" else self.schema.mutation_type
        body = self._selections(root, self.depth, is_root=True)
        declared = ", ".join(f"${name}: {type_}" for name, (type_, _) in self._variables.items())
        text = f"{kind} Made{f'({declared})' if declared else ''} {body}"
        for name, (type_, selections) in self._fragments.items():
            text += f"\nfragment {name} on {type_} {selections}"
        given = {name: value for name, (_, value) in self._variables.items() if value is not ...}
        return Generated(text, given)

    def _selections(self, type_: Any, depth: int, *, is_root: bool = False) -> str:
        made = [self._selection(type_, depth) for _ in range(self.random.randint(1, self.width))]
        found = [one for one in made if one]
        return "{ " + " ".join(found or ["__typename"]) + " }"

    def _selection(self, type_: Any, depth: int) -> str:
        roll = self.random.random()
        if roll < 0.06:
            return "__typename" if self.random.random() < 0.7 else f"{self._alias()}: __typename"
        if roll < 0.16:
            return self._inline(type_, depth)
        if roll < 0.24 and depth > 1:
            return self._spread(type_, depth)
        return self._field(type_, depth)

    def _narrowed(self, type_: Any) -> Any:
        choices = [type_]
        if is_abstract_type(type_):
            choices += list(self.schema.get_possible_types(type_))
        if hasattr(type_, "interfaces"):
            choices += list(type_.interfaces)
        return self.random.choice(choices)

    def _inline(self, type_: Any, depth: int) -> str:
        narrowed = self._narrowed(type_)
        on = f" on {narrowed.name}" if narrowed is not type_ or self.random.random() < 0.5 else ""
        defer = self._defer(type_)
        return f"...{on}{self._condition()}{defer} {self._selections(narrowed, depth)}" if depth > 0 else "__typename"

    def _spread(self, type_: Any, depth: int) -> str:
        fitting = [name for name, (on, _) in self._fragments.items() if on == type_.name]
        if fitting and self.random.random() < 0.5:
            return f"...{self.random.choice(fitting)}{self._condition()}{self._defer(type_)}"
        narrowed = self._narrowed(type_)
        selections = self._selections(narrowed, depth - 1)
        name = f"F{len(self._fragments)}"
        self._fragments[name] = (narrowed.name, selections)
        return f"...{name}{self._condition()}{self._defer(type_)}"

    def _defer(self, type_: Any) -> str:
        if not self.deferred or self.random.random() > self.deferred or type_ is self.schema.mutation_type:
            return ""
        self._labels += 1
        condition = self._condition_variable() if self.random.random() < 0.2 else ""
        return f' @defer({condition}label: "l{self._labels}")'

    def _condition_variable(self) -> str:
        self._variables.setdefault("d", ("Boolean! = true", self.random.choice([..., True, False])))
        return "if: $d, "

    def _field(self, type_: Any, depth: int) -> str:
        if not hasattr(type_, "fields"):
            return self._inline(type_, depth)
        fields = [
            (name, one)
            for name, one in type_.fields.items()
            if f"{type_.name}.{name}" not in self.left_out
            and name not in self.left_out
            and (depth > 0 or is_leaf_type(get_named_type(one.type)))
        ]
        if not fields:
            return "__typename"
        name, chosen = self.random.choice(fields)
        inner = get_named_type(chosen.type)
        arguments = self._arguments(chosen)
        needs_alias = bool(arguments) or self.random.random() < 0.1
        alias = f"{self._alias()}: " if needs_alias else ""
        nested = "" if is_leaf_type(inner) else " " + self._selections(inner, depth - 1)
        return f"{alias}{name}{arguments}{self._condition()}{nested}"

    def _alias(self) -> str:
        self._aliases += 1
        return f"a{self._aliases}"

    def _condition(self) -> str:
        roll = self.random.random()
        if roll > 0.12:
            return ""
        word = self.random.choice(["skip", "include"])
        if roll < 0.04:
            return f" @{word}(if: {self.random.choice(['true', 'false'])})"
        name = f"c{self.random.randint(0, 2)}"
        if name not in self._variables:
            given: Any = self.random.choice([True, False])
            type_ = "Boolean!"
            if self.random.random() < 0.3:
                type_, given = f"Boolean = {self.random.choice(['true', 'false'])}", self.random.choice([..., True])
            self._variables[name] = (type_, given)
        return f" @{word}(if: ${name})"

    def _arguments(self, chosen: Any) -> str:
        made = []
        for name, argument in chosen.args.items():
            is_required = isinstance(argument.type, GraphQLNonNull) and argument.default is None
            if not is_required and self.random.random() < 0.6:
                continue
            made.append(f"{name}: {self._value(argument.type)}")
        return f"({', '.join(made)})" if made else ""

    def _value(self, type_: Any) -> str:
        if self.random.random() < 0.4:
            variable = f"v{len(self._variables)}"
            self._variables[variable] = (str(type_), self._json(type_))
            return f"${variable}"
        return self._literal(type_)

    def _literal(self, type_: Any) -> str:
        return self._made(type_)[0]

    def _json(self, type_: Any) -> Any:
        if not isinstance(type_, GraphQLNonNull) and self.random.random() < 0.15:
            return ...
        if self.random.random() < 0.05:
            return self.random.choice([None, 5, "wrong", [], {}, True])
        return self._made(type_)[1]

    def _made(self, type_: Any) -> tuple[str, Any]:
        if isinstance(type_, GraphQLNonNull):
            return self._present(type_.of_type)
        if self.random.random() < 0.06:
            return "null", None
        return self._present(type_)

    def _present(self, type_: Any) -> tuple[str, Any]:
        if isinstance(type_, GraphQLList):
            items = [self._made(type_.of_type) for _ in range(self.random.randint(0, 3))]
            return "[" + ", ".join(text for text, _ in items) + "]", [value for _, value in items]
        if isinstance(type_, GraphQLEnumType):
            name = self.random.choice(list(type_.values))
            return name, name
        if isinstance(type_, GraphQLInputObjectType):
            return self._input(type_)
        choices = [*LITERALS.get(type_.name, ()), *self.values.get(type_.name, ())] or [('"?"', "?")]
        return self.random.choice(choices)

    def _input(self, type_: GraphQLInputObjectType) -> tuple[str, Any]:
        names = list(type_.fields)
        if type_.is_one_of:
            names = [self.random.choice(names)]
        texts, values = [], {}
        for name in names:
            given = type_.fields[name]
            is_required = isinstance(given.type, GraphQLNonNull) or type_.is_one_of
            if not is_required and self.random.random() < 0.5:
                continue
            wanted = GraphQLNonNull(given.type) if type_.is_one_of else given.type
            text, value = self._made(wanted)
            texts.append(f"{name}: {text}")
            values[name] = value
        return "{" + ", ".join(texts) + "}", values
