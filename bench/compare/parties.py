"""The gateways that are compared, by name."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from bench.compare.ground import PEERS, Ground, NotStarted, Party, free_port, process, ready
from bench.compare.ours import ours

DEFAULT: Final = ("ours", "ours-lean", "apollo", "yoga")
PARTIES: Final = (*DEFAULT, "yoga-fetch")


def running(name: str, ground: Ground) -> AbstractContextManager[Party]:
    """`name` is one of PARTIES. Raises NotStarted."""
    return ours(name, ground) if name.startswith("ours") else _node(name, ground)


@contextmanager
def _node(name: str, ground: Ground) -> Iterator[Party]:
    port, folder = free_port(), ground.folder_of(name)
    if not (PEERS / "node_modules").is_dir():
        raise NotStarted(f"npm ci --prefix {PEERS}")
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
