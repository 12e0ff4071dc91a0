"""`vaultgraph dev`: the gateway, four sandboxes and the demo customers, in one process on loopback.

Settings required in production are generated and stored in the data directory, so that ids and idempotency keys stay
valid after a restart.
"""

import asyncio
import shlex
import shutil
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
import click

from app.api.auth import development
from app.api.cors import is_local_host
from app.cli.development import SandboxSilent, credentials_of, dev_keys, dev_settings, is_development, note_sandbox
from app.cli.options import ConfigLocation, source_options
from app.cli.sandbox import control
from app.cli.startup_errors import described_store, store_startup_errors
from app.errors import SettingsError
from app.providers.registry import specs
from app.sandbox.run import serve_sandbox
from app.server.run import run_until_signal, serve
from app.server.sockets import bind, url_of
from app.settings.model import Settings
from app.telemetry.logs import configure_logging

T = TypeVar("T")

_LOOPBACK: Final = "127.0.0.1"


@click.command("dev", help="Run the gateway with four sandboxes and demo customers on loopback. For development only.")
@click.option("--host", default=_LOOPBACK, help="Address to listen on; 0.0.0.0 accepts other devices.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="Port to listen on.")
@click.option("--sandbox-port", type=click.IntRange(0, 65535), default=8001, help="Port of the four sandboxes.")
@click.option("--sandbox-url", default=None, help="Use a running sandbox; overrides --sandbox-port.")
@click.option("--reset", is_flag=True, help="Delete what earlier runs stored, and start from the demo data again.")
@source_options
def command(
    source: ConfigLocation, host: str, port: int, sandbox_port: int, sandbox_url: str | None, reset: bool
) -> None:
    folder = source.folder
    if reset:
        _check_reset(source)
    keys = dev_keys(folder)

    async def main(stop: asyncio.Event) -> None:
        sock = bind(host, port, "--port")
        try:
            if reset:
                await _reset(folder, sandbox_url, sandbox_port)
            async with _Sandboxes(sandbox_url, sandbox_port, folder) as url:
                credentials = await _unless_stopped(credentials_of(url), stop)
                if credentials is not None:
                    note_sandbox(folder, url)
                    settings = _settings(url, credentials, keys, folder, source.config_file, host)
                    configure_logging(settings.log.level, settings.log.format)
                    await _serve_gateway(settings, folder, sock, url, stop)
        finally:
            sock.close()

    run_until_signal(main)


def _check_reset(source: ConfigLocation) -> None:
    """Raises SettingsError unless `dev` made the data directory: the store of a `serve` is never deleted."""
    if source.settings().store.url:
        raise SettingsError("--reset deletes the embedded store only: empty the database of store.url yourself")
    if source.folder.exists() and any(source.folder.iterdir()) and not is_development(source.folder):
        raise SettingsError(f"--reset: {source.folder} was not made by `vaultgraph dev`; choose another --data-dir")


async def _reset(folder: Path, sandbox_url: str | None, sandbox_port: int) -> None:
    """Delete the store and the sandboxes' state. Keys stay, so that tokens and ids stay valid."""
    if sandbox_url is None:
        bind(_LOOPBACK, sandbox_port, "--sandbox-port").close()  # stop before a running sandbox loses its files
    _delete_stored(folder)
    if sandbox_url is not None:
        await control(sandbox_url, "POST", "/reset")


def _delete_stored(folder: Path) -> None:
    for stored in folder.glob("vaultgraph.db*"):
        stored.unlink()
    shutil.rmtree(folder / "sandbox", ignore_errors=True)


async def _unless_stopped(work: Coroutine[Any, Any, T], stop: asyncio.Event) -> T | None:
    """The result of `work`, or None if `stop` was set first."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        return working.result()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return None


async def _serve_gateway(settings: Settings, folder: Path, sock: Any, sandbox_url: str, stop: asyncio.Event) -> None:
    from app.main import Gateway

    token = page_token(settings, folder)
    is_exposed = not is_local_host(settings.host)
    gateway = Gateway(settings, page_token=None if is_exposed else token)  # the page embeds a token
    gateway.after_start.append(_add_demo_data)
    address = url_of(sock).replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    await _send_webhooks_to(address, settings, sandbox_url)

    def started() -> None:
        click.echo(f"Store        {described_store(settings)}")
        _announce(address, sandbox_url, token, folder, bundled=gateway.has_bundled_graphiql, is_exposed=is_exposed)

    with store_startup_errors():
        await serve(
            gateway.app,
            sock,
            stop,
            grace_s=settings.grace_s,
            limits=gateway.connection_limits,
            on_started=started,
            on_stop=gateway.begin_drain,
        )


async def _send_webhooks_to(address: str, settings: Settings, sandbox_url: str) -> None:
    """Register this gateway as the sandbox's webhook receiver. The sandbox retries failed deliveries."""
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session:
            for spec in specs().values():
                if spec.webhooks is not None and spec.webhooks.sandbox_path is not None:
                    path = spec.webhooks.sandbox_path(settings.provider(spec.name))
                    asked = {"provider": spec.name, "url": f"{address}/webhooks/{spec.name}{path}"}
                    async with session.post(f"{sandbox_url}/__sandbox/webhooks", json=asked):
                        pass
    except (aiohttp.ClientError, TimeoutError):
        click.echo("webhooks could not be registered at the sandbox: changes are noticed only by reading", err=True)


async def _add_demo_data(gateway: Any) -> None:
    from app.cli.demo_data import link_demo_customers, publish_demo_documents

    await link_demo_customers(gateway.store)
    await publish_demo_documents(gateway.store)
    if gateway.agents is not None:
        gateway.agents.start_soon()


class _Sandboxes:
    """The sandboxes of this process, or the ones at `url`. The context manager returns their address."""

    def __init__(self, url: str | None, port: int, folder: Path) -> None:
        self._url = url.rstrip("/") if url else None
        self._port = port
        self._folder = folder
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> str:
        if self._url is not None:
            return self._url
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._serve(ready))
        waited: set[asyncio.Future[Any]] = {self._task, ready}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await self._task
        return await ready

    async def _serve(self, ready: asyncio.Future[str]) -> None:
        sock = bind(_LOOPBACK, self._port, "--sandbox-port")
        await serve_sandbox(sock, self._folder, self._stop, ready=ready.set_result)

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        if self._task is not None:
            await self._task


def _settings(
    url: str,
    credentials: Mapping[str, Any],
    keys: Mapping[str, str],
    folder: Path,
    config_file: Path | None,
    host: str,
) -> Settings:
    try:
        return dev_settings(credentials, keys, folder, config_file, host=host)
    except (KeyError, TypeError, AttributeError):
        raise SandboxSilent(f"the server at {url} is not a Vaultgraph sandbox; see --sandbox-url") from None


def page_token(settings: Settings, folder: Path) -> str | None:
    """A token for GraphiQL and the printed example; None if the settings name an external issuer."""
    tokens = development.DevTokens.open(folder)
    auth = settings.auth
    is_ours = auth.jwks_path == str(tokens.jwks_path) and not auth.jwks_url and auth.issuer == development.ISSUER
    return tokens.mint() if is_ours and not auth.partners_only else None


def _announce(
    address: str, sandbox_url: str, token: str | None, folder: Path, *, bundled: bool, is_exposed: bool
) -> None:
    query = '{ customer(id: \\"cus_alex\\") { name paymentMethods { label provider } sources { provider state } } }'
    click.echo(f"Gateway      {address}/graphql")
    hint = "paste a token from below" if is_exposed else "a token is filled in"
    click.echo(f"GraphiQL     {address}/graphql   (open it in a browser; {hint})")
    if not bundled:
        click.echo("GraphiQL     is loaded from a CDN (not bundled: no Node.js at installation)")
    click.echo(f"MCP          {address}/mcp   (tools: the documents of partner demo; docs/agents.md)")
    click.echo(f"Sandboxes    {sandbox_url}   (control API: {sandbox_url}/__sandbox)")
    reach = "OPEN TO YOUR NETWORK (--host)" if is_exposed else "loopback only"
    click.echo(f"Relaxed      development: issues its own tokens, {reach}, introspection and GraphiQL are on")
    click.echo(f"Token        {shlex.join([sys.argv[0], 'token', '--data-dir', str(folder)])}")
    click.echo("Try")
    bearer = f"-H 'authorization: Bearer {token or 'YOUR-TOKEN'}'"
    body = f"-H 'content-type: application/json' -d '{{\"query\": \"{query}\"}}'"
    click.echo(f"  curl -s {address}/graphql {bearer} {body}")
