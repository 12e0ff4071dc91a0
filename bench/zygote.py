"""Gateways that start at once: one process imports everything and then forks a `vaultgraph` command for each order.

    python -m bench.zygote

Each line of standard input is a JSON object `{"arguments": [...], "log": "file"}`; the answer is one line with the
pid of the forked process. The parent buries its children by itself.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any


def main() -> None:
    import app.cli
    import app.commands.demo_data
    import app.commands.dev
    import app.main  # noqa: F401 - importing it is the point

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order["arguments"], order["log"])
        print(pid, flush=True)


def _become(arguments: list[str], log: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    from app.cli import main as run

    status = 1
    try:
        run(arguments, standalone_mode=False)
        status = 0
    finally:
        sys.stdout.flush()
        os._exit(status)


class Zygote:
    """The parent, as the ordering process sees it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        self._pids: set[int] = set()

    def start(self, arguments: list[str], log: Path) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order: dict[str, Any] = {"arguments": arguments, "log": str(log)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        self._pids.add(pid)
        return pid

    def kill(self, pid: int) -> None:
        """SIGKILL, and wait until it is gone."""
        self._pids.discard(pid)
        os.kill(pid, signal.SIGKILL)
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.001)

    def __enter__(self) -> "Zygote":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pid in tuple(self._pids):
            try:
                self.kill(pid)
            except ProcessLookupError:
                self._pids.discard(pid)
        self._process.kill()
        self._process.wait(10)


if __name__ == "__main__":
    main()
