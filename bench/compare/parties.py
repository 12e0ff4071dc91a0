"""The gateways that are compared, by name."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from bench.compare.ground import PEERS, Ground, NotStarted, Party, free_port, process, ready
from bench.compare.ours import ours
from bench.compare.questions import RAW_WALLET

DEFAULT: Final = ("ours", "ours-lean", "apollo", "yoga", "tailcall")
PARTIES: Final = (*DEFAULT, "yoga-fetch")
# What they have been taught; the others can be asked anything.
_CASES: Final = {"tailcall": ("uncached", "slow")}
_TAILCALL: Final = PEERS / "node_modules/@tailcallhq/core-linux-x64-gnu/bin/tailcall"


def running(name: str, ground: Ground, case: str) -> AbstractContextManager[Party]:
    """`name` is one of PARTIES. Raises NotStarted."""
    if case not in _CASES.get(name, (case,)):
        raise NotStarted("it has not been taught this")
    if name.startswith("ours"):
        return ours(name, ground)
    if not (PEERS / "node_modules").is_dir():
        raise NotStarted(f"npm ci --prefix {PEERS}")
    return _tailcall(name, ground) if name == "tailcall" else _node(name, ground)


@contextmanager
def _node(name: str, ground: Ground) -> Iterator[Party]:
    port, folder = free_port(), ground.folder_of(name)
    environ = {"BENCH_PORT": str(port), "BENCH_VAULTS": ground.vaults, "NODE_ENV": "production"}
    script, _, client = name.partition("-")
    if client:
        environ["BENCH_CLIENT"] = client
    if ground.is_kept:
        environ["BENCH_ENTITY_CACHE"] = "1"
    if ground.ca:
        environ |= {"BENCH_CA_FILE": str(ground.ca), "NODE_EXTRA_CA_CERTS": str(ground.ca)}
    with process(["node", PEERS / f"{script}.mjs"], environ, folder) as pid:
        url = f"http://127.0.0.1:{port}/" + ("graphql" if script == "yoga" else "")
        yield ready(Party(name, url, pid), folder)


@contextmanager
def _tailcall(name: str, ground: Ground) -> Iterator[Party]:
    """The binary without its wrapper. It keeps each vault's shape, so its answer is nobody else's."""
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
