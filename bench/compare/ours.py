"""Vaultgraph in production settings: a token checked for every request, every limit on, metrics on."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, Final

from app.api.auth import development
from app.cli.demo_data import add_demo_customers
from app.sandbox.demo import load_customer
from app.store import Store, migrate
from bench.compare import stub
from bench.compare.ground import Ground, NotStarted, Party, free_port, process, ready
from bench.compare.questions import CUSTOMERS
from tests.support.otlp import collecting


@contextmanager
def ours(name: str, ground: Ground) -> Iterator[Party]:
    folder, port = ground.folder_of(name), free_port()
    tokens = development.DevTokens.open(folder)
    settings = folder / "vaultgraph.toml"
    is_traced = name == "ours-traced"
    transport = "aiohttp" if name == "ours-aiohttp" else "lean"
    python = sys.executable
    if name == "ours-python":
        if ground.python is None:
            raise NotStarted("--python names no interpreter")
        python = ground.python
    settings.write_text(settings_of(ground, folder, tokens.jwks_path, port, transport))
    asyncio.run(_link_customers(f"sqlite:///{folder / 'vaultgraph.db'}"))
    headers, other = (
        {"authorization": f"Bearer {tokens.mint(name=caller, valid_for_s=14_400)}"} for caller in ("bench", "other")
    )
    environ = {**as_in_the_image(python), "PYTHONPATH": str(Path.cwd())}
    if ground.ca:
        environ["SSL_CERT_FILE"] = str(ground.ca)
    command: list[str | Path] = [python, "-c", "from app.cli.main import main; main()", "serve", "--config", settings]
    with collecting() if is_traced else nullcontext() as collector:
        if collector is not None:
            environ |= {
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
                "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": "0.1",
            }
        with process(command, environ, folder) as pid:
            yield ready(Party(name, f"http://127.0.0.1:{port}/graphql", pid, headers, other), folder)
        if collector is not None and not collector.spans:
            raise RuntimeError("the gateway sent no spans")


_SMALLER: Final = {"PYTHONNODEBUGRANGES": "1"}


@cache
def as_in_the_image(python: str = sys.executable) -> Mapping[str, str]:
    """The Dockerfile's Python settings and precompiled bytecode."""
    environ = os.environ | _SMALLER | {"PYTHONPATH": str(Path.cwd())}
    listing = [python, "-c", "import os, sys; print(*filter(os.path.isdir, sys.path), sep=chr(10))"]
    folders = subprocess.run(listing, env=environ, check=True, capture_output=True, text=True).stdout.splitlines()
    skipped = "/(test|tests|idlelib|lib2to3|tkinter|ensurepip)/"
    compiling = [python, "-m", "compileall", "-q", "-f", "-j", "0", "-o", "2", "-x", skipped, *folders]
    subprocess.run(compiling, env=environ, check=True)
    return {"PYTHONOPTIMIZE": "2", **_SMALLER}


async def _link_customers(url: str) -> None:
    store = Store.open(url)
    try:
        await migrate(store.engine)
        numbers = (*range(1, CUSTOMERS + 1), stub.LARGE)
        await store.transaction(add_demo_customers, map(load_customer, numbers))
    finally:
        await store.close()


def settings_of(ground: Ground, folder: Path, jwks: Path, port: int, transport: str) -> str:
    """Production settings: tokens checked, every limit on, metrics on. Only the caller's budget is raised, and
    for the large case the limits that its 10,000 methods exceed."""
    top = {
        "data_dir": str(folder),
        "port": port,
        "id_key": "a key that only this benchmark has, 1234567890",
        "digest_key": "another key that only this benchmark has, 1",
        "metrics_token": "metrics-of-the-benchmark",
    }
    plenty = dict.fromkeys(("requests_per_s", "requests_burst", "cost_per_s", "cost_burst"), 1e9)
    every = {
        "enabled": True,
        "transport": transport,
        "fresh_for_s": 3600.0 if ground.is_kept else 0.0,
        "deadline_s": 20.0,
        "max_body_bytes": 64_000_000,
    }
    gate: dict[str, Any] = {"cors_origins": ["none"], "cost": 100_000}
    if ground.is_large:
        top["list_limit"] = every["max_methods"] = stub.METHODS
        gate["response_fields"] = 1_000_000
    at = ground.vaults
    oauth = {"token_url": f"{at}/oauth2/token", "client_id": "bench", "client_secret": "bench-secret"}
    sections: dict[str, Mapping[str, Any]] = {
        "log": {"format": "json"},
        "auth": {"issuer": development.ISSUER, "audience": [development.AUDIENCE], "jwks_path": str(jwks)},
        "gate": gate,
        "rate.staff": plenty,
        "loanpro": {**every, "base_url": f"{at}/loanpro/api/public", "api_token": "bench-token", "instance_id": "1"},
        "aloha": {
            **every,
            "base_url": f"{at}/aloha",
            "username": "bench",
            "password": "bench-password",
            "company_code": "B1",
        },
        "jpmorgan": {**every, **oauth, "base_url": f"{at}/jpmorgan/api/v2", "merchant_identifier": "000000000001"},
        "caselle": {**every, **oauth, "base_url": f"{at}/caselle/api", "payment_account_uid": "pa_bench"},
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"request_deadline_s": 20.0, **top}.items()]
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines)
