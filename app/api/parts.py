"""The parts of an operation with `@defer`, as JSON for clients.

Two formats exist. Both begin with the initial result. In the newer one it announces the fragments that will follow by
id (`pending`); later payloads have their data (`incremental`) and end them (`completed`). In the older one each entry
of `incremental` has the path and label of its fragment.
https://specs.apollo.dev/incremental/v0.2, https://specs.apollo.dev/incremental/v0.1
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphql import GraphQLError
from graphql.execution import InitialIncrementalExecutionResult, SubsequentIncrementalExecutionResult

from app.api import error_format
from app.api.encoding import encoded
from app.api.negotiation import PartsFormat
from app.api.response import encode
from app.execution.budget import ExecutionBudget, TooLarge

Body = dict[str, Any]


class PartsEncoder:
    """Encodes the parts of one operation, in order, in the newer format. Together they have the limits of a response.

    `extensions` returns the extensions of the response so far.
    """

    def __init__(self, budget: ExecutionBudget, request_id: str, extensions: Callable[[], Mapping[str, Any]]) -> None:
        self._budget = budget
        self._request_id = request_id
        self._extensions = extensions
        self._pending: list[str] = []
        self._bytes = 0
        self.has_failed = False
        """True if an error was the gateway's own failure."""

    async def first(self, result: InitialIncrementalExecutionResult) -> Body:
        errors: Sequence[GraphQLError] = result.errors or ()
        try:
            shown = {"data": await self._encoded(result.data)}
        except TooLarge as error:
            return {"errors": self._errors([error]), "data": None, "extensions": self._extensions(), "hasNext": False}
        return {
            **({"errors": self._errors(errors)} if errors else {}),
            **shown,
            "pending": self._announced(result.pending),
            "extensions": self._extensions(),
            "hasNext": True,
        }

    async def next(self, part: SubsequentIncrementalExecutionResult) -> Body:
        """If the response becomes too large, the last part: every fragment that is missing has failed."""
        body: Body = {"hasNext": part.has_next}
        try:
            entries = [await self._entry(one) for one in part.incremental or ()]
        except TooLarge as error:
            completed = [{"id": one, "errors": self._errors([error])} for one in self._pending]
            return {"completed": completed, "extensions": self._extensions(), "hasNext": False}
        if part.pending:
            body["pending"] = self._announced(part.pending)
        completed = [self._completed(one) for one in part.completed or ()]
        if entries:
            body["incremental"] = entries
            entries[-1]["extensions"] = self._extensions()
        elif not part.has_next:
            body["extensions"] = self._extensions()
        if completed:
            body["completed"] = completed
        return body

    def _announced(self, pending: Sequence[Any]) -> list[Body]:
        self._pending += [one.id for one in pending]
        return [one.formatted for one in pending]

    async def _entry(self, one: Any) -> Body:
        made: Body = {"id": one.id, "data": await self._encoded(one.data)}
        if one.sub_path:
            made["subPath"] = one.sub_path
        if one.errors:
            made["errors"] = self._errors(one.errors)
        return made

    def _completed(self, one: Any) -> Body:
        self._pending.remove(one.id)
        return {"id": one.id, "errors": self._errors(one.errors)} if one.errors else {"id": one.id}

    def _errors(self, errors: Sequence[GraphQLError]) -> list[dict[str, Any]]:
        rows = error_format.format_execution_errors(errors, self._request_id)
        self.has_failed = self.has_failed or error_format.has_failed(rows)
        return rows

    async def _encoded(self, data: Any) -> Any:
        fragment = await encoded(data, self._budget)
        self._bytes += len(encode(fragment))
        self._budget.check_bytes(self._bytes)
        return fragment


def converter(format: PartsFormat) -> Callable[[Body], Body]:
    """Converts one operation's bodies, in order, to this format."""
    return (lambda body: body) if format is PartsFormat.IDS else _ByPath()


class _ByPath:
    """A fragment that has no entry of its own, since others have its fields, gets one without data."""

    def __init__(self) -> None:
        self._fragments: dict[str, Body] = {}
        self._delivered: set[str] = set()

    def __call__(self, body: Body) -> Body:
        made = {key: value for key, value in body.items() if key not in ("pending", "incremental", "completed")}
        for one in body.get("pending", ()):
            self._fragments[one["id"]] = {key: one[key] for key in ("path", "label") if key in one}
        entries = [self._entry(one) for one in body.get("incremental", ())]
        entries += [self._end(one) for one in body.get("completed", ()) if "errors" in one or self._is_missing(one)]
        if entries:
            made["incremental"] = entries
        return made

    def _entry(self, one: Body) -> Body:
        self._delivered.add(one["id"])
        fragment = self._fragments[one["id"]]
        more = {key: value for key, value in one.items() if key not in ("id", "subPath")}
        return {**fragment, "path": [*fragment["path"], *one.get("subPath", ())], **more}

    def _end(self, one: Body) -> Body:
        failed = {"data": None, "errors": one["errors"]} if "errors" in one else {"data": {}}
        return {**self._fragments[one["id"]], **failed}

    def _is_missing(self, one: Body) -> bool:
        return one["id"] not in self._delivered


def errors_of(body: Body) -> Sequence[Body]:
    """The errors of a response, or of one part."""
    found = list(body.get("errors", ()))
    for one in (*body.get("incremental", ()), *body.get("completed", ())):
        found += one.get("errors", ())
    return found
