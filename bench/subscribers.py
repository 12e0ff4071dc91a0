"""Many concurrent subscribers on one process: does each receive every event, and what memory does each need?

    python -m bench.subscribers [--count 1000] [--events 20]

The gateway and its sandboxes are this process; the subscribers are another one, with one socket each. Passes if every
subscriber received every event once and in order, none is left in the feed after disconnecting, and each needed less
than 200 kB.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import aiohttp

from app.store.records import EventType, NewEvent
from tests.support.gateway import RunningGateway
from tests.support.sandbox import RunningSandbox

MOST_BYTES: Final = 200_000
QUERY: Final = 'subscription { customerEvents(customerId: "cus_alex") { id } }'
_CONCURRENCY: Final = 50
_GATE: Final = {
    "socket_connections_per_address": 5_000,
    "socket_connections_per_caller": 5_000,
    "socket_operations_per_caller": 5_000,
    "socket_connections": 5_000,
}


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def listen(url: str, token: str, count: int, events: int) -> None:
    """The subscriber process: prints a line when all have subscribed, then the received events, then waits for a signal
    to end.
    """
    heard: list[list[str]] = [[] for _ in range(count)]
    gate = asyncio.Semaphore(_CONCURRENCY)
    subscribed = 0

    async def one(place: int, session: aiohttp.ClientSession) -> None:
        nonlocal subscribed
        async with gate:
            socket = await session.ws_connect(url, protocols=["graphql-transport-ws"])
            await socket.send_json({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
            assert (await socket.receive_json())["type"] == "connection_ack"
            await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": QUERY}})
            subscribed += 1
        if subscribed == count:
            print("SUBSCRIBED", flush=True)
        while len(heard[place]) < events:
            message = await socket.receive_json(timeout=120)
            heard[place].append(message["payload"]["data"]["customerEvents"]["id"])
        await socket.close()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(one(place, session) for place in range(count)))
    print(json.dumps({"whole": len({tuple(ids) for ids in heard}) == 1, "ids": heard[0]}), flush=True)


def run(count: int, events: int) -> bool:
    with (
        tempfile.TemporaryDirectory() as folder,
        RunningSandbox(Path(folder) / "sandbox") as sandbox,
        RunningGateway(sandbox.url, Path(folder) / "gateway", gate=_GATE) as gateway,
    ):
        feed = gateway.gateway.feed
        before = resident_bytes()
        command = [sys.executable, "-m", "bench.subscribers", "--listen", f"{gateway.url}/graphql"]
        command += ["--count", str(count), "--events", str(events)]
        environ = {**os.environ, "BENCH_TOKEN": gateway.token()}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as others:
            assert others.stdout is not None
            assert others.stdout.readline() == "SUBSCRIBED\n"
            wait_for(lambda: len(feed) == count)
            each = (resident_bytes() - before) // count
            began = time.monotonic()
            ids = [keep(gateway) for _ in range(events)]
            report: dict[str, Any] = json.loads(others.stdout.readline())
            took = time.monotonic() - began
        peak = (resident_bytes() - before) // count
        wait_for(lambda: len(feed) == 0)
    good = report["whole"] and report["ids"] == ids and max(each, peak) < MOST_BYTES
    print(f"{count} subscribers, {events} events: {count * events / took:,.0f} deliveries/s, {took:.1f} s in all")
    print(f"memory per subscriber: {each / 1000:.0f} kB while silent, {peak / 1000:.0f} kB after the events")
    print("passed" if good else "FAILED")
    return bool(good)


def keep(gateway: RunningGateway) -> str:
    event = NewEvent(type=EventType.METHOD_UPDATED, customer_id="cus_alex")
    return str(gateway.on_loop(gateway.gateway.store.events.append(event)).id)


def wait_for(look: Any) -> None:
    give_up_at = time.monotonic() + 60
    while not look():
        if time.monotonic() > give_up_at:
            raise TimeoutError("subscribers did not connect or did not disconnect")
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--events", type=int, default=20)
    parser.add_argument("--listen", default=None, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * chosen.count + 500)), hard))
    if chosen.listen is not None:
        asyncio.run(listen(chosen.listen, os.environ["BENCH_TOKEN"], chosen.count, chosen.events))
        return
    sys.exit(0 if run(chosen.count, chosen.events) else 1)


if __name__ == "__main__":
    main()
