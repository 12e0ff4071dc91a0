"""Generated Python for what is plain: attributes, `__typename`, leaves, lists, objects and interfaces of such.

A generated function knows no path, no error and no null propagation. A null in a non-null place, a class that was not
expected, an awaitable, any exception: it raises, and the caller completes the same source value carefully. So only
what may be done twice is generated: reading attributes and writing scalars.

Nothing that a client wrote becomes source except through `repr`: names, values and types go in as constants.
"""

import keyword
from collections.abc import Callable
from dataclasses import dataclass
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from graphql import GraphQLEnumType, GraphQLLeafType, GraphQLObjectType, Undefined, get_named_type
from graphql.type import GraphQLList, GraphQLNonNull, is_abstract_type, is_leaf_type

from app.execution import bridge
from app.execution.budget import SLICE, Budget, TooLarge
from app.execution.careful import Completer
from app.execution.listed import listed
from app.execution.state import Path, Run

if TYPE_CHECKING:
    from app.execution.selections import Entry, Selection, Variant

_TEXT: Final = frozenset({"String", "ID"})
_SENT_AS_THEY_ARE: Final = frozenset({str, int, float, bool})
_LEAST, _MOST = -(2**31), 2**31 - 1


class Odd(Exception):
    """Never leaves this room."""


@dataclass(frozen=True, slots=True)
class Code:
    """`function(source, budget)` answers the object's results in order, with None at the `holes`: fields that it left
    out. It counts the items of lists; whoever calls it counts the object itself (`Selection.full_weight`)."""

    function: Callable[[Any, Budget], dict[str, Any]]
    holes: frozenset[str]


def compile_selection(selection: "Selection", *, at_once: bool = False) -> Code | None:
    """None where no field is plain. `at_once`: what is often known when the object is made is taken for known."""
    writer = _Writer(selection.variant, at_once=at_once)
    holes = [entry.key for entry in selection.entries if not writer.add(selection.type, entry)]
    if len(holes) == len(selection.entries):
        return None
    kind = bridge.class_of(selection.type)
    return Code(writer.function(kind, selection.type), frozenset(holes))


def tried_first(
    variant: "Variant", place: bridge.Place, details: bridge.Details, type_: Any, careful: Completer
) -> Completer:
    """A completer that tries generated code on the whole value, where all below it is plain."""
    writer = _Writer(variant)
    inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    if is_leaf_type(inner):
        return careful
    expression = writer.value(type_, details, "o")
    if expression is None:
        return listed(variant, place, details, inner, careful) if isinstance(inner, GraphQLList) else careful
    made = writer.expression(expression)
    if isinstance(inner, GraphQLList):
        item_fields = max(1, variant.weight_of(inner.of_type, details)[0])
        return _in_turns(made, max(1, SLICE // item_fields), careful)
    fields, size = variant.weight_of(type_, details)

    def complete(run: Run, value: Any, path: Path) -> Any:
        budget = run.budget
        before = budget.fields, budget.bytes
        try:
            budget.take(fields, size, 1)
            return made(value, budget)
        except TooLarge:
            raise
        except Exception:  # noqa: BLE001 - whatever is odd about this value is met again, and told, by `careful`
            budget.given_back(*before)
            return careful(run, value, path)

    return complete


def _in_turns(made: Callable[[Any, Budget], Any], at_once: int, careful: Completer) -> Completer:
    """For a list: `at_once` items are made in one slice, more of them one slice after the other."""

    def complete(run: Run, value: Any, path: Path) -> Any:
        budget = run.budget
        if value.__class__ is list and (len(value) > at_once or budget.until_turn < 0):
            return slices(run, value, path)
        before = budget.fields, budget.bytes
        try:
            return made(value, budget)
        except TooLarge:
            raise
        except Exception:  # noqa: BLE001 - whatever is odd about this value is met again, and told, by `careful`
            budget.given_back(*before)
            return careful(run, value, path)

    async def slices(run: Run, value: list[Any], path: Path) -> Any:
        budget = run.budget
        before = budget.fields, budget.bytes
        results: list[Any] = []
        try:
            for start in range(0, len(value), at_once):
                if budget.until_turn < 0:
                    await budget.turn()
                results += made(value[start : start + at_once], budget)
        except TooLarge:
            raise
        except Exception:  # noqa: BLE001 - as above
            budget.given_back(*before)
            done = careful(run, value, path)
            return await done if done.__class__ is CoroutineType else done
        return results

    return complete


class _Writer:
    """Source of one function, and the constants that it uses."""

    def __init__(self, variant: "Variant", *, at_once: bool = False) -> None:
        self._variant = variant
        self._at_once = at_once
        self._constants: dict[str, Any] = {"Odd": Odd, "sent": _SENT_AS_THEY_ARE}
        self._lines: list[str] = []
        self._members: list[str] = []

    def add(self, type_: GraphQLObjectType, entry: "Entry") -> bool:
        """Write one field; False leaves a hole for it."""
        if entry.place is None:
            self._members.append(f"{entry.key!r}: {self._constant(type_.name)}")
            return True
        attribute = entry.resolution
        if isinstance(attribute, bridge.Attribute) and _is_name(attribute.name):
            variable = f"v{len(self._members)}"
            expression = self._member(entry.place.field.type, entry.details, variable, attribute.name)
            if expression is not None:
                self._members.append(f"{entry.key!r}: {expression}")
                return True
        known = bridge.known_at_once(entry.place, entry.resolution) if self._at_once else None
        if known is not None:  # None is in no table of names: a KeyError, where it is not known after all
            self._members.append(f"{entry.key!r}: {self._constant(known.names)}[id(o.{known.attribute})]")
            return True
        self._members.append(f"{entry.key!r}: None")
        return False

    def function(self, kind: type | None, type_: GraphQLObjectType) -> Callable[[Any, Budget], dict[str, Any]]:
        if type_.is_type_of is None:  # nobody asks what class it is: a resolver may answer any that has the attributes
            check = f"o.__class__ in {self._vetted()} or vet(o)"
        elif kind is not None:
            self._constants["kind"] = kind
            check = "if o.__class__ is not kind: raise Odd"
        else:
            check = "raise Odd"
        marked = f"if hasattr(o, {bridge.CAST_MARK!r}): raise Odd"
        body = [check, *([marked] if type_.is_type_of is not None else []), *self._lines]
        body.append("return {" + ", ".join(self._members) + "}")
        return self._made(body)

    def expression(self, expression: str) -> Callable[[Any, Budget], Any]:
        return self._made([f"return {expression}"])

    def value(self, type_: Any, details: bridge.Details, variable: str) -> str | None:
        """An expression for the completed value of `variable`; None where something below is not plain."""
        is_nullable = not isinstance(type_, GraphQLNonNull)
        inner = type_ if is_nullable else type_.of_type
        if is_leaf_type(inner):
            return self._leaf(inner, variable, is_nullable)
        if isinstance(inner, GraphQLList):
            item = self.value(inner.of_type, details, "x")
            if item is None:
                return None
            items = self._constant(_SEQUENCES)
            counted = ""
            if not is_leaf_type(get_named_type(inner)):
                counted = " and b.take_items({}, {}, {})".format(
                    variable, *self._variant.weight_of(inner.of_type, details)
                )
            code = f"([{item} for x in {variable}] if {variable}.__class__ in {items}{counted} else odd())"
            self._constants["odd"] = _odd
        else:
            function = self._object(inner, details)
            if function is None:
                return None
            code = function.replace("$", variable)
        return f"(None if {variable} is None else {code})" if is_nullable else code

    def _member(self, type_: Any, details: bridge.Details, variable: str, name: str) -> str | None:
        """As `value`, of an attribute; statements where they are cheaper than calls."""
        is_nullable = not isinstance(type_, GraphQLNonNull)
        inner = type_ if is_nullable else type_.of_type
        if isinstance(inner, GraphQLEnumType):
            return self._leaf(inner, f"o.{name}", is_nullable)
        unless_null = f"{variable} is not None and " if is_nullable else ""
        check = _check(inner, variable)
        if check is None:
            expression = self.value(type_, details, variable)
            if expression is None:
                return None
            self._lines.append(f"{variable} = o.{name}")
            return expression
        self._lines.append(f"{variable} = o.{name}")
        self._lines.append(f"if {unless_null}{check}: raise Odd")
        return variable

    def _leaf(self, type_: GraphQLLeafType, variable: str, is_nullable: bool) -> str:
        if isinstance(type_, GraphQLEnumType):
            names: dict[int, str | None] = dict(bridge.member_names(type_))
            if is_nullable:
                names[id(None)] = None
            return f"{self._constant(names)}[id({variable})]"
        convert = type_.coerce_output_value
        plain = type_.name in _TEXT
        kept = bridge.is_passed_through(type_)
        function = self._constant(_text if plain else _kept if kept else _written(convert))
        code = f"{function}({variable})"
        return f"(None if {variable} is None else {code})" if is_nullable else code

    def _object(self, type_: Any, details: bridge.Details) -> str | None:
        """A call with `$` for the value."""
        if not is_abstract_type(type_):
            code = self._variant.select(type_, details).code(at_once=self._at_once)
            return f"{self._constant(code.function)}($, b)" if code is not None and not code.holes else None
        functions: dict[type, Callable[[Any, Budget], Any]] = {}
        for kind, runtime in bridge.classes_of(self._variant.schema, type_).items():
            code = self._variant.select(runtime, details).code(at_once=self._at_once)
            if code is None or code.holes:
                return None
            functions[kind] = code.function
        return f"{self._constant(functions)}[$.__class__]($, b)" if functions else None

    def _constant(self, value: Any) -> str:
        name = f"c{len(self._constants)}"
        self._constants[name] = value
        return name

    def _vetted(self) -> str:
        self._constants["vet"] = _vet
        return self._constant(_VETTED)

    def _made(self, body: list[str]) -> Callable[[Any, Budget], Any]:
        source = "def made(o, b):\n" + "".join(f"    {line}\n" for line in body)
        space = dict(self._constants)
        exec(compile(source, "<plan>", "exec"), space)  # noqa: S102 - our own source; see the module's docstring
        self._variant.weight += len(source) // 40
        made: Callable[[Any, Budget], Any] = space["made"]
        return made


_SEQUENCES: Final = frozenset({list, tuple})
_VETTED: Final[set[type]] = {str, int, float, bool}


def _vet(value: Any) -> None:
    """Remember classes whose instances are neither failures nor awaitable."""
    kind = type(value)
    if kind in _VETTED:
        return
    is_failure = issubclass(kind, BaseException) or value is None or value is Undefined
    if is_failure or kind is CoroutineType or hasattr(value, "__await__"):
        raise Odd
    if len(_VETTED) < 1_000:
        _VETTED.add(kind)


def _check(type_: Any, variable: str) -> str | None:
    """A condition under which the attribute is odd, for leaves that are sent as they are."""
    if not is_leaf_type(type_) or isinstance(type_, GraphQLEnumType):
        return None
    if type_.name in _TEXT:
        return f"{variable}.__class__ is not str"
    if type_.name == "Boolean":
        return f"{variable} is not True and {variable} is not False"
    if type_.name == "Int":
        return f"({variable}.__class__ is not int or not {_LEAST} <= {variable} <= {_MOST})"
    if bridge.is_passed_through(type_):
        return f"{variable}.__class__ not in sent"
    return None


def _text(value: Any) -> Any:
    if value.__class__ is not str:
        raise Odd
    return value


def _kept(value: Any) -> Any:
    if value.__class__ not in _SENT_AS_THEY_ARE:
        raise Odd
    return value


def _written(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A scalar's own writer, for values that are neither failures nor awaitable."""

    def write(value: Any) -> Any:
        if value.__class__ not in _VETTED:
            _vet(value)
        done = convert(value)
        if done is None or done is Undefined:
            raise Odd
        return done

    return write


def _odd() -> Any:
    raise Odd


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)
