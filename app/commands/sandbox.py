"""`vaultgraph sandbox`: the four emulators alone."""

import asyncio
from pathlib import Path

import click

from app.sandbox.run import serve_sandbox
from app.serving import run_until_signal

DEFAULT_DATA_DIR = Path("vaultgraph-data")


def run_sandbox(*, host: str, port: int, data_dir: Path | None) -> None:
    def ready(url: str) -> None:
        click.echo(f"Sandboxes    {url}/loanpro  /aloha  /jpmorgan  /caselle")
        click.echo(f"Control      {url}/__sandbox   (credentials: {url}/__sandbox/credentials)")

    async def serve(stop: asyncio.Event) -> None:
        await serve_sandbox(host, port, data_dir or DEFAULT_DATA_DIR, ready=ready, stop=stop, handle_signals=False)

    run_until_signal(serve)
