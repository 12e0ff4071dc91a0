"""The numbers. Each is a setting of the section `gate`, of the same name."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Counts are of the document as it is executed: a fragment counts again wherever it is spread."""

    document_characters: int = 60_000
    tokens: int = 4_000
    depth: int = 16
    aliases: int = 60
    fields: int = 400
    root_fields: int = 50
    mutation_fields: int = 5
    directives: int = 50
    list_items: int = 1_000
    variable_values: int = 20_000
    variable_depth: int = 16
    cost: int = 400
