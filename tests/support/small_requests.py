"""Requests to an endpoint over the small graph, in process, and the error codes of refused ones."""

import json
from typing import Any

from tests.support.asgi import Reply, call
from tests.support.small_graph import endpoint

GOOD = {"authorization": "Bearer good"}
PLAIN = {"authorization": "Bearer plain"}
JSON = {"content-type": "application/json", **GOOD}


def codes(reply: Reply) -> list[str]:
    return [error["extensions"]["code"] for error in reply.json()["errors"]]


async def post(body: Any, app: Any = None, headers: dict[str, str] | None = None) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await call(app or endpoint(), "POST", "/graphql", body=raw, headers={**JSON, **(headers or {})})


async def get(query: str, app: Any = None, headers: dict[str, str] | None = None) -> Reply:
    return await call(app or endpoint(), "GET", f"/graphql?{query}", headers=GOOD if headers is None else headers)
