"""Runs wrk against one gateway, each request for another customer, and measures the gateway's resource use."""

import json
import os
import re
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.compare import stub

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_EXTRA_TIMEOUT_S: Final = 40.0
_SETTLE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """`bad` replies: errors, and replies of unexpected length. `calls`: vault calls per request.

    `foreign` is the share of core 0 used by other processes; a large share makes the sample unreliable.
    """

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    calls: float
    bad: int
    rss_mb: float
    foreign: float


class Meter:
    """Resource use of a process, its core and the stub since creation."""

    def __init__(self, pid: int, counter: int) -> None:
        settle(counter)
        self._pid, self._counter = pid, counter
        self._cpu, self._core, self._calls, self._since = self._now()

    def _now(self) -> tuple[float, float, int, float]:
        return _cpu_s(self._pid), _core_busy_s(), stub.count(self._counter), time.monotonic()

    def read(self, requests: int) -> tuple[float, float, float, float]:
        """CPU us and vault calls per request, RSS, and other processes' share of core 0.

        One call is subtracted: reading the counter at creation.
        """
        cpu, core, calls, now = self._now()
        used, many = cpu - self._cpu, max(1, requests)
        foreign = max(0.0, core - self._core - used) / (now - self._since)
        return used / many * 1e6, (calls - 1 - self._calls) / many, _rss_mb(self._pid), foreign


def call_ms(vaults: str) -> float:
    """p50 of one vault call without a gateway: nginx's timer makes a delay of 20 ms slightly longer."""
    url = f"{vaults}/jpmorgan/api/v2/mmp/consumer-profiles/LD0001"
    command = ["taskset", "-c", "1", "wrk", "-t1", "-c1", "-d2s", "--latency", url]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_EXTRA_TIMEOUT_S).stdout
    match = re.search(r"50%\s+([0-9.]+)(us|ms)", output)
    if match is None:
        raise RuntimeError(f"wrk reported no latency: {output}")
    return float(match[1]) / (1000 if match[2] == "us" else 1)


def settle(counter: int) -> None:
    """Wait until vault calls stop, so that one load's background work does not count for the next."""
    seen, give_up_at = -1, time.monotonic() + _SETTLE_S
    while (now := stub.count(counter)) > seen + 1 and time.monotonic() < give_up_at:
        seen = now
        time.sleep(0.25)


def run(url: str, script: Path, meter: Meter, *, clients: int, seconds: float) -> Sample:
    """Load on core 1; the gateway is on core 0."""
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--timeout", "20s"]
    command += ["-s", str(script), url]
    output = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=seconds + _EXTRA_TIMEOUT_S
    ).stdout
    match = re.search(r"RESULT (\{.*\})", output)
    if match is None:
        raise RuntimeError(f"wrk reported no result: {output}")
    found = json.loads(match[1])
    cpu_us, calls, rss_mb, foreign = meter.read(found["requests"])
    return Sample(
        per_s=found["requests"] / (found["us"] / 1e6),
        p50_ms=found["p50"] / 1000,
        p99_ms=found["p99"] / 1000,
        cpu_us=cpu_us,
        calls=calls,
        bad=found["bad"],
        rss_mb=rss_mb,
        foreign=foreign,
    )


def _family(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended has no children
                found += map(int, (task / "children").read_text().split())
    return found


def _cpu_s(pid: int) -> float:
    """User and system time of the process and its descendants, all threads."""
    ticks = 0
    for one in _family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * _TICK_S


def _core_busy_s() -> float:
    """Busy time of core 0 since boot, for all processes."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("cpu0 "):
            user, nice, system, _idle, _wait, irq, softirq, steal = map(int, line.split()[1:9])
            return (user + nice + system + irq + softirq + steal) * _TICK_S
    raise RuntimeError("no figures for core 0")


def _rss_mb(pid: int) -> float:
    texts = [Path(f"/proc/{one}/status").read_text() for one in _family(pid)]
    return sum(int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) for text in texts) / 1024
