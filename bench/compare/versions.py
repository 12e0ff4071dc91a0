"""Versions of the compared software."""

import json
import platform
import subprocess
from importlib.metadata import version
from typing import Final

from bench.compare.ground import PEERS

_OURS: Final = ("strawberry-graphql", "uvicorn", "uvloop", "aiohttp", "httptools")
_PEERS: Final = ("@apollo/server", "graphql-yoga", "graphql", "undici", "dataloader", "@tailcallhq/core-linux-x64-gnu")


def versions(python: str | None = None) -> str:
    """`python` is another interpreter that is compared."""
    listed = json.loads((PEERS / "package-lock.json").read_text())["packages"]
    peers = [f"{name} {listed[f'node_modules/{name}']['version']}" for name in _PEERS]
    hive = json.loads((PEERS / "hive/package.json").read_text())["dependencies"]
    peers += [f"{name} {number}" for name, number in hive.items() if name != "graphql"]
    ours = [f"{name} {version(name)}" for name in _OURS]
    tools = [_version_output("node", "--version"), _version_output("nginx", "-v"), _version_output("wrk", "-v")]
    pythons = [f"Python {platform.python_version()}", *([_version_output(python, "--version")] if python else [])]
    return ", ".join([*pythons, *ours, *peers, *tools])


def _version_output(tool: str, option: str) -> str:
    """The first line of a tool's version output; wrk prints its version with a failure status."""
    done = subprocess.run([tool, option], capture_output=True, text=True, check=False)
    line = (done.stdout + done.stderr).strip().splitlines()[0]
    return line.split(" [")[0] if tool in line else f"{tool} {line}"
