"""Runs the `vaultgraph` command without the second that each process spends on imports.

One process per test worker imports the application once, then forks for every command. The command still runs in a
separate process, with its own environment, folder, output and signals, and exits like an interpreter.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from tests.support.folders import short_folder

_START_S = 60


class WarmProcess:
    """The part of `subprocess.Popen` that tests use. `stdout` is text; `stderr` goes there too by default."""

    def __init__(
        self,
        arguments: list[str | Path],
        *,
        cwd: str | Path | None,
        env: dict[str, str],
        stdout: IO[Any] | None = None,
        stderr: IO[Any] | None = None,
    ) -> None:
        self.returncode: int | None = None
        self.stdout: IO[str] | None = None
        request = {"arguments": [str(one) for one in arguments], "cwd": str(cwd or os.getcwd()), "env": env}
        self._monitor = socket.socket(socket.AF_UNIX)
        self._monitor.connect(_parent())
        if stdout is None:
            reading, writing = os.pipe()
            self.stdout = os.fdopen(reading, encoding="utf-8")
        else:
            writing = os.dup(stdout.fileno())
        try:
            data = json.dumps(request).encode()
            files = [writing, stderr.fileno() if stderr else writing]
            socket.send_fds(self._monitor, [len(data).to_bytes(4, "big") + data], files)
        finally:
            os.close(writing)
        self._monitor.settimeout(_START_S)
        self.pid = int.from_bytes(_read_exactly(self._monitor, 4), "big")

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._monitor.settimeout(timeout)
            try:
                self.returncode = int.from_bytes(_read_exactly(self._monitor, 4), "big", signed=True)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("vaultgraph", timeout or 0) from None
            self._monitor.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@cache
def _parent() -> str:
    """The address of this worker's parent of warm processes; it ends with the worker."""
    folder = short_folder("vg-warm-")
    path = str(folder / "s")
    command = [sys.executable, "-m", "tests.support.warm", path]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(process.kill)
    give_up_at = time.monotonic() + _START_S
    while not os.path.exists(path):
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise RuntimeError("the parent of warm processes did not start")
        time.sleep(0.01)
    return path


def _read_exactly(connection: socket.socket, count: int) -> bytes:
    """The status is sent in one piece, so that a timeout never splits it."""
    data = connection.recv(count)
    if len(data) != count:
        raise RuntimeError("the parent of warm processes died")
    return data


def _serve(path: str) -> None:
    """Returns in each child with its request; never returns in the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.made")
    listener.listen(64)
    os.rename(f"{path}.made", path)
    while True:
        connection = listener.accept()[0]
        if os.fork() == 0:
            listener.close()
            break
        connection.close()
    head, files, _, _ = socket.recv_fds(connection, 4, 2)
    request = b""
    while len(request) < int.from_bytes(head, "big"):
        request += connection.recv(65_536)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if (child := os.fork()) > 0:
        for one in files:
            os.close(one)
        connection.sendall(child.to_bytes(4, "big"))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with suppress(OSError):  # the test has ended
            connection.sendall(status.to_bytes(4, "big", signed=True))
        os._exit(0)
    connection.close()
    _run_as_command(json.loads(request), files)


def _run_as_command(request: Any, files: list[int]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, one in enumerate((nothing, *files)):
        os.dup2(one, number)
    os.closerange(3, 1024)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["cwd"])
    sys.argv = request["arguments"]


def _load() -> None:
    for package in ("app", "resolvers"):
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if ".migrations." not in found.name:  # only Alembic can import these
                importlib.import_module(found.name)
    gc.collect()
    gc.freeze()  # otherwise each child would traverse, and so copy, all of it at exit


if __name__ == "__main__":
    _load()
    __package__ = None  # a command is named after its executable
    _serve(sys.argv[1])
    sys.path.pop(0)  # this repository's folder, which an installed command does not have
    from app.cli.main import main

    sys.exit(main())
