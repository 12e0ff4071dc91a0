"""`POST /mcp` (Streamable HTTP, stateless), and its OAuth metadata.

This module checks a message before the SDK sees it, and answers in its own words where the SDK would quote the client.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from starlette.types import Message, Receive, Scope

from app.api import strict_json
from app.api.cors import OriginPolicy
from app.api.disconnect import DisconnectWatch
from app.api.documents.descriptions import Descriptions
from app.api.endpoint import EndpointLimits, GraphQLEndpoint
from app.api.headers import count_connection
from app.api.problems import RequestRefused
from app.api.protocols import Door, RequestPolicy
from app.api.request_record import RequestRecord
from app.api.response import HttpResponse, encode
from app.vault.pan import looks_like_card_number
from app.wallet.caller import ALL_SCOPES, Caller

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from app.api.mcp.server import Message as ServerMessage

PATH: Final = "/mcp"
METADATA: Final = "/.well-known/oauth-protected-resource"
_VERSION: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_METHOD: Final = re.compile(r"[A-Za-z/_]{1,100}")
_LONGEST_ID: Final = 200
_PARSE_ERROR, _INVALID_REQUEST, _UNSUPPORTED_VERSION = -32700, -32600, -32022
_MESSAGES: Final[Mapping[int, str]] = {
    _PARSE_ERROR: "The body is not JSON in UTF-8.",
    _INVALID_REQUEST: "The body is not one JSON-RPC request or notification.",
    -32601: "There is no such method here.",
    -32602: "The parameters do not fit the method.",
    -32603: "Unexpected error.",
    _UNSUPPORTED_VERSION: "This version of the protocol is not supported.",
}
_HEAD: Final = 1_000  # bytes of a response in which its kind is found


class AgentEndpoint:
    """`run` runs in the background: it starts the SDK at the first request. `url` is the public address of /mcp.

    Import `app.api.mcp.server` before serving: the import holds the interpreter for half a second.
    """

    def __init__(
        self,
        endpoint: GraphQLEndpoint,
        policy: RequestPolicy,
        descriptions: Descriptions,
        origins: OriginPolicy,
        limits: EndpointLimits,
        *,
        url: str = "",
        issuers: tuple[str, ...] = (),
    ) -> None:
        self._endpoint = endpoint
        self._policy = policy
        self._descriptions = descriptions
        self._origins = origins
        self._limits = limits
        self._url = url
        self._issuers = [one for one in issuers if one.startswith("https://")]
        self._wanted = asyncio.Event()
        self._manager: asyncio.Future[StreamableHTTPSessionManager] | None = None

    @property
    def doors(self) -> dict[str, Door]:
        return {PATH: self, METADATA: self._metadata, f"{METADATA}{PATH}": self._metadata}

    def start_soon(self) -> "asyncio.Future[StreamableHTTPSessionManager]":
        """Start the SDK unless it is started; `run` does it."""
        if self._manager is None:
            self._manager = asyncio.get_running_loop().create_future()
            self._wanted.set()
        return self._manager

    async def run(self) -> None:
        await self._wanted.wait()
        assert self._manager is not None
        try:
            module = await asyncio.to_thread(import_module, "app.api.mcp.server")
            answers = module.Answers(self._endpoint.operations, self._policy, self._descriptions)
            manager = module.session_manager(answers, self._limits.body_bytes)
            async with manager.run():
                self._manager.set_result(manager)
                await asyncio.Event().wait()
        except Exception as error:
            self._manager.set_exception(error)
            raise
        finally:
            if not self._manager.done():  # the gateway stops
                self._manager.cancel()

    async def __call__(
        self, scope: Scope, watch: DisconnectWatch, headers: Mapping[str, str], record: RequestRecord
    ) -> HttpResponse:
        if scope["method"] != "POST":  # no session, and so no stream to open by GET and nothing to DELETE
            raise RequestRefused("METHOD_NOT_ALLOWED", headers={"allow": "POST, OPTIONS"})
        record.transport = "mcp"
        if not self._origins.may_connect(headers):
            raise RequestRefused("FORBIDDEN", "Pages of this origin may not call tools.")
        try:
            record.caller = caller = self._policy.known(headers) or await self._policy.authenticate(headers)
        except RequestRefused as refused:
            if refused.status == 401:
                url = self._resource(scope, headers, f"{METADATA}{PATH}")
                refused.headers["www-authenticate"] += f', resource_metadata="{url}"'
            raise
        count_connection(scope, caller.key)
        raw = await self._endpoint.body(headers, watch)
        wanted = headers.get("mcp-protocol-version")
        if wanted is not None and _VERSION.fullmatch(wanted) is None:
            raise RequestRefused("BAD_REQUEST", "The header MCP-Protocol-Version must be a date.")
        message = _read(raw, self._limits.json_depth)
        if isinstance(message, HttpResponse):
            record.code = "BAD_REQUEST"
            return message
        is_call = message["method"] == "tools/call"  # counted where it is found to run a document, or not
        if not is_call:
            self._policy.charge(caller)
        call, response = await self._answered(scope, raw, caller, watch, record)
        if is_call and not call.is_call:  # the SDK refused it, or took it for a notification
            self._policy.charge(caller)
        return response

    async def _answered(
        self, scope: Scope, raw: bytes, caller: Caller, watch: DisconnectWatch, record: RequestRecord
    ) -> "tuple[ServerMessage, HttpResponse]":
        manager = await asyncio.shield(self.start_soon())
        server = import_module("app.api.mcp.server")
        call = server.Message(caller, record, watch)
        sent: list[Message] = []

        async def send(part: Message) -> None:
            sent.append(part)

        await manager.handle_request({**scope, server.CALL: call}, _body(raw), send)
        start = next(part for part in sent if part["type"] == "http.response.start")
        body = b"".join(part.get("body", b"") for part in sent)
        if b'"error":' in body[:_HEAD] and not call.is_own_error:
            record.code, body = record.code or "BAD_REQUEST", _without_quotes(body)
        return call, HttpResponse(int(start["status"]), body, "application/json", is_open=call.is_list)

    async def _metadata(
        self, scope: Scope, watch: DisconnectWatch, headers: Mapping[str, str], record: RequestRecord
    ) -> HttpResponse:
        """RFC 9728. The resource is /mcp, and for the path without it the gateway."""
        if scope["method"] not in ("GET", "HEAD"):
            raise RequestRefused("METHOD_NOT_ALLOWED", headers={"allow": "GET, HEAD, OPTIONS"})
        made: dict[str, Any] = {
            "resource": self._resource(scope, headers, PATH if scope["path"].endswith(PATH) else ""),
            "resource_name": "Vaultgraph",
            "scopes_supported": sorted(ALL_SCOPES),
            "bearer_methods_supported": ["header"],
        }
        if self._issuers:
            made["authorization_servers"] = self._issuers
        return HttpResponse(200, encode(made))

    def _resource(self, scope: Scope, headers: Mapping[str, str], path: str) -> str:
        """An address of this gateway as the client sees it. Only that client sees the response to its own headers."""
        if self._url:
            return f"{self._url.removesuffix(PATH)}{path}"
        forwarded = headers.get("x-forwarded-proto", "")
        scheme = forwarded if forwarded in ("http", "https") else scope["scheme"]
        host = headers.get("host", "")
        return f"{scheme}://{host if _HOST.fullmatch(host) else 'localhost'}{path}"


_HOST: Final = re.compile(r"[A-Za-z0-9.\-:\[\]]{1,255}")


def _read(raw: bytes, max_depth: int) -> "dict[str, Any] | HttpResponse":
    """The message, or the response to what is none. The SDK would accept repeated members and quote wrong ones."""
    try:
        message = strict_json.loads(raw, max_depth=max_depth)
    except (strict_json.NestedTooDeep, strict_json.NotStrictJson):
        return _error(_PARSE_ERROR)
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return _error(_INVALID_REQUEST)
    number, method = message.get("id"), message.get("method")
    is_numbered = isinstance(number, str | int) and not isinstance(number, bool) and len(str(number)) <= _LONGEST_ID
    is_named = isinstance(method, str) and _METHOD.fullmatch(method) is not None
    if not is_named or not isinstance(message.get("params", {}), dict) or message.keys() & {"result", "error"}:
        return _error(_INVALID_REQUEST)
    if "id" in message and (not is_numbered or looks_like_card_number(str(number))):
        return _error(_INVALID_REQUEST)
    return message


def _error(code: int) -> HttpResponse:
    error = {"code": code, "message": _MESSAGES[code], "data": {"code": "BAD_REQUEST"}}
    return HttpResponse(400, encode({"jsonrpc": "2.0", "id": None, "error": error}), "application/json")


def _without_quotes(body: bytes) -> bytes:
    """An error of the SDK in this gateway's words: its own may quote the client."""
    message = json.loads(body)
    if "error" not in message:
        return body
    code = message["error"].get("code")
    known = {"code": code, "message": _MESSAGES.get(code, "The request cannot be served.")}
    if code == _UNSUPPORTED_VERSION:
        known["data"] = message["error"].get("data")
    return encode({**message, "error": known})


def _body(raw: bytes) -> Receive:
    """The body, read already, then silence: the endpoint watches for the client's disconnect."""
    parts = [{"type": "http.request", "body": raw, "more_body": False}]

    async def receive() -> Message:
        if parts:
            return parts.pop()
        await asyncio.Event().wait()
        raise AssertionError

    return receive
