"""Large responses are encoded in parts: the same JSON as in one piece, for any shape."""

import json
from random import Random
from typing import Any

import orjson
import pytest

from app.api.encoding import encoded
from app.api.response import encode
from app.execution.budget import ExecutionBudget


def made(random: Random, depth: int) -> Any:
    roll = random.random()
    if depth == 0 or roll < 0.2:
        return random.choice([None, True, 7, 1.5, "", 'a "quoted" \u00fc', "\u2028", {}, []])
    if roll < 0.6:
        return {f"k{n}": made(random, depth - 1) for n in range(random.choice([0, 1, 4, 60]))}
    return [made(random, depth - 1) for _ in range(random.choice([0, 1, 5, 300]))]


@pytest.mark.parametrize("seed", range(25))
async def test_parts_make_the_same_json(seed: int) -> None:
    data = {"a": made(Random(seed), 3), "b": [made(Random(seed + 1_000), 2) for _ in range(40)], "": {}}
    budget = ExecutionBudget(10**9, 10**9)
    budget.take(10_000, 0)  # a long answer
    assert orjson.dumps(await encoded(data, budget)) == orjson.dumps(data)


async def test_what_orjson_does_not_write_is_written_all_the_same() -> None:
    data = {"rows": [{"big": 2**70, "lone": "\ud800"} for _ in range(3_000)]}
    budget = ExecutionBudget(10**9, 10**9)
    budget.take(10_000, 0)
    body = {"data": await encoded(data, budget), "extensions": {"also": 2**70}}
    assert json.loads(encode(body)) == {"data": data, "extensions": {"also": 2**70}}
