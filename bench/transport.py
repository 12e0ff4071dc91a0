"""Cost of one GET on each transport: `python bench/transport.py [--tls] [--seconds 4] [--rounds 3]`.

A stub (nginx, one worker) returns a small JSON document. 64 tasks each request five at once, one from each of five
transports with 64 connections, repeatedly, as uncached wallets do. The figure includes the tasks that `asyncio.gather`
creates. The client has its own core if there are two. Rounds alternate; the figures are the client's CPU time and
wall time per GET and the 99th percentile of five at once, the median of the rounds. Needs `nginx`; with `--tls`,
`openssl` too. Everything is on loopback.
"""

import argparse
import asyncio
import os
import platform
import shutil
import socket
import ssl
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import uvloop

from app.http.transports.base import Transport
from app.http.transports.choice import KINDS, Kind, open_transport

CALLERS, CALLS = 64, 5
HEADERS = {
    "accept": "application/json",
    "accept-encoding": "gzip, deflate",
    "user-agent": "vaultgraph",
    "authorization": "Bearer bench",
    "x-request-id": "01J0000000000000000000000",
}
BODY = '{"methods":[' + ",".join(f'{{"id":"{n}","brand":"VISA","last4":"1111","month":12}}' for n in range(10)) + "]}"
CONFIG = """
worker_processes 1; daemon off; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; default_type application/json;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port} {tls}; location / {{ return 200 '{body}'; }} }}
}}
"""
OPENSSL = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=stub"]
OPENSSL += ["-addext", "subjectAltName=IP:127.0.0.1"]
TLS_LINES = "ssl; ssl_certificate {folder}/cert; ssl_certificate_key {folder}/key"


@contextmanager
def stub(is_tls: bool) -> Iterator[tuple[str, ssl.SSLContext | None]]:
    """nginx on a free port: its URL, and a client context that trusts it."""
    with tempfile.TemporaryDirectory() as name, socket.socket() as free:
        folder, context = Path(name), None
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        if is_tls:
            context = _certificate(folder)
        tls = TLS_LINES.format(folder=folder) if is_tls else ""
        (folder / "conf").write_text(CONFIG.format(folder=folder, port=port, tls=tls, body=BODY))
        server = subprocess.Popen([shutil.which("nginx") or "nginx", "-p", name, "-c", str(folder / "conf")])
        try:
            _wait_for(port)
            yield f"{'https' if is_tls else 'http'}://127.0.0.1:{port}", context
        finally:
            server.terminate()
            server.wait(5)


def _certificate(folder: Path) -> ssl.SSLContext:
    subprocess.run(
        [*OPENSSL, "-keyout", folder / "key", "-out", folder / "cert"],
        check=True,
        capture_output=True,
    )
    return ssl.create_default_context(cafile=folder / "cert")


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("nginx did not start")


async def ask(transports: list[Transport], url: str, seconds: float) -> list[float]:
    """How long each group of five GETs took, in seconds."""
    loop, took = asyncio.get_running_loop(), list[float]()
    until = loop.time() + seconds

    async def caller() -> None:
        while loop.time() < until:
            began = time.perf_counter()
            sends = [
                transport.send("GET", f"{url}/customers/{number}", HEADERS, None, loop.time() + 3)
                for number, transport in enumerate(transports)
            ]
            for reply in await asyncio.gather(*sends):
                assert reply.status == 200
                assert len(reply.body) == len(BODY)
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return took


async def measure(kind: Kind, url: str, tls: ssl.SSLContext | None, seconds: float) -> tuple[float, float, float]:
    """CPU and wall microseconds per GET, and the 99th percentile of five at once in milliseconds."""
    transports = [open_transport(kind, connections=CALLERS, max_body_bytes=1_000_000, tls=tls) for _ in range(CALLS)]
    try:
        await ask(transports, url, seconds / 4)
        cpu, wall = time.process_time(), time.perf_counter()
        took = await ask(transports, url, seconds)
        spent, count = (time.process_time() - cpu, time.perf_counter() - wall), CALLS * len(took)
        return spent[0] / count * 1e6, spent[1] / count * 1e6, sorted(took)[int(0.99 * len(took))] * 1e3
    finally:
        for transport in transports:
            await transport.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[Kind, list[tuple[float, float, float]]] = {kind: [] for kind in KINDS}
    with stub(options.tls) as (url, tls):
        if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(0, {0})  # after nginx started: it keeps all cores
        for _ in range(options.rounds):
            for kind in KINDS:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    found[kind].append(runner.run(measure(kind, url, tls, options.seconds)))
    versions = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "httptools", "uvloop"))
    print(
        f"python {platform.python_version()}, {versions}, {'TLS' if options.tls else 'plain'}, {CALLS} GETs x {CALLERS}"
    )
    for kind in KINDS:
        cpu, wall, p99 = (statistics.median(values) for values in zip(*found[kind], strict=True))
        print(f"{kind:8} {cpu:6.1f} us CPU per GET, {wall:6.1f} us wall, {1e6 / wall:7.0f} GETs/s, p99 {p99:.1f} ms")


if __name__ == "__main__":
    main()
