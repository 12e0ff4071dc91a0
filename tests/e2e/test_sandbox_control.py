"""The control API, faults and call record over real HTTP, with two tiny vaults."""

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.sandbox.run import SandboxCannotStart, serve_sandbox
from app.server.sockets import bind
from tests.support.sandbox import ControlError, Reply, RunningSandbox
from tests.support.tiny_emulator import tiny_emulators

DEAD = (http.client.RemoteDisconnected, ConnectionResetError)
NEW = {"ref": "2", "last4": "2222"}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningSandbox]:
    with RunningSandbox(make_emulators=tiny_emulators) as running:
        yield running


@pytest.fixture
def tiny(server: RunningSandbox) -> RunningSandbox:
    server.reset()
    return server


def add(tiny: RunningSandbox, **options: Any) -> Reply:
    return tiny.request("POST", "/loanpro/things", NEW, **options)


def last4s(tiny: RunningSandbox) -> list[str]:
    return [row["last4"] for row in tiny.held("loanpro", "37")]


def statuses(tiny: RunningSandbox) -> list[int | None]:
    return [row["status"] for row in tiny.calls()]


def within(seconds: float, is_so: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not (so := is_so()) and time.monotonic() < until:
        time.sleep(0.01)
    return so


def test_calls_are_recorded_exactly_and_in_order(tiny: RunningSandbox) -> None:
    tiny.request("GET", "/loanpro/things?nopaging=true")
    add(tiny)
    tiny.request("DELETE", "/aloha/things/a%20b")
    tiny.request("POST", "/loanpro/oauth2/token")
    tiny.request("GET", "/loanpro")
    tiny.request("GET", "/northbank/things")
    rows = tiny.calls(token_routes=True)
    times = [datetime.fromisoformat(row.pop("at")) for row in rows]
    assert rows == [
        {"provider": "loanpro", "method": "GET", "path": "/things", "status": 200},
        {"provider": "loanpro", "method": "POST", "path": "/things", "status": 201},
        {"provider": "aloha", "method": "DELETE", "path": "/things/a b", "status": 204},
        {"provider": "loanpro", "method": "POST", "path": "/oauth2/token", "status": 200, "token_route": True},
        {"provider": "loanpro", "method": "GET", "path": "/", "status": 404},
    ]
    assert times == sorted(times)
    assert abs(times[0] - datetime.now(UTC)) < timedelta(minutes=1)
    assert [row["path"] for row in tiny.calls("aloha")] == ["/things/a b"]
    tiny.clear_calls()
    assert tiny.calls(token_routes=True) == []


def test_no_call_is_lost_under_concurrency(tiny: RunningSandbox) -> None:
    with ThreadPoolExecutor(16) as threads:
        replies = list(threads.map(lambda number: tiny.request("GET", f"/loanpro/things?{number}"), range(200)))
    assert {reply.status for reply in replies} == {200}
    assert statuses(tiny) == [200] * 200


def test_delay(tiny: RunningSandbox) -> None:
    tiny.fault("loanpro", "delay", delay_ms=150, times=1)
    began = time.monotonic()
    assert add(tiny).status == 201
    assert time.monotonic() - began >= 0.15
    assert last4s(tiny) == ["1111", "2222"]


def test_a_delayed_write_is_committed_after_a_disconnect(tiny: RunningSandbox) -> None:
    tiny.fault("loanpro", "delay", delay_ms=1_000, times=1)
    with pytest.raises(TimeoutError):
        add(tiny, timeout=0.1)
    assert last4s(tiny) == ["1111"]
    assert within(30, lambda: last4s(tiny) == ["1111", "2222"])
    assert statuses(tiny) == [None]


def test_reset_ends_what_a_delay_holds(tiny: RunningSandbox) -> None:
    tiny.fault("loanpro", "delay", delay_ms=60_000)
    with ThreadPoolExecutor(1) as threads:
        delayed = threads.submit(add, tiny)
        assert within(30, lambda: len(tiny.calls()) == 1)
        tiny.reset()
        assert isinstance(delayed.exception(5), DEAD)
    assert last4s(tiny) == ["1111"]


def test_hang_ends_with_its_client(tiny: RunningSandbox) -> None:
    tiny.fault("loanpro", "hang", times=1)
    with pytest.raises(TimeoutError):
        add(tiny, timeout=0.1)
    assert (last4s(tiny), statuses(tiny)) == (["1111"], [None])
    assert add(tiny).status == 201


def test_hang_after_commit(tiny: RunningSandbox) -> None:
    tiny.fault("loanpro", "hang", commit=True, times=1)
    with pytest.raises(TimeoutError):
        add(tiny, timeout=0.1)
    assert (last4s(tiny), statuses(tiny)) == (["1111", "2222"], [None])


@pytest.mark.parametrize(("commit", "kept"), [(False, ["1111"]), (True, ["1111", "2222"])])
def test_status_before_and_after_commit(tiny: RunningSandbox, commit: bool, kept: list[str]) -> None:
    tiny.fault("loanpro", "status", status=503, commit=commit, times=1)
    reply = add(tiny)
    assert (reply.status, reply.headers["content-type"]) == (503, "application/json")
    assert (last4s(tiny), statuses(tiny)) == (kept, [503])


@pytest.mark.parametrize("status", [204, 304, 401, 500, 599])
def test_any_status_makes_a_reply_that_can_be_read(tiny: RunningSandbox, status: int) -> None:
    tiny.fault("loanpro", "status", status=status)
    connection = http.client.HTTPConnection(tiny.url.removeprefix("http://"), timeout=5)
    for _ in range(2):  # the second shows that the connection is still usable
        connection.request("GET", "/loanpro/things")
        reply = connection.getresponse()
        reply.read()
        assert reply.status == status
    connection.close()


@pytest.mark.parametrize(("asked", "header"), [({}, "1"), ({"retry_after_s": 7}, "7"), ({"retry_after_s": 0.2}, "1")])
def test_throttle(tiny: RunningSandbox, asked: dict[str, Any], header: str) -> None:
    tiny.fault("loanpro", "throttle", times=1, **asked)
    reply = add(tiny)
    assert (reply.status, reply.headers["retry-after"]) == (429, header)
    assert (last4s(tiny), statuses(tiny)) == (["1111"], [429])


def test_drop_before_commits_nothing(tiny: RunningSandbox) -> None:
    tiny.fault("loanpro", "drop_before", times=1)
    with pytest.raises(DEAD):
        add(tiny)
    assert (last4s(tiny), statuses(tiny)) == (["1111"], [None])


def test_drop_after_commits_and_sends_no_byte(tiny: RunningSandbox) -> None:
    tiny.fault("loanpro", "drop_after", times=1, method="POST")
    sent = b"POST /loanpro/things HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s"
    body = json.dumps(NEW).encode()
    host, port = tiny.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as wire:
        wire.sendall(sent % (len(body), body))
        assert wire.recv(1000) == b""
    assert (last4s(tiny), statuses(tiny)) == (["1111", "2222"], [None])


def test_truncate_announces_the_whole_body_and_sends_half(tiny: RunningSandbox) -> None:
    whole = tiny.request("GET", "/loanpro/things")
    tiny.clear_calls()
    tiny.fault("loanpro", "truncate", times=1)
    with pytest.raises(http.client.IncompleteRead) as cut:
        tiny.request("GET", "/loanpro/things")
    assert cut.value.partial == whole.body[: len(whole.body) // 2]
    assert len(cut.value.partial) + (cut.value.expected or 0) == len(whole.body)
    assert statuses(tiny) == [200]


def test_truncate_of_a_write_commits_it_and_of_nothing_is_nothing(tiny: RunningSandbox) -> None:
    tiny.fault("loanpro", "truncate", times=2)
    with pytest.raises(http.client.IncompleteRead):
        add(tiny)
    assert last4s(tiny) == ["1111", "2222"]
    assert tiny.request("DELETE", "/loanpro/things/2").status == 204


@pytest.mark.parametrize(("commit", "kept"), [(False, ["1111"]), (True, ["1111", "2222"])])
def test_garbage(tiny: RunningSandbox, commit: bool, kept: list[str]) -> None:
    tiny.fault("loanpro", "garbage", times=1, commit=commit)
    reply = add(tiny)
    assert reply.status == 200
    with pytest.raises(ValueError):
        reply.json()
    assert (last4s(tiny), statuses(tiny)) == (kept, [200])


def test_faults_are_listed_and_removed(tiny: RunningSandbox) -> None:
    first = tiny.fault("loanpro", "status", status=502)
    tiny.fault("aloha", "hang", path="/things", method="GET", times=3)
    assert [(row["provider"], row["status"], row["times"]) for row in tiny.control("GET", "/faults")] == [
        ("loanpro", 502, None),
        ("aloha", 500, 3),
    ]
    assert tiny.control("DELETE", f"/faults/{first['id']}") == {"removed": 1}
    assert tiny.request("DELETE", f"/__sandbox/faults/{first['id']}").status == 404
    tiny.clear_faults("loanpro")
    assert len(tiny.control("GET", "/faults")) == 1
    tiny.clear_faults()
    assert tiny.control("GET", "/faults") == []


def test_a_star_leaves_tokens_alone(tiny: RunningSandbox) -> None:
    tiny.fault("loanpro", "status", path="*", status=401, times=None)
    assert [tiny.request("GET", "/loanpro/things").status for _ in range(3)] == [401, 401, 401]
    assert tiny.request("POST", "/loanpro/oauth2/token").status == 200
    tiny.fault("loanpro", "status", path="/oauth2/token", status=503)
    assert tiny.request("POST", "/loanpro/oauth2/token").status == 503


def test_reset_restores_everything(tiny: RunningSandbox) -> None:
    add(tiny)
    tiny.switch("loanpro", "GREETING", "good day")
    tiny.fault("loanpro", "status")
    tiny.clock(advance_s=90_000)
    tiny.reset()
    assert tiny.calls() == []
    assert tiny.control("GET", "/faults") == []
    assert tiny.request("GET", "/loanpro/things").json() == {"greeting": "hello", "things": {"1": {"last4": "1111"}}}
    now = datetime.fromisoformat(tiny.control("GET", "/clock")["now"])
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_clock_turns_and_runs_on(tiny: RunningSandbox) -> None:
    turned = datetime.fromisoformat(tiny.clock(now="2031-03-01T00:00:00Z"))
    assert timedelta(0) <= turned - datetime(2031, 3, 1, tzinfo=UTC) < timedelta(seconds=20)
    later = datetime.fromisoformat(tiny.clock(advance_s=3600))
    assert timedelta(hours=1) <= later - turned < timedelta(hours=1, seconds=20)
    expires = tiny.request("POST", "/loanpro/oauth2/token").json()["expires_at"]
    assert datetime.fromisoformat(expires) >= later


def test_tokens(tiny: RunningSandbox) -> None:
    minted = tiny.token("loanpro", "card", number="4111111111111111", exp_month=5, exp_year=2031)
    assert minted == {"token": "tok_1", "last4": "1111", "bin": "411111", "brand": "visa"}


def test_credentials_contain_the_requested_address(tiny: RunningSandbox) -> None:
    assert tiny.credentials() == {
        name: {"base_url": f"{tiny.url}/loanpro", "headers": {"Authorization": "Bearer tiny"}}
        for name in ("loanpro", "aloha")
    }


def test_switches_are_listed_with_their_docs_and_set(tiny: RunningSandbox) -> None:
    tiny.switch("loanpro", "GREETING", "good day")
    assert tiny.control("GET", "/switches") == {
        "loanpro": {
            "GREETING": {
                "value": "good day",
                "default": "hello",
                "allowed": ["hello", "good day"],
                "about": "How a thing is greeted.",
            }
        },
        "aloha": {},
    }
    assert tiny.request("GET", "/loanpro/things").json()["greeting"] == "good day"


def test_three_ds(tiny: RunningSandbox) -> None:
    tiny.three_ds("1", "DENIED")
    with pytest.raises(ControlError, match="404"):
        tiny.three_ds("7", "DENIED")


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/faults", {"kind": "hang"}, 400, "provider"),
        ("/faults", {"provider": "northbank", "kind": "hang"}, 404, None),
        ("/faults", {"provider": "loanpro", "kind": "bang"}, 400, "kind"),
        ("/faults", b"{", 400, None),
        ("/faults", [], 400, None),
        ("/clock", {"now": "soon"}, 400, "now"),
        ("/switches", {"provider": "loanpro", "name": "NOPE", "value": "x"}, 400, "name"),
        ("/switches", {"provider": "loanpro", "name": "GREETING", "value": "x"}, 400, "value"),
        ("/switches", {"provider": "northbank", "name": "GREETING", "value": "x"}, 404, None),
        ("/tokens", {"provider": "aloha", "kind": "card", "number": "4111111111111111"}, 400, "provider"),
        ("/tokens", {"provider": "loanpro", "kind": "card", "number": "4111", "exp_month": 13}, 400, "exp_month"),
        ("/three-ds", {"payment_method_id": "1", "status": "MAYBE"}, 400, "status"),
        ("/three-ds", {"status": "DENIED"}, 400, "payment_method_id"),
        ("/nothing", {}, 404, None),
    ],
)
def test_refusals_are_json_and_name_the_field(
    tiny: RunningSandbox, path: str, body: Any, status: int, field: str | None
) -> None:
    reply = tiny.request("POST", f"/__sandbox{path}", body)
    assert (reply.status, reply.json().get("field")) == (status, field)
    assert reply.json()["error"]


def test_wrong_verbs_unknown_customers_and_unknown_paths(tiny: RunningSandbox) -> None:
    assert tiny.request("PUT", "/__sandbox/calls").status == 405
    assert tiny.request("GET", "/__sandbox/calls?provider=northbank").status == 404
    assert tiny.request("GET", "/__sandbox/customers/loanpro/99").status == 404
    assert tiny.request("GET", "/__sandbox/customers/northbank/37").status == 404
    assert tiny.request("GET", "/northbank").status == 404
    assert tiny.request("GET", "/healthz").json() == {"status": "ok"}


def test_data_and_switches_survive_a_restart(tmp_path: Path) -> None:
    with RunningSandbox(tmp_path, tiny_emulators) as first:
        add(first)
        first.switch("loanpro", "GREETING", "good day")
    with RunningSandbox(tmp_path, tiny_emulators) as second:
        seen = second.request("GET", "/loanpro/things").json()
        assert seen == {"greeting": "good day", "things": {"1": {"last4": "1111"}, "2": {"last4": "2222"}}}
        assert len(second.calls()) == 1
        second.reset()
    with RunningSandbox(tmp_path, tiny_emulators) as third:
        assert third.request("GET", "/loanpro/things").json() == {
            "greeting": "hello",
            "things": {"1": {"last4": "1111"}},
        }
    assert sorted(path.name for path in (tmp_path / "sandbox").iterdir()) == ["aloha.json", "loanpro.json"]


def test_a_change_is_saved_while_the_sandbox_runs(tmp_path: Path) -> None:
    saved = tmp_path / "sandbox" / "loanpro.json"
    with RunningSandbox(tmp_path, tiny_emulators) as running:
        add(running)
        assert within(30, lambda: saved.exists() and "2" in json.loads(saved.read_bytes())["state"]["things"])


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"version": 99, "state": {}, "switches": {}}'])
def test_an_unreadable_state_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "loanpro.json").write_bytes(content)
    with RunningSandbox(tmp_path, tiny_emulators) as running:
        assert last4s(running) == ["1111"]
    assert (tmp_path / "sandbox" / "loanpro.unreadable").read_bytes() == content


def test_stopping_does_not_wait_for_held_requests() -> None:
    with RunningSandbox(make_emulators=tiny_emulators) as running, ThreadPoolExecutor(2) as threads:
        running.fault("loanpro", "hang", times=1)
        running.fault("aloha", "delay", delay_ms=600_000)
        held = [threads.submit(running.request, "GET", f"/{name}/things") for name in ("loanpro", "aloha")]
        assert within(30, lambda: len(running.calls()) == 2)
        running.stop()
        assert all(isinstance(request.exception(5), DEAD) for request in held)


SERVE = """
import sys
from pathlib import Path
from app.sandbox.run import serve_sandbox
from app.server.run import run_until_signal
from app.server.sockets import bind
from tests.support.tiny_emulator import tiny_emulators
ready = lambda url: print(url, flush=True)
async def main(stop):
    sock = bind("127.0.0.1", 0, "--port")
    await serve_sandbox(sock, Path(sys.argv[1]), stop, ready=ready, make_emulators=tiny_emulators)
    print("stopped")
run_until_signal(main)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_it_cleanly_while_a_request_hangs(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    held = RunningSandbox()
    held.url = process.stdout.readline().strip()
    add(held)
    held.fault("loanpro", "hang")
    with ThreadPoolExecutor(1) as threads:
        hanging = threads.submit(add, held)
        assert within(30, lambda: len(held.calls()) == 2)
        process.send_signal(number)
        out, errors = process.communicate(timeout=20)
        assert isinstance(hanging.exception(5), DEAD)
    assert (process.returncode, out, errors) == (0, "stopped\n", "")
    assert "2" in json.loads((tmp_path / "sandbox" / "loanpro.json").read_bytes())["state"]["things"]


async def test_an_unusable_data_directory_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "sandbox").write_text("in the way")
    with pytest.raises(SandboxCannotStart, match=r"the data directory .* cannot be used"):
        await serve_sandbox(bind("127.0.0.1", 0, ""), tmp_path, asyncio.Event(), make_emulators=tiny_emulators)
