"""Generates Python code for plain fields: attributes, `__typename`, leaves, and lists, objects and interfaces of them.

Generated code has no paths, error handling or null propagation. On a null in a non-null position, an unexpected class,
an awaitable or any exception it raises, and the caller falls back to the interpreter for the same value.
So it contains only operations that are safe to repeat: reading attributes and serializing scalars.

Client input enters the source only through `repr`; names, values and types are passed as constants.
"""

import keyword
from collections.abc import Callable
from dataclasses import dataclass
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from graphql import GraphQLEnumType, GraphQLLeafType, GraphQLObjectType, Undefined, get_named_type
from graphql.type import GraphQLList, GraphQLNonNull, is_abstract_type, is_leaf_type

from app.execution import strawberry_internals as internals
from app.execution.budget import SLICE, ExecutionBudget, TooLarge
from app.execution.encoded_lists import FixedList
from app.execution.interpreter import Completer
from app.execution.lists import listed
from app.execution.state import Path, Run

if TYPE_CHECKING:
    from app.execution.selections import Selection, SelectionEntry, Variant

_TEXT: Final = frozenset({"String", "ID"})
_UNCHANGED: Final = frozenset({str, int, float, bool})
_LEAST, _MOST = -(2**31), 2**31 - 1


class Fallback(Exception):
    """The generated code cannot handle a value. Never leaves this package."""


@dataclass(frozen=True, slots=True)
class Code:
    """`function(source, budget)` returns the object's results in order, with None for `holes`: fields it cannot handle.

    It counts the items of lists; the caller counts the object itself (`Selection.full_weight`).
    """

    function: Callable[[Any, ExecutionBudget], dict[str, Any]]
    holes: frozenset[str]


def compile_selection(selection: "Selection", *, at_once: bool = False) -> Code | None:
    """None if no field is plain. `at_once` also generates fields that `precomputed_enum` covers."""
    writer = _Writer(selection.variant, at_once=at_once)
    holes = [entry.key for entry in selection.entries if not writer.add(selection.type, entry)]
    if len(holes) == len(selection.entries):
        return None
    kind = internals.class_of(selection.type)
    return Code(writer.function(kind, selection.type), frozenset(holes))


def generated_first(
    variant: "Variant", place: internals.FieldSite, details: internals.Details, type_: Any, interpreter: Completer
) -> Completer:
    """A completer that tries generated code first, if all fields below the value are plain."""
    writer = _Writer(variant)
    inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    if is_leaf_type(inner):
        return interpreter
    expression = writer.value(type_, details, "o")
    if expression is None:
        return listed(variant, place, details, inner, interpreter) if isinstance(inner, GraphQLList) else interpreter
    made = writer.expression(expression)
    if isinstance(inner, GraphQLList):
        item_fields = max(1, variant.weight_of(inner.of_type, details)[0])
        return _in_turns(made, max(1, SLICE // item_fields), interpreter)
    fields, size = variant.weight_of(type_, details)

    def complete(run: Run, value: Any, path: Path) -> Any:
        budget = run.budget
        before = budget.fields, budget.bytes
        try:
            budget.take(fields, size, 1)
            return made(value, budget)
        except TooLarge:
            raise
        except Exception:  # noqa: BLE001 - `interpreter` repeats the completion and reports the error
            budget.given_back(*before)
            return interpreter(run, value, path)

    return complete


def _in_turns(made: Callable[[Any, ExecutionBudget], Any], at_once: int, interpreter: Completer) -> Completer:
    """A list completer that generates `at_once` items per slice."""
    selection = object()

    def complete(run: Run, value: Any, path: Path) -> Any:
        budget = run.budget
        is_fixed = value.__class__ is FixedList
        if is_fixed and (known := value.find(selection, budget)) is not None:
            return known.data
        if (is_fixed or value.__class__ is list) and (len(value) > at_once or budget.until_turn < 0):
            return slices(run, value, path)
        before = budget.fields, budget.bytes
        try:
            results = made(value, budget)
        except TooLarge:
            raise
        except Exception:  # noqa: BLE001 - `interpreter` repeats the completion and reports the error
            budget.given_back(*before)
            return interpreter(run, value, path)
        if is_fixed:
            known = value.keep(selection, results, [], before[0] - budget.fields, before[1] - budget.bytes)
            return results if known is None else known.data
        return results

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
            done = interpreter(run, value, path)
            return await done if done.__class__ is CoroutineType else done
        return results

    return complete


class _Writer:
    """Writes the source of one function and collects its constants."""

    def __init__(self, variant: "Variant", *, at_once: bool = False) -> None:
        self._variant = variant
        self._at_once = at_once
        self._constants: dict[str, Any] = {"Fallback": Fallback, "sent": _UNCHANGED}
        self._lines: list[str] = []
        self._members: list[str] = []

    def add(self, type_: GraphQLObjectType, entry: "SelectionEntry") -> bool:
        """Write one field; False if it cannot be generated."""
        if entry.place is None:
            self._members.append(f"{entry.key!r}: {self._constant(type_.name)}")
            return True
        attribute = entry.resolution
        if isinstance(attribute, internals.Attribute) and _is_name(attribute.name):
            variable = f"v{len(self._members)}"
            expression = self._member(entry.place.field.type, entry.details, variable, attribute.name)
            if expression is not None:
                self._members.append(f"{entry.key!r}: {expression}")
                return True
        known = internals.precomputed_enum(entry.place, entry.resolution) if self._at_once else None
        if known is not None:  # a value of None falls back: not known
            self._members.append(f"{entry.key!r}: {self._enum(known.names, f'o.{known.attribute}')}")
            return True
        self._members.append(f"{entry.key!r}: None")
        return False

    def function(self, kind: type | None, type_: GraphQLObjectType) -> Callable[[Any, ExecutionBudget], dict[str, Any]]:
        if type_.is_type_of is None:  # no type check: a resolver may return any class that has the attributes
            check = f"o.__class__ in {self._vetted()} or vet(o)"
        elif kind is not None:
            self._constants["kind"] = kind
            check = "if o.__class__ is not kind: raise Fallback"
        else:
            check = "raise Fallback"
        marked = f"if hasattr(o, {internals.CAST_MARK!r}): raise Fallback"
        body = [check, *([marked] if type_.is_type_of is not None else []), *self._lines]
        body.append("return {" + ", ".join(self._members) + "}")
        return self._compile(body)

    def expression(self, expression: str) -> Callable[[Any, ExecutionBudget], Any]:
        return self._compile([f"return {expression}"])

    def value(self, type_: Any, details: internals.Details, variable: str) -> str | None:
        """An expression for the completed value of `variable`; None if a field below is not plain."""
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
            code = f"([{item} for x in {variable}] if {variable}.__class__ in {items}{counted} else fall_back())"
            self._constants["fall_back"] = _fall_back
        else:
            function = self._object(inner, details)
            if function is None:
                return None
            code = function.replace("$", variable)
        return f"(None if {variable} is None else {code})" if is_nullable else code

    def _member(self, type_: Any, details: internals.Details, variable: str, name: str) -> str | None:
        """Like `value`, for an attribute; uses statements where they are cheaper than calls."""
        is_nullable = not isinstance(type_, GraphQLNonNull)
        inner = type_ if is_nullable else type_.of_type
        if isinstance(inner, GraphQLEnumType):
            return self._leaf(inner, f"o.{name}", is_nullable)
        unless_null = f"{variable} is not None and " if is_nullable else ""
        check = _check(inner, variable)
        if check is None and is_leaf_type(inner):
            return self._serialized(inner, variable, name, is_nullable=is_nullable)
        if check is None:
            expression = self.value(type_, details, variable)
            if expression is None:
                return None
            self._lines.append(f"{variable} = o.{name}")
            return expression
        self._lines.append(f"{variable} = o.{name}")
        self._lines.append(f"if {unless_null}{check}: raise Fallback")
        return variable

    def _serialized(self, type_: GraphQLLeafType, variable: str, name: str, *, is_nullable: bool) -> str:
        """Statements that serialize an attribute with the scalar's converter."""
        convert, undefined = self._constant(type_.coerce_output_value), self._constant(Undefined)
        inside = "    " if is_nullable else ""
        self._lines.append(f"{variable} = o.{name}")
        if is_nullable:
            self._lines.append(f"if {variable} is not None:")
        self._lines += [
            f"{inside}{variable}.__class__ in {self._vetted()} or vet({variable})",
            f"{inside}{variable} = {convert}({variable})",
            f"{inside}if {variable} is None or {variable} is {undefined}: raise Fallback",
        ]
        return variable

    def _leaf(self, type_: GraphQLLeafType, variable: str, is_nullable: bool) -> str:
        if isinstance(type_, GraphQLEnumType):
            code = self._enum(internals.EnumNames.of(type_), variable)
            return f"(None if {variable} is None else {code})" if is_nullable else code
        convert = type_.coerce_output_value
        plain = type_.name in _TEXT
        kept = internals.is_passed_through(type_)
        function = self._constant(_text if plain else _unchanged if kept else _serializer(convert))
        code = f"{function}({variable})"
        return f"(None if {variable} is None else {code})" if is_nullable else code

    def _enum(self, names: internals.EnumNames, variable: str) -> str:
        by_member, kind = self._constant(names.by_member), self._constant(names.kind)
        self._constants["fall_back"] = _fall_back
        return f"({by_member}[{variable}._name_] if {variable}.__class__ is {kind} else fall_back())"

    def _object(self, type_: Any, details: internals.Details) -> str | None:
        """A call expression with `$` as a placeholder for the value."""
        if not is_abstract_type(type_):
            code = self._variant.select(type_, details).code(at_once=self._at_once)
            return f"{self._constant(code.function)}($, b)" if code is not None and not code.holes else None
        functions: dict[type, Callable[[Any, ExecutionBudget], Any]] = {}
        for kind, runtime in internals.classes_of(self._variant.schema, type_).items():
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

    def _compile(self, body: list[str]) -> Callable[[Any, ExecutionBudget], Any]:
        source = "def made(o, b):\n" + "".join(f"    {line}\n" for line in body)
        space = dict(self._constants)
        exec(compile(source, "<plan>", "exec"), space)  # noqa: S102 - generated source; see the module's docstring
        self._variant.weight += len(source) // 40
        made: Callable[[Any, ExecutionBudget], Any] = space["made"]
        return made


_SEQUENCES: Final = frozenset({list, tuple, FixedList})
_VETTED: Final[set[type]] = {str, int, float, bool}


def _vet(value: Any) -> None:
    """Cache classes whose instances are neither exceptions nor awaitable; raises Fallback for others."""
    kind = type(value)
    if kind in _VETTED:
        return
    is_failure = issubclass(kind, BaseException) or value is None or value is Undefined
    if is_failure or kind is CoroutineType or hasattr(value, "__await__"):
        raise Fallback
    if len(_VETTED) < 1_000:
        _VETTED.add(kind)


def _check(type_: Any, variable: str) -> str | None:
    """The condition for an unexpected value, for leaves that are serialized unchanged."""
    if not is_leaf_type(type_) or isinstance(type_, GraphQLEnumType):
        return None
    if type_.name in _TEXT:
        return f"{variable}.__class__ is not str"
    if type_.name == "Boolean":
        return f"{variable} is not True and {variable} is not False"
    if type_.name == "Int":
        return f"({variable}.__class__ is not int or not {_LEAST} <= {variable} <= {_MOST})"
    if internals.is_passed_through(type_):
        return f"{variable}.__class__ not in sent"
    return None


def _text(value: Any) -> Any:
    if value.__class__ is not str:
        raise Fallback
    return value


def _unchanged(value: Any) -> Any:
    if value.__class__ not in _UNCHANGED:
        raise Fallback
    return value


def _serializer(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Serialize with the scalar's converter; raises Fallback for exceptions and awaitables."""

    def serialize(value: Any) -> Any:
        if value.__class__ not in _VETTED:
            _vet(value)
        done = convert(value)
        if done is None or done is Undefined:
            raise Fallback
        return done

    return serialize


def _fall_back() -> Any:
    raise Fallback


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)
