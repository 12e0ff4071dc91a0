"""Checks a tool's arguments against its input schema. Messages name the argument and the rule, never the value."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from jsonschema import Draft202012Validator, ValidationError

from app.api.documents.json_schema import JsonSchema

_MOST_FAULTS: Final = 5
_MOST_VALUES: Final = 30
_KINDS: Final = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "array": "a list", "object": "an object", "null": "null",
}  # fmt: skip


class ArgumentCheck:
    def __init__(self, schema: JsonSchema) -> None:
        self._validator = Draft202012Validator(schema)

    def faults(self, arguments: Any) -> list[dict[str, Any]]:
        """GraphQL errors, at most five; empty if the arguments fit."""
        found: dict[str, dict[str, Any]] = {}
        for error in self._validator.iter_errors(arguments):
            for one in _causes(error):
                place = _place(one.absolute_path)
                message = f"{f'The argument {place}' if place else 'The call'} {_rule(one)}."
                found.setdefault(
                    message, {"message": message, "extensions": {"code": "BAD_USER_INPUT", "argument": place}}
                )
                if len(found) == _MOST_FAULTS:
                    return [*found.values()]
        return [*found.values()]


def _causes(error: ValidationError) -> Iterator[ValidationError]:
    """The faults of the branch that the client means: our `anyOf` is a schema, or null."""
    if error.validator != "anyOf":
        yield error
        return
    for one in error.context or ():
        if one.schema_path[0] == 0:
            yield from _causes(one)


def _place(path: Sequence[str | int]) -> str:
    """The path of an argument. Its names are the schema's: an unknown one is reported at the object that has it."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _rule(error: ValidationError) -> str:
    value: Any = error.validator_value
    given: Any = error.instance
    schema: Any = error.schema
    match error.validator:
        case "required":
            missing = [name for name in value if name not in given]
            return f"must include {', '.join(missing)}"
        case "additionalProperties":
            return "must not contain names that the tool's input schema does not define"
        case "minProperties" | "maxProperties":
            return "must have exactly one of its fields"
        case "type":
            return f"must be {' or '.join(_KINDS[one] for one in ([value] if isinstance(value, str) else value))}"
        case "enum":
            shown = ", ".join(str(one) for one in value[:_MOST_VALUES])
            return f"must be one of {shown}"
        case "minimum" | "maximum":
            return "must be a whole number of 32 bits"
        case "minLength":
            return "must not be empty"
        case "pattern":
            about = schema.get("description")
            return f"must match {value}" + (f" ({about})" if about else "")
        case _:
            return "does not fit the tool's input schema"
