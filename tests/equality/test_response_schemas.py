"""Random documents: each response, and the variables, fit the JSON Schema that OpenAPI and MCP give of them."""

from functools import cache
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from app.api.documents.described import DescribedGraph
from app.execution.documents import DocumentCache
from app.execution.run import run_operation
from resolvers.scalars import JSON_SCHEMAS
from resolvers.schema import print_sdl, schema
from tests.equality import worlds
from tests.equality.test_equality import _IDS, NOT_EQUAL_BY_NATURE, generated

DOCUMENTS: Final = 160
PARTS: Final = 2

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@cache
def graph() -> DescribedGraph:
    return DescribedGraph(print_sdl(), JSON_SCHEMAS)


@pytest.mark.parametrize("part", range(PARTS))
async def test_responses_fit_their_schemas(part: int) -> None:
    documents = DocumentCache(schema._schema, max_bytes=1, max_tokens=100_000, suggest=False)
    compared = 0
    for seed in range(part, DOCUMENTS, PARTS):
        made, document = generated(schema, seed, documents, values={"ID": _IDS}, left_out=NOT_EQUAL_BY_NATURE)
        result: Any = await run_operation(schema, document, None, made.variables, worlds.contexts(seed)())
        operation = document.sole
        assert operation is not None
        schemas = graph().schemas(None)
        data = schemas.data(operation, document.fragments)
        given = schemas.variables(operation, document.fragments)
        shared = {"$defs": schemas.definitions}
        for one in (data, given):
            Draft202012Validator.check_schema({**one, **shared})
        if result.data is not None:
            Draft202012Validator({**data, **shared}).validate(result.data)
            compared += len(result.data)
            for error in Draft202012Validator({**given, **shared}).iter_errors(made.variables):
                assert error.validator == "type", (made.text, error)  # GraphQL takes one value for a list, 1 for an ID
    assert compared > DOCUMENTS // PARTS // 2
