"""Compares Vaultgraph with other gateways doing the same work on the same machine, in alternating rounds.

    python -m bench.compare [--cases uncached,hit,...] [--parties ours,ours-aiohttp,apollo,yoga,...] [--rounds 3]
                            [--seconds 4] [--warm-up 10] [--foreign 30] [--at-most 60] [--python PATH]

Cases (default: all):

    uncached    one customer's wallet, five vault calls; 1, 8 and 64 clients
    changing    the same from vaults that never repeat bytes, 64 clients: byte-identical replies are not reused
    renewed     the same, and half of the methods differ from the last reply: only equal methods are reused
    tls         the same over TLS to the vaults, 64 clients
    slow        the same with vaults that take 20 ms for each call; 1 and 64 clients
    hit         the same from the cache; 1 and 64 clients
    mutation    setDefaultPaymentMethod at Caselle: one vault read and one write; 1 and 64 clients; with its CPU time
                over that of an uncached wallet, which is five vault calls
    nodes10     ten customers per request, 8 clients
    nodes100    a hundred per request, sequentially; another caller's wallet 40 times a second, alone and meanwhile
    large       10,000 methods in one reply, in the same way
    large-hit   the same from the cache

Parties: ours (the default settings), ours-aiohttp, apollo, yoga, hive (all but the mutation), tailcall (only uncached
and slow). Not in the default: ours-traced (traces of 10 % of the requests go to a collector),
ours-python (the interpreter of --python, with the locked packages) and yoga-fetch.

Two cores: gateways on core 0, one at a time under load; the vaults' stub (nginx) and the load (wrk) on core 1. Needs
Linux, `wrk`, `nginx` with its Lua module (Debian: wrk, nginx-light, libnginx-mod-http-lua), Node.js,
`npm ci --prefix bench/compare/peers`, and for Hive `npm ci --prefix bench/compare/peers/hive --ignore-scripts`. Every
party's data must be equal before and after, except Tailcall's, which keeps each vault's shape.

A sample in which other processes used more than `--foreign` per cent of core 0 is repeated up to twice; the least
disturbed counts. A run takes about half an hour on an idle machine. After `--at-most` minutes no case is started, and
missing cases are reported. A case that fails, or in which replies differ, is skipped, and the exit status is 1.
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Collection

from bench.compare.cases import CASES, Comparison, Unequal
from bench.compare.parties import DEFAULT, PARTIES
from bench.compare.versions import versions


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cases", default=",".join(CASES))
    options.add_argument("--parties", default=",".join(DEFAULT))
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--warm-up", type=float, default=10)
    options.add_argument("--foreign", type=float, default=30, help="per cent of core 0")
    options.add_argument("--at-most", type=float, default=60, help="minutes")
    options.add_argument("--python", help="the interpreter of ours-python")
    chosen = options.parse_args()
    cases, parties = _listed(chosen.cases, CASES), _listed(chosen.parties, PARTIES)
    give_up_at = time.monotonic() + chosen.at_most * 60
    failed: list[str] = []
    # Exit through `finally` blocks, so that child processes end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(versions(chosen.python))
    for name in cases:
        print(f"\n**{name}**\n", flush=True)
        if time.monotonic() > give_up_at:
            print(f"Skipped: {chosen.at_most:g} minutes have passed.")
            continue
        try:
            for line in Comparison(name, chosen, give_up_at).lines(parties):
                print(line, flush=True)
        except (Unequal, RuntimeError, OSError, subprocess.SubprocessError) as error:
            failed.append(name)
            print(f"\nGiven up: {error}", flush=True)
    if failed:
        sys.exit(f"given up: {', '.join(failed)}")


def _listed(text: str, known: Collection[str]) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            sys.exit(f"no {name}: {', '.join(known)}")
    return list(dict.fromkeys(names))


if __name__ == "__main__":
    main()
