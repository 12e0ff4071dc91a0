"""One caller in a separate process: sequential requests, or requests at a fixed rate.

    python -m bench.compare.probe < order.json

At a fixed rate, latency counts from the scheduled time, so that queueing behind a slow reply is included.
"""

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import urlsplit

_CONCURRENCY: Final = 32
_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Order:
    """`per_s` 0: sequential. `length` is that of a good reply; others count as bad."""

    url: str
    headers: Mapping[str, str]
    bodies: Sequence[str]
    length: int
    seconds: float
    per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ClientReport:
    """Latency of each request, sorted."""

    took_ms: Sequence[float]
    bad: int


class Running:
    """A running caller."""

    def __init__(self, order: Order) -> None:
        command = ["taskset", "-c", "1", sys.executable, "-m", "bench.compare.probe"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._order = order
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(order)))
        self._process.stdin.close()

    def report(self) -> ClientReport:
        """Wait for the result."""
        try:
            assert self._process.stdout is not None
            timer = threading.Timer(self._order.seconds + 2 * _TIMEOUT_S, self._process.kill)
            timer.start()
            said = self._process.stdout.read()
            timer.cancel()
            if self._process.wait():
                raise RuntimeError(f"a caller failed with {self._process.returncode}")
            return ClientReport(**json.loads(said))
        finally:
            self._process.kill()


class _Caller:
    def __init__(self, order: Order) -> None:
        self._order, self._at = order, urlsplit(order.url)
        self._headers = {"content-type": "application/json", **order.headers}
        self._own = threading.local()
        self.bad, self.took_ms = 0, list[float]()

    def call(self, number: int, due: float) -> None:
        is_good = False
        try:
            connection: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
            if connection is None:
                connection = http.client.HTTPConnection(self._at.hostname or "", self._at.port, timeout=_TIMEOUT_S)
                self._own.connection = connection
            body = self._order.bodies[number % len(self._order.bodies)].encode()
            connection.request("POST", self._at.path, body, self._headers)
            reply = connection.getresponse()
            is_good = len(reply.read()) == self._order.length and reply.status == 200
        except (OSError, http.client.HTTPException):
            self._own.connection = None
        self.bad += not is_good
        self.took_ms.append((time.monotonic() - due) * 1000)

    def in_turn(self) -> None:
        number, stop_at = 0, time.monotonic() + self._order.seconds
        while (now := time.monotonic()) < stop_at:
            self.call(number, now)
            number += 1

    def at_rate(self) -> None:
        start = time.monotonic()
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            for number in range(int(self._order.seconds * self._order.per_s)):
                due = start + number / self._order.per_s
                time.sleep(max(0.0, due - time.monotonic()))
                pool.submit(self.call, number, due)

    def report(self) -> ClientReport:
        return ClientReport(sorted(self.took_ms), self.bad)


def main() -> None:
    order: dict[str, Any] = json.load(sys.stdin)
    caller = _Caller(Order(**order))
    if order["per_s"]:
        caller.at_rate()
    else:
        caller.in_turn()
    print(json.dumps(asdict(caller.report())))


if __name__ == "__main__":
    main()
