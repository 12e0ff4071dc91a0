"""The limits. Each is a setting of the section `gate`, of the same name."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Counts refer to the document as executed: a fragment counts each time it is spread.

    `response_fields` and `response_bytes` limit the response: estimated before execution, counted during it.
    """

    document_characters: int = 60_000
    tokens: int = 4_000
    depth: int = 16
    aliases: int = 60
    fields: int = 400
    root_fields: int = 50
    mutation_fields: int = 5
    directives: int = 50
    definitions: int = 100
    variables: int = 100
    comparisons: int = 5_000
    list_items: int = 1_000
    variable_values: int = 20_000
    variable_depth: int = 16
    cost: int = 400
    response_fields: int = 100_000
    response_bytes: int = 16_000_000
