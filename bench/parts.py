"""Runs a sandbox and a gateway as separate processes, for load scripts, and measures a process."""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.api.auth.development import DevTokens
from tests.support.command import Running


@dataclass(frozen=True, slots=True)
class Parts:
    gateway_url: str
    sandbox_url: str
    gateway_pid: int
    headers: Mapping[str, str]

    @property
    def control(self) -> str:
        return f"{self.sandbox_url}/__sandbox"

    def rss_kb(self) -> int:
        """The gateway's resident memory."""
        return _status_kb(self.gateway_pid, "VmRSS:")

    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.gateway_pid}/fd").iterdir()))


def _status_kb(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise RuntimeError(f"no {name} for this process")


@contextmanager
def running_parts(folder: Path, config: str = "") -> Iterator[Parts]:
    """`config` is TOML: settings of the gateway. Both processes end with the block."""
    tomllib.loads(config)  # reports a mistake here instead of in a dying process
    config_file = folder / "vaultgraph.toml"
    config_file.write_text(config)
    with Running("sandbox", "--port", "0", "--data-dir", folder / "vaults") as sandbox:
        sandbox_url = sandbox.until(r"Control +(http://\S+)/__sandbox").group(1)
        data = folder / "gateway"
        options = ("--port", "0", "--sandbox-url", sandbox_url, "--config", config_file, "--data-dir", data)
        with Running("dev", *options) as gateway:
            gateway_url = gateway.until(r"Gateway +(http://\S+)/graphql").group(1)
            token = DevTokens.open(data).mint()
            headers = {"authorization": f"Bearer {token}"}
            yield Parts(gateway_url, sandbox_url, gateway.process.pid, headers)


def figures(rows: Mapping[str, Any]) -> str:
    """A Markdown table of two columns."""
    lines = ["| what | figure |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join(lines)
