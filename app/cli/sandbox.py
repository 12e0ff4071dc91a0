"""`vaultgraph sandbox`: runs only the four emulators; its subcommands change running ones through the control API."""

import asyncio
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import aiohttp
import click
import orjson

from app.cli.development import SandboxSilent, noted_sandbox
from app.cli.options import DATA_DIR, SANDBOX_URL, BoundedFloat, ConfigLocation
from app.cli.output import JSON, print_json, print_rows
from app.errors import SettingsError, VaultgraphError
from app.providers.registry import specs
from app.sandbox.faults import FaultKind
from app.sandbox.run import serve_sandbox
from app.server.run import run_until_signal
from app.server.sockets import bind

_PORT: Final = 8001
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_FAULT_COLUMNS: Final = ("id", "provider", "kind", "method", "path", "status", "times")
_VAULTS: Final = click.Choice([spec.name for spec in specs().values() if spec.sandbox is not None])


class SandboxRefused(VaultgraphError):
    """The control API refuses the request; the message gives its reason."""


@click.group(
    "sandbox",
    invoke_without_command=True,
    help="Run only the four sandboxes, with demo data. Their state survives a restart.\n\n"
    "The subcommands change a running sandbox: that of `vaultgraph dev` or `vaultgraph sandbox`.",
)
@click.option("--host", default="127.0.0.1")
@click.option("--port", type=click.IntRange(0, 65535), default=_PORT)
@DATA_DIR
@click.pass_context
def command(context: click.Context, host: str, port: int, data_dir: Path | None) -> None:
    if context.invoked_subcommand is not None:
        return

    def ready(url: str) -> None:
        first, *others = _VAULTS.choices
        click.echo(f"Sandboxes    {url}/{first}{''.join(f'  /{name}' for name in others)}")
        click.echo(f"Control      {url}/__sandbox   (credentials: {url}/__sandbox/credentials)")

    async def serve(stop: asyncio.Event) -> None:
        folder = ConfigLocation(data_dir=data_dir).folder
        await serve_sandbox(bind(host, port, "--port"), folder, stop, ready=ready)

    run_until_signal(serve)


async def control(url: str, method: str, path: str, body: Any = None) -> Any:
    """The JSON reply of the control API. Raises SandboxSilent or SandboxRefused."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
            session.request(method, f"{url.rstrip('/')}/__sandbox{path}", json=body) as reply,
        ):
            found = await reply.json()
            if reply.ok:
                return found
            field = found.get("field")
            raise SandboxRefused(f"{field}: {found['error']}" if field else str(found["error"]))
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, AttributeError):
        raise SandboxSilent(f"no sandbox answers at {url}: start `vaultgraph dev`, or name --sandbox-url") from None


Call = Callable[..., Any]


def _controls(subcommand: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that select the sandbox; the subcommand takes `call(method, path, body)`."""

    @SANDBOX_URL
    @DATA_DIR
    @wraps(subcommand)
    def wrapped(*, sandbox_url: str | None, data_dir: Path | None, **others: Any) -> None:
        url = sandbox_url or _address(ConfigLocation(data_dir=data_dir).folder)
        subcommand(call=lambda *request: asyncio.run(control(url, *request)), **others)

    return wrapped


def _address(folder: Path) -> str:
    try:
        return noted_sandbox(folder)
    except SettingsError:
        return f"http://127.0.0.1:{_PORT}"


@command.command(help="List what a vault holds for a customer. REF is the vault's own id of the customer.")
@click.argument("provider", type=_VAULTS)
@click.argument("customer_ref", metavar="REF")
@JSON
@_controls
def methods(call: Call, provider: str, customer_ref: str, as_json: bool) -> None:
    rows = call("GET", f"/customers/{provider}/{customer_ref}")
    print_rows(("ref", "kind", "last4", "active", "is_default"), rows, as_json=as_json)


@command.command(
    help="Change saved methods as the card network would, and send the notification of change (NOC).\n\n"
    "`vaultgraph sandbox methods PROVIDER REF` prints the ids of methods."
)
@click.argument("provider", type=_VAULTS)
@click.argument("method_refs", metavar="METHOD...", nargs=-1, required=True)
@click.option("--expiry", metavar="YYYY-MM", default=None, help="The new expiry.")
@click.option("--last4", default=None, help="The new last four digits.")
@click.option("--deliveries", type=click.IntRange(1, 100), default=1, help="How often the notification is sent.")
@click.option("--signature", type=click.Choice(["good", "bad", "none"]), default="good")
@_controls
def noc(
    call: Call,
    provider: str,
    method_refs: tuple[str, ...],
    expiry: str | None,
    last4: str | None,
    deliveries: int,
    signature: str,
) -> None:
    if expiry is None and last4 is None:
        raise click.UsageError("say what changes: --expiry, --last4 or both")
    fields: dict[str, Any] = {
        "provider": provider,
        "saved_payment_method_ids": list(method_refs),
        "deliveries": deliveries,
        "signature": signature,
    }
    if expiry is not None:
        year, _, month = expiry.partition("-")
        if not (year.isdecimal() and month.isdecimal() and 1 <= int(month) <= 12):
            raise click.BadParameter("it is written YYYY-MM, with a month from 01 to 12", param_hint="--expiry")
        fields |= {"exp_year": int(year), "exp_month": int(month)}
    if last4 is not None:
        fields["last4"] = last4
    sent = call("POST", "/noc", fields)
    click.echo(f"methods changed: {sent['changed']}; event {sent['event_id']} sent")
    if not sent["changed"]:
        click.echo(f"{provider} has none of these methods: see `vaultgraph sandbox methods {provider} REF`", err=True)


@command.command(
    help="Add a fault to a vault's calls; without arguments list the active ones.\n\n"
    "KIND: delay, hang, status, throttle, drop_before, drop_after, truncate, garbage or rewrite (docs/sandbox.md)."
)
@click.argument("provider", type=_VAULTS, required=False)
@click.argument("kind", type=click.Choice([kind.value for kind in FaultKind]), required=False)
@click.option("--method", default=None, help="HTTP verb. [default: any]")
@click.option("--path", default=None, help="Prefix of the path, without the provider's. [default: any]")
@click.option(
    "--times", type=click.IntRange(1, 1_000_000), default=None, help="Number of calls. [default: until removed]"
)
@click.option("--status", type=click.IntRange(200, 599), default=None, help="HTTP status, for status and rewrite.")
@click.option("--delay-ms", type=click.IntRange(0, 3_600_000), default=None, help="Wait this long first.")
@click.option("--retry-after-s", type=BoundedFloat(0, 86_400), default=None, help="For throttle.")
@click.option("--commit", is_flag=True, help="The vault executes the request before the fault.")
@click.option("--set", "values", metavar="POINTER=JSON", multiple=True, help="For rewrite; repeatable.")
@click.option("--remove", metavar="POINTER", multiple=True, help="For rewrite; repeatable.")
@click.option("--header", "headers", metavar="NAME=VALUE", multiple=True, help="For rewrite; repeatable.")
@click.option("--clear", is_flag=True, help="Remove the faults of PROVIDER, or all of them.")
@JSON
@_controls
def fault(
    call: Call,
    provider: str | None,
    kind: str | None,
    clear: bool,
    as_json: bool,
    values: tuple[str, ...],
    headers: tuple[str, ...],
    **fields: Any,
) -> None:
    if clear:
        removed = call("DELETE", f"/faults?provider={provider}" if provider else "/faults")["removed"]
        click.echo(f"{removed} faults removed")
        return
    if kind is not None:
        changes = {
            "set": {name: _json(value) for name, value in map(_pair, values)},
            "headers": dict(map(_pair, headers)),
        }
        given = {name: value for name, value in {**fields, **changes}.items() if _is_given(value)}
        added = call("POST", "/faults", {"provider": provider, "kind": kind, **given})
        print_rows(_FAULT_COLUMNS, [added], as_json=as_json)
        return
    rows = [one for one in call("GET", "/faults") if provider in (None, one["provider"])]
    print_rows(_FAULT_COLUMNS, rows, as_json=as_json)


def _is_given(value: Any) -> bool:
    """False for an option that was left out; zero is a value."""
    return bool(value) or (value == 0 and value is not False)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError("--set and --header take NAME=VALUE")
    return name, value


def _json(text: str) -> Any:
    """A JSON value; other text counts as a string."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


@command.command(help="Print the vaults' time; with an option, change it first.")
@click.option("--set", "now", metavar="TIME", default=None, help="ISO 8601, UTC if it has no offset.")
@click.option("--advance", metavar="DURATION", default=None, help="Number and unit: 90s, 5m, 2h, 30d; -1d goes back.")
@JSON
@_controls
def clock(call: Call, now: str | None, advance: str | None, as_json: bool) -> None:
    if now is not None and advance is not None:
        raise click.UsageError("say either --set or --advance")
    if now is not None:
        shown = call("POST", "/clock", {"now": now})
    elif advance is not None:
        match = re.fullmatch(r"(-?\d{1,9}(?:\.\d{1,9})?)([smhd])", advance)
        if match is None:
            raise click.BadParameter("it is a number and a unit: 90s, 5m, 2h, 30d", param_hint="--advance")
        shown = call("POST", "/clock", {"advance_s": float(match[1]) * _UNITS[match[2]]})
    else:
        shown = call("GET", "/clock")
    if as_json:
        print_json(shown)
    else:
        click.echo(shown["now"])


@command.command(help="Restore the demo data, switches and clock; remove faults and recorded calls.")
@_controls
def reset(call: Call) -> None:
    call("POST", "/reset")
    click.echo("the sandbox has its demo data again; links and events of the gateway stay (`vaultgraph dev --reset`)")
