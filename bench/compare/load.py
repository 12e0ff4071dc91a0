"""wrk against one gateway: every request for another customer; and what the gateway's process used meanwhile."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CUSTOMERS: Final = 999
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_FIELDS: Final = """
  id
  paymentMethods%s {
    __typename provider label last4 status isDefault holderName
    ... on Card { brand expiry expiryState authStatus }
    ... on BankAccount { rail accountType bankName }
  }
  sources { provider state methodCount }
"""
ONE: Final = f"query Wallet($id: ID!) {{ customer(id: $id) {{ {_FIELDS % ''} }} }}"
NODES: Final = f"query Wallets($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on Customer {{ {_FIELDS % ''} }} }} }}"
_SCRIPT: Final = """
local number, bad = 0, 0
wrk.method = "POST"
wrk.headers = {%(headers)s}
local function id()
  number = number %% %(customers)d + 1
  return string.format('"cus_load-%%04d"', number)
end
function request()
  local value
  if %(nodes)d == 0 then value = '"id":' .. id() else
    local ids = {}
    for place = 1, %(nodes)d do ids[place] = id() end
    value = '"ids":[' .. table.concat(ids, ",") .. ']'
  end
  return wrk.format(nil, nil, nil, '{"query":' .. %(query)s .. ',"variables":{' .. value .. '}}')
end
function done(summary, latency, requests)
  io.write(string.format('RESULT {"requests":%%d,"us":%%d,"p50":%%d,"p99":%%d,"bad":%%d}\\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99),
    summary.errors.status + summary.errors.timeout + summary.errors.read + summary.errors.connect))
end
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """`foreign` is the share of core 0 that others used: where it is large, the sample is worth little."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    bad: int
    rss_mb: float
    foreign: float


def body(number: int, nodes: int = 0) -> bytes:
    """The same request as wrk's, for one look at the answer."""
    ids = [f"cus_load-{number + place:04d}" for place in range(max(1, nodes))]
    asked = {"query": NODES, "variables": {"ids": ids}} if nodes else {"query": ONE, "variables": {"id": ids[0]}}
    return json.dumps(asked).encode()


def write_script(folder: Path, headers: Mapping[str, str], nodes: int) -> Path:
    every = {"content-type": "application/json", **headers}
    listed = ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in every.items())
    query = json.dumps(json.dumps(NODES if nodes else ONE))
    path = folder / f"load-{len(list(folder.glob('load-*.lua')))}.lua"
    path.write_text(_SCRIPT % {"headers": listed, "customers": CUSTOMERS, "nodes": nodes, "query": query})
    return path


def run(url: str, script: Path, pid: int, *, clients: int, seconds: float) -> Sample:
    """Load on core 1, the gateway being on core 0."""
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--timeout", "20s"]
    before, busy = _cpu_s(pid), _core_busy_s()
    output = subprocess.run([*command, "-s", str(script), url], capture_output=True, text=True, check=True).stdout
    used, core = _cpu_s(pid) - before, _core_busy_s() - busy
    match = re.search(r"RESULT (\{.*\})", output)
    if match is None:
        raise RuntimeError(f"wrk told no result: {output}")
    found = json.loads(match[1])
    count, took_s = max(1, found["requests"]), found["us"] / 1e6
    return Sample(
        per_s=found["requests"] / took_s,
        p50_ms=found["p50"] / 1000,
        p99_ms=found["p99"] / 1000,
        cpu_us=used / count * 1e6,
        bad=found["bad"],
        rss_mb=_rss_mb(pid),
        foreign=max(0.0, core - used) / took_s,
    )


def _cpu_s(pid: int) -> float:
    """User and system time of the process with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def _core_busy_s() -> float:
    """What core 0 has worked since the machine's start, for anyone."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("cpu0 "):
            user, nice, system, _idle, _wait, irq, softirq, steal = map(int, line.split()[1:9])
            return (user + nice + system + irq + softirq + steal) * _TICK_S
    raise RuntimeError("no figures for core 0")


def _rss_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024
