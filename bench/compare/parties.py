"""The compared gateways, by name."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from bench.compare.ground import PEERS, Ground, NotStarted, Party, free_port, process, ready
from bench.compare.ours import ours
from bench.compare.questions import RAW_WALLET

DEFAULT: Final = ("ours", "ours-aiohttp", "apollo", "yoga", "hive", "tailcall")
PARTIES: Final = (*DEFAULT, "ours-traced", "ours-python", "yoga-fetch")
# The cases that these support; the others support all.
_CASES: Final = {
    "hive": ("uncached", "tls", "slow", "hit", "nodes10", "nodes100", "large", "large-hit"),
    "tailcall": ("uncached", "slow"),
}
_HIVE: Final = PEERS / "hive"
_COMPOSING_S: Final = 60.0
_TAILCALL: Final = PEERS / "node_modules/@tailcallhq/core-linux-x64-gnu/bin/tailcall"


def running(name: str, ground: Ground, case: str) -> AbstractContextManager[Party]:
    """`name` is one of PARTIES. Raises NotStarted."""
    if case not in _CASES.get(name, (case,)):
        raise NotStarted("it does not support this case")
    if name.startswith("ours"):
        return ours(name, ground)
    if not (PEERS / "node_modules").is_dir():
        raise NotStarted(f"npm ci --prefix {PEERS}")
    return {"tailcall": _tailcall, "hive": _hive}.get(name, _node)(name, ground)


def _environ(ground: Ground) -> dict[str, str]:
    """Environment of a Node peer: vault URLs and whether to cache."""
    environ = {"BENCH_VAULTS": ground.vaults, "NODE_ENV": "production"}
    if ground.is_kept:
        environ["BENCH_ENTITY_CACHE"] = "1"
    if ground.ca:
        environ |= {"BENCH_CA_FILE": str(ground.ca), "NODE_EXTRA_CA_CERTS": str(ground.ca)}
    return environ


@contextmanager
def _node(name: str, ground: Ground) -> Iterator[Party]:
    port, folder = free_port(), ground.folder_of(name)
    environ = {"BENCH_PORT": str(port), **_environ(ground)}
    script, _, client = name.partition("-")
    if client:
        environ["BENCH_CLIENT"] = client
    with process(["node", PEERS / f"{script}.mjs"], environ, folder) as pid:
        url = f"http://127.0.0.1:{port}/" + ("graphql" if script == "yoga" else "")
        yield ready(Party(name, url, pid), folder)


@contextmanager
def _hive(name: str, ground: Ground) -> Iterator[Party]:
    """Mesh composes the vaults' operations first, as before a deployment."""
    tools = _HIVE / "node_modules/.bin"
    if not tools.is_dir():
        raise NotStarted(f"npm ci --prefix {_HIVE}")
    port, folder, environ = free_port(), ground.folder_of(name), _environ(ground)
    composed = folder / "supergraph.graphql"
    done = subprocess.run(
        [tools / "mesh-compose", "-c", "mesh.config.mjs", "-o", composed],
        env={**os.environ, **environ},
        cwd=_HIVE,
        capture_output=True,
        timeout=_COMPOSING_S,
        check=False,
    )
    if done.returncode or not composed.exists():
        raise NotStarted(f"mesh-compose failed: {done.stderr[-500:].decode(errors='replace')}")
    command: list[str | Path] = [tools / "hive-gateway", "supergraph", composed, "-c", _HIVE / "gateway.config.mjs"]
    with process([*command, "-h", "127.0.0.1", "-p", str(port)], environ, folder) as pid:
        yield ready(Party(name, f"http://127.0.0.1:{port}/graphql", pid), folder)


@contextmanager
def _tailcall(name: str, ground: Ground) -> Iterator[Party]:
    """Runs the binary without its wrapper. Its replies keep each vault's shape, so they differ from all others'."""
    if not os.access(_TAILCALL, os.X_OK):
        raise NotStarted(f"there is no {_TAILCALL.relative_to(PEERS)}")
    port, folder = free_port(), ground.folder_of(name)
    filled = {"@PORT@": str(port), "@VAULTS@": ground.vaults}
    text = (PEERS / "tailcall.graphql").read_text()
    for mark, value in filled.items():
        text = text.replace(mark, value)
    (folder / "tailcall.graphql").write_text(text)
    environ = {"TAILCALL_TRACKER": "false", "TAILCALL_LOG_LEVEL": "error"}
    with process([_TAILCALL, "start", folder / "tailcall.graphql"], environ, folder) as pid:
        yield ready(Party(name, f"http://127.0.0.1:{port}/graphql", pid, wallet=RAW_WALLET), folder)
