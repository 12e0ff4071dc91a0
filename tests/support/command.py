"""The `vaultgraph` command as a process: output and exit status."""

import os
import pty
import queue
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from click import unstyle

from tests.support.warm import WarmProcess

EXECUTABLE = Path(sys.executable).parent / "vaultgraph"


def environment(**more: str) -> dict[str, str]:
    """This process's environment without Vaultgraph settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VAULTGRAPH_")}
    return {**kept, **more}


def vaultgraph(
    *arguments: str | Path, timeout: float = 60, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command until it exits."""
    command = [EXECUTABLE, *arguments]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = WarmProcess(command, cwd=cwd, env=environment(**env), stdout=out, stderr=errors)
        try:
            status = process.wait(timeout)
        finally:
            process.kill()
        for file in (out, errors):
            file.seek(0)
        return subprocess.CompletedProcess(command, status, out.read(), errors.read())


def on_terminal(*arguments: str | Path, **env: str) -> str:
    """What a command that succeeds prints on a terminal, without colours."""
    terminal, its_end = pty.openpty()
    with os.fdopen(its_end, "w") as its_output:
        env = environment(TERM="xterm", COLUMNS="200", **env)
        process = WarmProcess([EXECUTABLE, *arguments], cwd=None, env=env, stdout=its_output, stderr=its_output)
    printed = b""
    with suppress(OSError):  # the command has ended
        while chunk := os.read(terminal, 65_536):
            printed += chunk
    os.close(terminal)
    assert process.wait(60) == 0, printed
    return unstyle(printed.decode())


class Running:
    """A running command; killed at the end of the block.

    `is_cold`: started from the installed executable, with its imports. `open_files` limits its open files; it then
    starts cold.
    """

    def __init__(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        is_cold: bool = False,
        open_files: int | None = None,
        **env: str,
    ) -> None:
        def limit() -> None:
            if open_files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))

        self.lines: list[str] = []
        command = [EXECUTABLE, *arguments]
        self.process: subprocess.Popen[str] | WarmProcess
        if is_cold or open_files is not None:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd, env=environment(**env),
                preexec_fn=limit,
            )  # fmt: skip
        else:
            self.process = WarmProcess(command, cwd=cwd, env=environment(**env))
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "Running":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def until(self, pattern: str, within: float = 90) -> re.Match[str]:
        """The first new line that matches the pattern."""
        give_up_at = time.monotonic() + within
        while True:
            try:
                line = self._queue.get(timeout=max(0.01, give_up_at - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"no line like {pattern!r} in {self.lines}") from None
            if line is None:
                raise AssertionError(
                    f"it ended ({self.process.wait(10)}) without a line like {pattern!r}: {self.lines}"
                )
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found

    def stop(self, number: int = signal.SIGINT, within: float = 60) -> int:
        """Send the signal; returns the exit status."""
        self.process.send_signal(number)
        return self.ended(within)

    def ended(self, within: float = 60) -> int:
        status = self.process.wait(within)
        self._drain()
        return status

    def _drain(self) -> None:
        self._reader.join(10)
        while (line := self._queue.get(timeout=10)) is not None:
            self.lines.append(line)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)
