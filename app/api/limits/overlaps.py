"""Estimates the work of validating that fields with the same response name can be merged.

Validation compares such fields pairwise (`OverlappingFieldsCanBeMergedRule`): a name repeated a thousand times in a
selection set means half a million comparisons, each of which prints and sorts both fields' arguments. The estimate
takes time linear in the document.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from graphql import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, SelectionSetNode

_CHARACTERS: Final = 32  # characters of arguments that cost as much to compare as a field without any

_DEEPEST: Final = 64  # deeper than any document may be: a fragment spreads itself there


def comparisons(
    roots: Iterable[SelectionSetNode], fragments: Mapping[str, FragmentDefinitionNode], *, at_most: int
) -> int:
    """Comparisons of fields within these selection sets and below, fragments included. Stops beyond `at_most`.

    Selection sets that would be merged count together, whatever their type conditions, as in the validation rule.
    """
    found = groups = 0
    waiting: list[tuple[Sequence[SelectionSetNode], int]] = [([one], 0) for one in roots]
    while waiting and max(found, groups) <= at_most:
        sets, depth = waiting.pop()
        groups += 1
        for nodes in _collected(sets, fragments).values():
            if len(nodes) > 1:
                found += (len(nodes) - 1) * sum(map(_weight, nodes))
            beneath = [one.selection_set for one in nodes if one.selection_set is not None]
            if beneath and depth < _DEEPEST:
                waiting.append((beneath, depth + 1))
    return max(found, groups if groups > at_most else 0)


def _collected(
    sets: Sequence[SelectionSetNode], fragments: Mapping[str, FragmentDefinitionNode]
) -> dict[str, list[FieldNode]]:
    """The fields by response name; each fragment is merged in once."""
    fields: dict[str, list[FieldNode]] = {}
    entered: set[str] = set()
    waiting = list(sets)
    while waiting:
        for one in waiting.pop().selections:
            if isinstance(one, FieldNode):
                fields.setdefault(one.alias.value if one.alias else one.name.value, []).append(one)
            elif isinstance(one, FragmentSpreadNode):
                name = one.name.value
                if name in fragments and name not in entered:
                    entered.add(name)
                    waiting.append(fragments[name].selection_set)
            else:
                waiting.append(one.selection_set)  # type: ignore[attr-defined]  # an inline fragment
    return fields


def _weight(node: FieldNode) -> int:
    if not node.arguments:
        return 1
    first, last = node.arguments[0].loc, node.arguments[-1].loc
    return 1 + (last.end - first.start) // _CHARACTERS if first and last else 1
