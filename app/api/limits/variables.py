"""Limits on variables, checked before coercion: number of values, depth, list length. Messages contain no values."""

from collections.abc import Mapping
from typing import Any, Final

from app.api.limits.rules import Limits
from app.api.problems import RequestRefused

_NESTED: Final = frozenset({dict, list})


def check_variables(variables: Mapping[str, Any], limits: Limits) -> None:
    """Raises RequestRefused. Ordinary requests have only scalars, for which this is one pass over a small dict."""
    if len(variables) <= limits.variable_values and limits.variable_depth:
        for one in variables.values():
            if one.__class__ in _NESTED:
                break
        else:
            return
    _check_levels(variables, limits)


def _check_levels(variables: Mapping[str, Any], limits: Limits) -> None:
    level: list[Any] = [variables]
    count = depth = 0
    while level:
        depth += 1
        if depth > limits.variable_depth:
            raise RequestRefused("VARIABLES_LIMIT", "The variables are nested too deeply.", limit=limits.variable_depth)
        beneath: list[Any] = []
        for one in level:
            count += len(one)
            if one.__class__ is list:
                if len(one) > limits.list_items:
                    raise RequestRefused("LIST_LIMIT", limit=limits.list_items, found=len(one))
                beneath += [value for value in one if value.__class__ in _NESTED]
            else:
                beneath += [value for value in one.values() if value.__class__ in _NESTED]
        if count > limits.variable_values:
            raise RequestRefused(
                "VARIABLES_LIMIT", "The variables contain too many values.", limit=limits.variable_values
            )
        level = beneath
