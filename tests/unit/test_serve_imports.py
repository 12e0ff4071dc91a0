"""What `vaultgraph serve` loads: every package more is start time and memory of each worker."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.store import make_engine, migrate

_IMPORT = """
import json, sys
import app.cli.main, app.cli.serve, app.main, app.server.run
print(json.dumps(sorted(sys.modules)))
"""
_START = """
import asyncio, json, sys
from app.main import Gateway
from app.settings.model import load_settings

async def start(gateway):
    await gateway.start()
    ready = await gateway._readyz()
    await gateway.stop()
    return str(ready.status)

keys = {"id_key": "a key that only this test has: 1234567890", "digest_key": "another key that only this test has: 12"}
settings = load_settings(None, mode="development", data_dir=sys.argv[1], **keys)
status = asyncio.run(start(Gateway(settings)))
print(json.dumps([status, *sorted(sys.modules)]))
"""
_SERVE = """
import json, os, sys
import app.cli.serve
app.cli.serve._run = lambda source, settings: print(json.dumps(sorted(sys.modules)))
os.environ.update(VAULTGRAPH_MODE="development", VAULTGRAPH_MCP__ENABLED=sys.argv[2])
app.cli.serve.command(["--data-dir", sys.argv[1]])
"""
_WORDS = """
import click
import app.errors
from app.cli.main import COMMANDS, load, main
from resolvers.schema import print_sdl

def print_help(command, path):
    print(command.get_help(click.Context(command, info_name=path)))
    for name, one in getattr(command, "commands", {}).items():
        print_help(one, f"{path} {name}")

print(main.get_help(click.Context(main, info_name="vaultgraph")))
for name in COMMANDS:
    print_help(load(name), f"vaultgraph {name}")
print(print_sdl())
for name, kind in vars(app.errors).items():
    if isinstance(kind, type) and issubclass(kind, app.errors.VaultError):
        extra = {"InvalidRequest": [[]], "VaultRejected": [app.errors.RejectReason.DECLINED]}.get(name, [])
        print(name, kind("aloha", *extra))
"""
# Used by other commands or tests only, or only if a setting enables it.
_ELSEWHERE = (
    "alembic",
    "app.sandbox",
    "app.store.migrating",
    "hypothesis",
    "jinja2",
    "jsonschema",
    "libcst",
    "mako",
    "mcp",
    "pydantic",
    "pygments",
    "psycopg",
    "pytest",
    "redis",
    "rich",
    "sqlalchemy",
    "uvicorn.workers",
)


def _loaded(script: str, *arguments: str) -> list[str]:
    found: list[str] = json.loads(_python("-c", script, *arguments).splitlines()[-1])
    return found


def _python(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout


def _needless(modules: list[str]) -> set[str]:
    return {one for one in modules if any(one == name or one.startswith(f"{name}.") for name in _ELSEWHERE)}


def test_help_imports_no_command() -> None:
    modules = _loaded("import app.cli.main, json, sys; print(json.dumps(sorted(sys.modules)))")
    assert [one for one in modules if one.startswith("app.")] == [
        "app.cli",
        "app.cli.main",
        "app.errors",
        "app.vault",
        "app.vault.pan",
    ]


def test_importing_what_serve_needs_loads_nothing_of_the_others() -> None:
    modules = _loaded(_IMPORT)
    assert {"app.main", "app.server.run", "strawberry"} <= set(modules)
    assert _needless(modules) == set()


@pytest.mark.parametrize("is_migrated", [True, False])
async def test_alembic_comes_only_where_something_has_to_be_migrated(tmp_path: Path, is_migrated: bool) -> None:
    if is_migrated:
        await migrate(make_engine(f"sqlite:///{tmp_path / 'vaultgraph.db'}"))
    status, *modules = _loaded(_START, str(tmp_path))
    assert status == "200"
    assert ("alembic" in modules) is not is_migrated
    if is_migrated:
        assert _needless(modules) == set()


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_sdk_of_mcp_is_loaded_before_serving_if_it_is_enabled(tmp_path: Path, is_enabled: bool) -> None:
    modules = _loaded(_SERVE, str(tmp_path), str(is_enabled).lower())
    assert ("mcp.server.lowlevel" in modules, "app.api.mcp.server" in modules) == (is_enabled, is_enabled)


def test_without_docstrings_the_gateway_starts_and_says_the_same(tmp_path: Path) -> None:
    """As in the image, which sets PYTHONOPTIMIZE=2."""
    assert json.loads(_python("-OO", "-c", _START, str(tmp_path)).splitlines()[-1])[0] == "200"
    plain, optimised = _python("-c", _WORDS), _python("-OO", "-c", _WORDS)
    assert "Run only the gateway, from settings." in plain
    assert "The vault did not answer a read within the deadline." in plain
    assert optimised == plain
