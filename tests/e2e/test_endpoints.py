"""Outgoing webhooks through the whole product: the command, a running gateway, and the receivers of the docs."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from app.endpoints.signing import SecretCipher, new_secret
from app.store import Store
from app.store.records import EventType, NewEndpoint, NewEvent
from app.store.ulids import ENDPOINT, new_id
from app.wallet.keys import KeyRing
from tests.e2e.test_events_all import happen
from tests.support.command import vaultgraph
from tests.support.gateway import KEYS, RunningGateway
from tests.support.gateways import StartGateway
from tests.support.node import require_node
from tests.support.partners import PartnerApp
from tests.support.receiver import OK, Answer, Receiver, Webhook
from tests.support.waiting import eventually

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "outgoing-webhooks.md").read_text("utf-8")
DEVELOPMENT = {
    "VAULTGRAPH_DIGEST_KEY": KEYS["digest_key"],
    "VAULTGRAPH_MODE": "development",
    "VAULTGRAPH_ENDPOINTS__ALLOW_LOOPBACK": "true",
}


@pytest.fixture
def gateway(start_gateway: StartGateway) -> RunningGateway:
    return start_gateway(endpoints={"allow_loopback": True, "first_retry_s": 0.05, "longest_retry_s": 0.1})


def run(gateway: RunningGateway, *words: str, expected: int = 0, **env: str) -> str:
    done = vaultgraph("endpoints", *words, "--data-dir", gateway.data_dir, **{**DEVELOPMENT, **env})
    assert done.returncode == expected, done.stderr
    return done.stdout if expected == 0 else done.stderr


def add(gateway: RunningGateway, url: str, *words: str, events: str = "METHOD_EXPIRING") -> tuple[str, str]:
    """The id and the secret."""
    printed = run(gateway, "add", url, "--events", events, *words)
    return printed.split()[1], printed.split()[-1]


def table(gateway: RunningGateway, *words: str) -> Any:
    return json.loads(run(gateway, *words, "--json"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def documented(language: str, folder: Path, **env: str) -> Iterator[list[str]]:
    """The receiver of the page, running; yields the lines that it prints."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    file = folder / {"python": "receiver.py", "js": "receiver.mjs"}[language]
    file.write_text(code, "utf-8")
    program = sys.executable if language == "python" else require_node()
    with subprocess.Popen(
        [program, file], env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        lines: list[str] = []
        try:
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)

            class Lines(list[str]):
                def __iter__(self) -> Iterator[str]:
                    assert process.stdout is not None
                    lines.extend(iter(process.stdout.readline, ""))
                    return iter(lines)

            yield Lines()
        finally:
            process.kill()


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_documented_receiver_verifies_what_the_gateway_sends(
    gateway: RunningGateway, tmp_path: Path, language: str
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/hook"
    endpoint, secret = add(gateway, url)
    events = [happen(gateway), happen(gateway, "cus_sam")]
    with documented(language, tmp_path, PORT=str(port), WEBHOOK_SECRET=secret) as lines:
        eventually(lambda: len(list(lines)) == 2, "both events")
        assert sorted(lines) == sorted(f"METHOD_EXPIRING {event}\n" for event in events)
        run(gateway, "replay", endpoint, events[0])
        eventually(lambda: table(gateway, "show", endpoint)["deliveries"]["delivered"] == 2)
        assert len(list(lines)) == 2, "the receiver knows the id"
        forged = urllib.request.Request(url, b'{"data": {"id": "evt_x"}}', {"webhook-id": "evt_x"})
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(forged, timeout=10)
        assert len(list(lines)) == 2


def test_a_partner_gets_the_events_of_granted_customers_only(gateway: RunningGateway) -> None:
    PartnerApp(gateway, "acme", scopes=["customers:read"], granted=["cus_alex"])
    with Receiver() as theirs, Receiver() as ours:
        endpoint, secret = add(gateway, theirs.url, "--partner", "acme", events="METHOD_EXPIRING,PAYMENT_UPDATED")
        staff, _ = add(gateway, ours.url)
        sams, alexs = happen(gateway, "cus_sam"), happen(gateway)
        paid = happen(gateway, kind=EventType.PAYMENT_UPDATED, detail={"payment_id": "pay_1"})
        eventually(lambda: len(theirs.seen) == 2 and len(ours.seen) == 2)
        assert theirs.ids == [alexs, paid]
        assert sorted(ours.ids) == sorted([sams, alexs])
        for webhook in theirs.seen:
            Verifier(secret).verify(webhook.body, webhook.headers)
        method = gateway.data(
            "query ($id: ID!) { node(id: $id) { ... on CustomerEvent { paymentMethodId } } }", id=alexs
        )["node"]["paymentMethodId"]
        assert theirs.seen[0].data["paymentMethodId"] == method, "the id that the partner sees elsewhere"
        assert theirs.seen[1].data["paymentId"] == "pay_1"
        assert "ann" not in theirs.seen[0].body.decode()
        owners = {row["id"]: row["owner"] for row in table(gateway, "list")}
        assert owners == {endpoint: "acme", staff: "staff"}


def test_an_operator_finds_what_failed_and_sends_it_again(start_gateway: StartGateway) -> None:
    settings = {"allow_loopback": True, "first_retry_s": 0.05, "longest_retry_s": 0.1, "retry_for_s": 0}
    gateway = start_gateway(endpoints=settings)
    status = 500
    with Receiver(lambda webhook: (status, {})) as receiver:
        endpoint, secret = add(gateway, receiver.url)
        (stored,) = gateway.on_loop(gateway.gateway.store.endpoints.all())
        assert secret not in str(stored)
        first = happen(gateway)
        (dead,) = eventually(lambda: table(gateway, "dead"))
        assert (dead["endpoint"], dead["event"], dead["error"], dead["attempts"]) == (endpoint, first, "HTTP_500", 1)
        status = 200
        assert run(gateway, "replay", endpoint, "--all-dead") == "1 delivery due again\n"
        eventually(lambda: receiver.ids == [first, first])
        status = 410
        gone = happen(gateway)
        eventually(lambda: table(gateway, "list")[0]["state"] == "disabled (GONE)")
        dead_twice = 'vaultgraph_endpoint_attempts_total{outcome="dead"} 2.0'
        eventually(lambda: dead_twice in gateway.request("GET", "/metrics").raw.decode())
        page = gateway.request("GET", "/metrics").raw.decode()
        assert 'vaultgraph_endpoint_attempts_total{outcome="delivered"} 1.0' in page
        assert "vaultgraph_endpoint_oldest_seconds" in page
        assert f"the endpoint {endpoint} is disabled" in gateway.log
        missed = happen(gateway)
        status = 200
        run(gateway, "enable", endpoint)
        last = happen(gateway)
        eventually(lambda: receiver.ids[-1] == last)
        assert missed not in receiver.ids
        assert run(gateway, "replay", endpoint, "--since", "2020-01-01").endswith(" due again\n")
        eventually(lambda: {gone, missed} <= set(receiver.ids[4:]))
        run(gateway, "disable", endpoint)
        assert table(gateway, "list")[0]["state"] == "disabled (OPERATOR)"
        fresh = run(gateway, "rotate-secret", endpoint).split()[-1]
        run(gateway, "enable", endpoint)
        signed = happen(gateway)
        eventually(lambda: receiver.ids[-1] == signed)
        for one in (secret, fresh):
            Verifier(one).verify(receiver.seen[-1].body, receiver.seen[-1].headers)
        eventually(lambda: not table(gateway, "show", endpoint)["deliveries"]["pending"])
        assert table(gateway, "show", endpoint)["deliveries"]["dead"] == 0
        assert {row["event"] for row in table(gateway, "deliveries", endpoint, "--state", "delivered")} >= {first, last}
        run(gateway, "remove", endpoint)
        assert table(gateway, "list") == []
        assert "no such endpoint" in run(gateway, "remove", endpoint, expected=1)


_WORKER = """
import asyncio, sys
from datetime import UTC, datetime
from app.endpoints.compose import build_endpoint_worker
from app.endpoints.signing import SecretCipher
from app.settings.model import EndpointSettings
from app.store import Store
from app.wallet.ids import Ids
from app.wallet.keys import KeyRing
from app.wallet.writes.lease import WorkerLease

async def main(url, id_key, digest_key):
    store = Store.open(url)
    owner = WorkerLease(store, lambda: datetime.now(UTC))
    await owner.start()
    keys, settings = KeyRing([digest_key], SecretCipher), EndpointSettings(allow_loopback=True, timeout_s=20)
    await build_endpoint_worker(settings, store, keys, Ids(id_key), owner, lambda outcome: None).run()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_killed_process_is_continued_by_another(sqlite_url: str) -> None:
    command = [sys.executable, "-c", _WORKER, sqlite_url, KEYS["id_key"], KEYS["digest_key"]]
    is_open = threading.Event()

    def answer(webhook: Webhook) -> Answer:
        is_open.wait(30)
        return OK

    store = Store.open(sqlite_url)
    with Receiver(answer) as receiver, subprocess.Popen(command) as first:
        keys, endpoint_id = KeyRing([KEYS["digest_key"]], SecretCipher), new_id(ENDPOINT)
        sealed = keys.first.seal(endpoint_id, new_secret())
        new = NewEndpoint(
            id=endpoint_id,
            client=None,
            url=receiver.url,
            types=frozenset({"METHOD_EXPIRING"}),
            secret=sealed,
            secret_key=keys.first_name,
        )
        await store.endpoints.add(new)
        crowd = [NewEvent(type=EventType.METHOD_EXPIRING, customer_id=f"cus_{number % 4}") for number in range(12)]
        events = [event.id for event in await store.events.append_all(crowd)]
        await asyncio.to_thread(eventually, lambda: len(receiver.seen) == 4)
        with subprocess.Popen(command) as second:
            first.kill()
            first.wait()
            is_open.set()
            await asyncio.to_thread(eventually, lambda: len(receiver.seen) == 16, "the four again, then the others")
            second.kill()
    assert sorted(receiver.ids[4:]) == events
    assert set(receiver.ids[:4]) == set(events[:4]), "the first of each customer, sent by both"
    for number in range(4):
        found = [one.id for one in receiver.seen[4:] if one.customer == f"cus_{number}"]
        assert found == events[number::4]
    await store.close()


def test_what_cannot_be_an_endpoint_is_refused_by_its_rule(gateway: RunningGateway) -> None:
    events = ("--events", "METHOD_EXPIRING")
    production = {"VAULTGRAPH_ENDPOINTS__ALLOW_LOOPBACK": "false"}
    for url in ("http://127.0.0.1:1/", "https://localhost/", "https://169.254.169.254/latest", "https://10.0.0.1"):
        said = run(gateway, "add", url, *events, expected=1, **production)
        assert "cannot be an endpoint" in said
        assert url not in said
    assert "no event" in run(gateway, "add", "https://127.0.0.1/", "--events", "MUTATION", expected=2)
    assert "no partner" in run(gateway, "add", "http://127.0.0.1:1/", *events, "--partner", "nobody", expected=1)
    assert table(gateway, "list") == []


def test_a_secret_whose_key_is_gone_is_shown_and_can_be_replaced(gateway: RunningGateway) -> None:
    with Receiver() as receiver:
        endpoint, before = add(gateway, receiver.url)
        other = {"VAULTGRAPH_DIGEST_KEY": "another digest key which is long enough 0123456789"}
        (row,) = json.loads(run(gateway, "list", "--json", **other))
        assert row["state"] == "secret unreadable"
        assert table(gateway, "show", endpoint)["state"] == "enabled"
        refused = run(gateway, "rotate-secret", endpoint, expected=1, **other)
        assert "cannot be decrypted" in refused
        after = run(gateway, "rotate-secret", endpoint, "--old-valid-for-h", "0").split()[-1]
        happen(gateway)
        eventually(lambda: len(receiver.seen) == 1)
        Verifier(after).verify(receiver.seen[0].body, receiver.seen[0].headers)
        with pytest.raises(WebhookVerificationError):
            Verifier(before).verify(receiver.seen[0].body, receiver.seen[0].headers)
