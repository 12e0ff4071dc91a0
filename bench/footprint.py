"""Start time and memory of `vaultgraph serve`: `python -m bench.footprint [--seconds 20]`.

Production settings over the vaults' stub of `bench.compare`: tokens checked, every limit on, metrics on, and 999
customers whose wallets are all cached. Measures RSS before and after wrk has requested all customers with 64
connections; then, over the same database, several starts: time from process start until /readyz answers 200, CPU time,
and RSS at that moment.
"""

import argparse
import os
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.compare import stub
from bench.compare.ground import Ground, free_port, process
from bench.compare.load import Meter, run
from bench.compare.ours import as_in_the_image, ours
from bench.compare.questions import WALLET

_WITHIN_S: Final = 30.0
_PARTS: Final = ("VmRSS", "RssAnon", "RssFile")


@dataclass(frozen=True, slots=True)
class Start:
    seconds: float
    cpu_s: float
    memory: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of each of the two wrk runs")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--transport", choices=("lean", "aiohttp"), default="lean")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, vaults, counter = Path(name), free_port(), free_port()
        nginx = stub.start(stub.write(folder / "stub", port=vaults, counter=counter), 1)
        try:
            ground = Ground(f"http://127.0.0.1:{vaults}", counter, folder, is_kept=True)
            party_name = f"ours-{options.transport}"
            with ours(party_name, ground) as party:
                print(f"first answer            {_memory(party.pid)}")
                length = len(party.ask(WALLET.body(1)))
                script = WALLET.write_script(folder, party.headers, length)
                for _ in range(2):
                    sample = run(party.url, script, Meter(party.pid, counter), clients=64, seconds=options.seconds)
                    done = round(sample.per_s * options.seconds)
                    print(f"{done:7} answers more    {_memory(party.pid)}   {sample.per_s:.0f}/s, {sample.bad} bad")
                port = int(party.url.rpartition(":")[2].partition("/")[0])
            settings = folder / party_name / "vaultgraph.toml"
            starts = [_start(settings, port, folder) for _ in range(options.starts)]
        finally:
            nginx.terminate()
            nginx.wait()
    for start in starts:
        print(f"ready after {start.seconds:5.2f} s     {start.memory}   {start.cpu_s:.2f} s of CPU")
    print(f"median      {statistics.median(start.seconds for start in starts):5.2f} s")


def _start(settings: Path, port: int, folder: Path) -> Start:
    """Start once and stop."""
    command: list[str | Path] = [Path(sys.executable).parent / "vaultgraph", "serve", "--config", settings]
    began = time.monotonic()
    with process(command, as_in_the_image(), folder) as pid:
        while not _is_ready(port):
            if time.monotonic() - began > _WITHIN_S:
                raise SystemExit(f"not ready within {_WITHIN_S:.0f} s: {(folder / 'out.log').read_text()[-500:]}")
            time.sleep(0.01)
        seconds = time.monotonic() - began
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return Start(seconds, cpu_s, _memory(pid))


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _memory(pid: int) -> str:
    return "RSS {VmRSS:6.1f} MB (own {RssAnon:6.1f}, mapped files {RssFile:5.1f})".format(**_mb(pid))


def _mb(pid: int) -> dict[str, float]:
    text = Path(f"/proc/{pid}/status").read_text()
    return {part: int(re.findall(rf"{part}:\s+(\d+)", text)[0]) / 1024 for part in _PARTS}


if __name__ == "__main__":
    main()
