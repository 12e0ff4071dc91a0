"""A real gateway for tests: uvicorn in a thread with its own event loop, called over HTTP. Stopping it searches for
leaks.
"""

import asyncio
import io
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import urlopen

from app.api.auth.development import DEFAULT_SCOPES, DevTokens
from app.cli.demo_data import link_demo_customers
from app.cli.development import dev_settings
from app.main import Gateway
from app.server.run import serve
from app.server.sockets import bind, url_of
from app.testing.server_thread import ServerThread
from tests.support import leaks

KEYS = {"id_key": "test-id-key-" + "k" * 32, "digest_key": "test-digest-key-" + "d" * 32}


@dataclass(frozen=True)
class GraphQLReply:
    """One HTTP reply."""

    status: int
    headers: Mapping[str, str]
    raw: bytes = field(repr=False)

    @property
    def body(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.raw)
        return decoded

    @property
    def data(self) -> Any:
        return self.body.get("data")

    @property
    def errors(self) -> list[dict[str, Any]]:
        return self.body.get("errors", [])

    @property
    def codes(self) -> list[str]:
        return [error["extensions"]["code"] for error in self.errors]


class RunningGateway(ServerThread):
    """`overrides` are settings, as `load_settings` takes them. Methods are sync and work in async tests too."""

    def __init__(
        self,
        sandbox_url: str,
        data_dir: Path,
        *,
        demo: bool = True,
        port: int = 0,
        has_page_token: bool = False,
        **overrides: Any,
    ) -> None:
        """`has_page_token` puts a token into the GraphiQL page, as `vaultgraph dev` does."""
        with urlopen(f"{sandbox_url}/__sandbox/credentials", timeout=10) as reply:
            credentials = json.load(reply)
        self.settings = dev_settings(credentials, KEYS, data_dir, None, environ={}, **overrides)
        super().__init__("gateway")
        self.tokens = DevTokens.open(data_dir)
        self.headers: dict[str, str] = {"authorization": f"Bearer {self.token()}"}
        self.data_dir = data_dir
        self.gateway: Gateway
        self._demo = demo
        self._page_token = self.token() if has_page_token else None
        self._port = port
        self._seen = io.BytesIO()
        self._log = io.StringIO()
        self.log_handler = logging.StreamHandler(self._log)

    def token(self, scopes: Iterable[str] | None = None, customer: str | None = None, **more: Any) -> str:
        """A token: staff with every scope but pan:write by default; `customer` makes it an end user's."""
        return self.tokens.mint(DEFAULT_SCOPES if scopes is None else scopes, customer, **more)

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self.log_handler)
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        logging.getLogger().removeHandler(self.log_handler)
        found = leaks.found_in(self._seen.getvalue(), self._log.getvalue().encode())
        assert not found, f"secrets in answers or logs: {found}"
        in_files = leaks.found_in_folder(self.data_dir)
        assert not in_files, f"secrets in files: {in_files}"

    @property
    def log(self) -> str:
        return self._log.getvalue()

    def on_loop(self, coroutine: Any) -> Any:
        """Run a coroutine on the gateway's event loop (e.g. to read its store) and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def serve_until(self, stop: asyncio.Event) -> None:
        self.gateway = Gateway(self.settings, page_token=self._page_token)
        if self._demo:
            self.gateway.after_start.append(_link_demo)
        sock = bind("127.0.0.1", self._port, "--port")
        self.url = url_of(sock)
        await serve(
            self.gateway.app,
            sock,
            stop,
            grace_s=2,
            limits=self.gateway.connection_limits,
            on_started=self.started,
            on_stop=self.gateway.begin_drain,
        )

    def query(
        self,
        text: str | None = None,
        variables: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30,
        **members: Any,
    ) -> GraphQLReply:
        """POST one operation; `members` are further members of the body (operationName, extensions, documentId)."""
        body: dict[str, Any] = {**members}
        if text is not None:
            body["query"] = text
        if variables is not None:
            body["variables"] = variables
            leaks.note_variables(dict(variables))
        sent = {"content-type": "application/json", **(headers or {})}
        return self.request("POST", "/graphql", json.dumps(body).encode(), sent, timeout=timeout)

    def data(self, text: str, **variables: Any) -> Any:
        """Run an operation that must succeed without errors, and return its data."""
        reply = self.query(text, variables)
        assert reply.status == 200, reply.raw
        assert not reply.errors, reply.errors
        return reply.data

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float = 30,
    ) -> GraphQLReply:
        status, names, raw = self.exchange(method, path, body, {**self.headers, **(headers or {})}, timeout)
        self._seen.write(raw)
        return GraphQLReply(status, names, raw)


async def _link_demo(gateway: Gateway) -> None:
    await link_demo_customers(gateway.store)
