"""The SDK's server, and what it asks for: the caller's tools, and the result of one call.

`vaultgraph serve` imports it at start if MCP is enabled: the SDK takes 0.5 s and 40 MB. Source: https://py.sdk.modelcontextprotocol.io
"""

import logging
from importlib.metadata import version
from typing import Any, Final
from uuid import uuid4

import mcp_types as types
import orjson
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from msgspec import Struct

from app.api.disconnect import DisconnectWatch
from app.api.documents.descriptions import Descriptions
from app.api.error_format import masked
from app.api.mcp.tools import KEY, NO_WRITES, RETRY_WITH_KEY, AgentTool, tools_of
from app.api.operations import OperationRunner
from app.api.problems import RequestRefused
from app.api.protocols import RequestPolicy
from app.api.request import GraphQLRequest
from app.api.request_record import RequestRecord
from app.api.response import encode
from app.caching.lru import LruCache
from app.telemetry.tracing import SAMPLED
from app.wallet.caller import Caller

CALL: Final = "vaultgraph.tool_call"
"""The key of the scope under which the endpoint passes a `Message`."""
_NO_TOOL: Final = "PERSISTED_QUERY_NOT_IN_LIST"
_SERVER_ERROR: Final = -32000  # the first of the codes that JSON-RPC leaves to servers
_PAGE: Final = 200
_CACHED: Final = 16  # the schemas of all tools may take a megabyte; callers with the same tools share them
_INSTRUCTIONS: Final = (
    "Tools read and change the payment methods of customers in several vaults. `extensions.sources` names vaults that"
    " did not answer: what they store is then missing, not absent. The `outcome` of a write says if it was applied."
    " If it is PENDING or UNKNOWN, do not call the tool again with a new key."
)


class Message(Struct):
    """One JSON-RPC message. `is_own_error`: its error is one of this gateway, not the SDK's. `is_list`: it asks for the
    tools, a response that is large and holds no customer's data. `is_call`: the SDK took it for a call, which counts
    itself.
    """

    caller: Caller
    record: RequestRecord
    watch: DisconnectWatch
    is_own_error: bool = False
    is_list: bool = False
    is_call: bool = False


def session_manager(answers: "Answers", body_bytes: int) -> StreamableHTTPSessionManager:
    """Stateless, answers in JSON. The endpoint in front has checked Host, Origin, body and credentials."""
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # its lines quote what clients sent
    server: Server[Any] = Server(
        "vaultgraph",
        version=version("vaultgraph"),
        title="Vaultgraph",
        instructions=_INSTRUCTIONS,
        get_tool_input_schema=lambda name: None,  # no argument is declared to be repeated in a header
        on_list_tools=answers.list_tools,
        on_call_tool=answers.call_tool,
    )
    server.middleware.clear()  # the request has its own span
    return StreamableHTTPSessionManager(
        server, json_response=True, stateless=True, max_request_body_size=max(body_bytes, 1)
    )


class Answers:
    """Lists the tools of a caller, and runs one."""

    def __init__(self, operations: OperationRunner, policy: RequestPolicy, descriptions: Descriptions) -> None:
        self._operations = operations
        self._policy = policy
        self._descriptions = descriptions
        self._known: LruCache[tuple[str, frozenset[str]], tuple[object, dict[str, AgentTool]]] = LruCache(_CACHED)

    async def _tools(self, caller: Caller) -> dict[str, AgentTool]:
        """By name."""
        documents = await self._descriptions.of(caller)
        key = self._descriptions.partner_of(caller), caller.scopes
        known = self._known.get(key)
        if known is None or known[0] is not documents:
            known = documents, tools_of(documents, caller.scopes)
            self._known.put(key, known)
        return known[1]

    async def list_tools(self, context: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        message: Message = context.request.scope[CALL]
        message.is_list = True
        tools = [*(await self._tools(message.caller)).values()]
        after = params.cursor if params is not None else None
        left = [one for one in tools if after is None or one.name > after]
        page = left[:_PAGE]
        more = page[-1].name if len(left) > _PAGE else None
        return types.ListToolsResult(tools=[_shown(one) for one in page], next_cursor=more)

    async def call_tool(self, context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        message: Message = context.request.scope[CALL]
        message.is_call = True
        tools = await self._tools(message.caller)
        tool = tools.get(params.name)
        if tool is None:
            message.is_own_error = True
            refused = self._policy.turn_away(message.caller, _NO_TOOL)
            message.record.code, message.record.status = refused.code, refused.status
            if refused.code != _NO_TOOL:
                raise MCPError(_SERVER_ERROR, refused.message, {"code": refused.code})
            raise MCPError(types.INVALID_PARAMS, "The caller has no such tool.", {"code": refused.code})
        asked = ((context.params or {}).get("_meta") or {}).get(RETRY_WITH_KEY)
        key = str(uuid4()) if asked is None else asked
        result, is_error = await self._run(tool, params.arguments or {}, key, message, is_repeat=asked is not None)
        if asked is not None and not result.get("operations"):  # the journal has no such key: it may be any text
            result.pop("idempotencyKey", None)
        text = types.TextContent(text=encode(result).decode())
        return types.CallToolResult(content=[text], structured_content=result, is_error=is_error)

    async def _run(
        self, tool: AgentTool, arguments: dict[str, Any], key: Any, message: Message, *, is_repeat: bool
    ) -> tuple[dict[str, Any], bool]:
        """The structured content of the result, and whether it is an error."""
        record, operations = message.record, self._operations
        not_run = "UNKNOWN" if is_repeat else "FAILED"  # the earlier call with the key may have been applied
        is_running = False
        record.request = GraphQLRequest(None, document_id=tool.document.document_id)  # logged if refused
        try:
            variables = self._checked(tool, arguments, key, message)
            request = record.request = GraphQLRequest(None, variables=variables, document_id=tool.document.document_id)
            prepared = await operations.prepare(request, message.caller)
            record.prepared = (prepared,)
            if record.span is not None:
                SAMPLED.set(record.span)  # the SDK may run this in a task with a context of its own
            message.watch.is_cancelled_on_leaving = not prepared.is_mutation  # a mutation always completes
            is_running = True
            outcome = await operations.run(prepared, record)
            body: dict[str, Any] = orjson.loads(encode(outcome.body))
            writes = prepared.context.writes if prepared.context is not None else None
            return tool.result(body, key, writes or NO_WRITES, is_repeat=is_repeat)
        except RequestRefused as refused:
            problem, state = refused, not_run
            record.status = refused.status
        except Exception as error:  # noqa: BLE001 - a bug is logged, masked and answered
            problem, state = masked(error, record.request_id), "UNKNOWN" if is_running else not_run
            record.has_failed = True
        record.code = problem.code
        return tool.result(_body(problem, record), key, outcome=state)

    def _checked(self, tool: AgentTool, arguments: dict[str, Any], key: Any, message: Message) -> dict[str, Any]:
        """The variables. Raises RequestRefused(BAD_USER_INPUT), which counts as a request."""
        faults = tool.check.faults(arguments)
        if not isinstance(key, str):
            text = f"The member {RETRY_WITH_KEY} of _meta must be text, as an {KEY} is."
            faults.append(
                {"message": text, "extensions": {"code": "BAD_USER_INPUT", "argument": f"_meta.{RETRY_WITH_KEY}"}}
            )
        if faults:
            self._policy.charge(message.caller)
            raise RequestRefused("BAD_USER_INPUT", errors=faults)
        return tool.variables(arguments, key)


def _body(refused: RequestRefused, record: RequestRecord) -> dict[str, Any]:
    extensions: dict[str, Any] = {"requestId": record.request_id}
    if after := refused.headers.get("retry-after"):
        extensions["retryAfterSeconds"] = int(after)
    return {"errors": refused.as_errors(), "extensions": extensions}


def _shown(tool: AgentTool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        description=tool.document.description or None,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=types.ToolAnnotations.model_validate(tool.annotations),
    )
