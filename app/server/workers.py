"""Runs several worker processes that share one listening socket: one per core.

uvicorn's supervisor with a few differences: workers are forked from a process that has the application's modules in
memory, so they share it and start in a fraction of a second; a worker that cannot start is tried again later instead of
ending the others; and old workers drain while the supervisor goes on watching.
"""

import logging
import multiprocessing
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from tempfile import mkdtemp
from types import FrameType
from typing import Any, Final

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.supervisors.multiprocess import SIGNALS, Multiprocess, Process

from app.server.run import SAME_PRESS_S
from app.telemetry.redact import RedactingFilter

_log = logging.getLogger("vaultgraph.workers")
_log.addFilter(RedactingFilter())
_PING_S: Final = 15.0
_READY_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Seat:
    """What the workers of one supervisor share: `folder`, in memory, and the `number` of this one in it.

    A number is given to another worker when its own has ended, so there are at most twice as many as workers.
    """

    number: int
    folder: Path


class Worker(Process):
    """One worker process. `run` serves, sets `is_serving`, and does not return before SIGTERM."""

    def __init__(self, run: Callable[["Worker"], None], seat: Seat) -> None:
        self.seat = seat
        self.is_serving = False
        self.has_served = False
        self.is_gone = False
        self._run = run
        self._supervisor = os.getpid()
        self.parent_conn, self.child_conn = Pipe()
        forked: Any = multiprocessing.get_context("fork").Process(target=self.target, daemon=True)
        self.process = forked

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """In the new process."""
        self.parent_conn.close()
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends these to all: the supervisor handles them
            signal.signal(number, signal.SIG_IGN)
        threading.Thread(target=self.always_pong, daemon=True).start()
        self._run(self)

    def pong(self) -> None:
        self.child_conn.recv()
        self.child_conn.send(self.is_serving)

    def always_pong(self) -> None:
        """Answer the supervisor; drain if it has died."""
        is_open = True
        while os.getppid() == self._supervisor:
            try:
                if not is_open:
                    time.sleep(1.0)
                elif self.child_conn.poll(1.0):
                    self.pong()
            except (OSError, EOFError):  # closed when the supervisor has sent SIGTERM, or has died
                is_open = False
        shutil.rmtree(self.seat.folder, ignore_errors=True)  # open files stay usable
        os.kill(os.getpid(), signal.SIGTERM)

    def is_alive(self, timeout: float = _PING_S) -> bool:
        if not self.process.is_alive():
            return False
        answer = self._healthcheck(timeout)
        self.has_served = self.has_served or bool(answer)
        return answer is not None


class Supervisor(Multiprocess):
    """Keeps `workers` processes running. SIGTERM and SIGINT drain all; a second one ends them at once.

    SIGHUP replaces them one by one: an old one stops accepting when its successor serves.
    """

    def __init__(
        self,
        workers: int,
        run: Callable[[Worker], None],
        *,
        on_ready: Callable[[], None],
        on_reloaded: Callable[[], None],
    ) -> None:
        super().__init__(uvicorn.Config("", workers=workers, log_config=None), [])
        self._run = run
        self._on_ready = on_ready
        self._on_reloaded = on_reloaded
        self._retired: list[Worker] = []
        self._retry_at = 0.0
        self._failures = 0
        self._stopped_at = 0.0
        self._folder = _shared_folder()
        self.has_failed = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_stop)

    def run(self) -> None:
        try:
            super().run()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def init_processes(self) -> None:
        """Start the first worker, which may migrate the store, and then the others."""
        for group in (1, self.processes_num - 1):
            for _ in range(group):
                self.processes.append(self._start())
            if not all(self._becomes_ready(one) for one in self._workers()):
                self.has_failed = not self._stopped_at
                self.should_exit.set()
                return
        self._on_ready()

    def keep_subprocess_alive(self) -> None:
        for worker in [one for one in self._retired if not one.process.is_alive()]:
            self._retired.remove(worker)
            self._end(worker)
        for index, worker in enumerate(self._workers()):
            if worker.is_alive():
                continue
            if not worker.is_gone:
                self._end(worker)
                _log.error("worker process %s has ended (%s); another one is started", worker.pid, worker.exitcode)
                self._failures = 0 if worker.has_served else self._failures + 1
                pause_s = min(2.0**self._failures, _LONGEST_PAUSE_S) if self._failures else 0.0
                self._retry_at = time.monotonic() + pause_s
            if time.monotonic() >= self._retry_at and not self.should_exit.is_set():
                self.processes[index] = self._start()

    def restart_all(self) -> None:
        for index, old in enumerate(self._workers()):
            new = self._start()
            if not self._becomes_ready(new):
                self._end(new)
                if not self._stopped_at:
                    _log.error("the settings were not reloaded, the running ones stay in force: see the error above")
                return
            self.processes[index] = new
            if old.is_gone:
                continue
            old.terminate()
            self._retired.append(old)
        self._on_reloaded()

    def terminate_all(self) -> None:
        for worker in self._workers():
            if not worker.is_gone:
                worker.terminate()

    def join_all(self) -> None:
        for worker in [*self._workers(), *self._retired]:
            worker.process.join()

    def handle_signals(self) -> None:
        if self._stopped_at:
            self.should_exit.set()
        super().handle_signals()

    def handle_ttin(self) -> None:
        """The number of workers is a setting."""

    def handle_ttou(self) -> None:
        """The number of workers is a setting."""

    def _workers(self) -> list[Worker]:
        return [one for one in self.processes if isinstance(one, Worker)]

    def _start(self) -> Worker:
        taken = {one.seat.number for one in [*self._workers(), *self._retired] if not one.is_gone}
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        worker = Worker(self._run, Seat(number, self._folder))
        worker.start()
        return worker

    def _becomes_ready(self, worker: Worker) -> bool:
        give_up_at = time.monotonic() + _READY_S
        while time.monotonic() < give_up_at and worker.process.is_alive() and not self._stopped_at:
            worker.is_alive()
            if worker.has_served:
                return True
            time.sleep(_LOOK_EVERY_S)
        return False

    def _end(self, worker: Worker) -> None:
        """Kill it, if it still runs, and free its seat."""
        worker.kill()
        worker.process.join()
        worker.is_gone = True
        mark_process_dead(worker.seat.number, str(self._folder))  # type: ignore[no-untyped-call]

    def _on_stop(self, number: int, _: FrameType | None) -> None:
        """Only notes the signal: the handler may interrupt the supervisor anywhere."""
        now = time.monotonic()
        if not self._stopped_at:
            self._stopped_at = now
        elif now - self._stopped_at > SAME_PRESS_S:
            for worker in [*self._workers(), *self._retired]:
                worker.process.kill()
            shutil.rmtree(self._folder, ignore_errors=True)
            os._exit(128 + number)


def _shared_folder() -> Path:
    """A private folder, in memory where the system has one."""
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp creates the private folder in it
    return Path(mkdtemp(prefix="vaultgraph-", dir=memory if os.access(memory, os.W_OK | os.X_OK) else None))
