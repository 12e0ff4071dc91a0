"""One handler for all loggers, in two formats; the state of dependencies, once per change."""

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
from typing import Any

import pytest

from app.telemetry.dependency import Dependency
from app.telemetry.logs import format_of_server

START = """
import logging, sys
own = logging.getLogger("some.library")
own.addHandler(logging.StreamHandler())
own.propagate = False
from app.telemetry.logs import LINES, configure_logging
from app.telemetry.request_id import REQUEST_ID
configure_logging(sys.argv[1], sys.argv[2])
log = logging.getLogger("vaultgraph.test")
"""


def logged(does: str, level: str = "info", form: str = "json") -> str:
    done = subprocess.run(
        [sys.executable, "-c", START + does, level, form], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == ""
    return done.stderr


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_each_json_line_is_one_record_with_its_fields() -> None:
    does = """
REQUEST_ID.set("req-12345678")
log.warning("line one\\nline %s", "two", extra={"dependency": "store", "state": "down"})
try:
    raise ValueError("no")
except ValueError:
    log.exception("failed")
LINES.info("request", status=200, trace_id=None)
"""
    warned, failed, request = rows(logged(does))
    assert warned.pop("time").endswith("Z")
    assert warned == {
        "level": "warning",
        "logger": "vaultgraph.test",
        "event": "line one\nline two",
        "request_id": "req-12345678",
        "dependency": "store",
        "state": "down",
    }
    assert failed["exception"].endswith("ValueError: no")
    assert (request["event"], request["level"], request["status"], request["trace_id"]) == (
        "request",
        "info",
        200,
        None,
    )


def test_a_library_logs_once_from_warning_on_whatever_handlers_it_has() -> None:
    found = rows(
        logged("for one in (own, logging.getLogger('uvicorn.error')): one.info('x'); one.warning('y')", "debug")
    )
    assert [(one["logger"], one["event"]) for one in found] == [("some.library", "y"), ("uvicorn.error", "y")]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "line info", "line debug"]),
        ("info", ["info", "warning", "line info"]),
        ("warning", ["warning"]),
        ("error", []),
    ],
)
def test_the_level_is_the_least_that_is_logged(level: str, expected: list[str]) -> None:
    does = """
for name in ("debug", "info", "warning"):
    getattr(log, name)(name)
for name in ("info", "debug"):
    if (write := getattr(LINES, name)) is not None:
        write("line " + name)
"""
    assert [one["event"] for one in rows(logged(does, level))] == expected


def test_the_console_format_is_one_line_for_a_reader() -> None:
    found = logged("LINES.info('request', status=200, trace_id=None, operation='Wallet')", form="console")
    assert found.count("\n") == 1
    assert "[info" in found
    assert found.rstrip().endswith("request [vaultgraph] status=200 operation=Wallet"), found


def test_text_that_is_not_unicode_and_large_numbers_are_logged() -> None:
    assert rows(logged("LINES.info('request', name='\\ud800', number=2**70)"))[0]["number"] == 2**70


@pytest.mark.parametrize(
    ("form", "mode", "expected"),
    [
        ("auto", "production", "json"),
        ("auto", "development", "console"),
        ("console", "production", "console"),
        ("json", "development", "json"),
    ],
)
def test_the_format_of_a_server_depends_on_its_mode(
    form: str, mode: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert format_of_server(form, mode) == expected


def test_the_format_of_a_server_on_a_terminal_is_for_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        found = [format_of_server(form, "production") for form in ("auto", "json")]
        monkeypatch.undo()
    os.close(ours)
    assert found == ["console", "json"]


WRITES = """
import asyncio
class Output:
    def __init__(self):
        self.writes = []
    def write(self, text):
        self.writes.append(text)
    def flush(self):
        pass
real, sys.stderr = sys.stderr, Output()
def line(number):
    LINES.json("request", f'"n":{number}')
async def main():
    for number in range(3):
        line(number)
    assert not sys.stderr.writes
"""


def test_frequent_lines_are_written_together_in_order_with_all_others() -> None:
    does = f"""{WRITES}
    log.warning("before the next ones")
    line(3)
    LINES.info("request", n=4)
    while len(sys.stderr.writes) < 2:
        await asyncio.sleep(0.01)
    for number in range(5, 600):
        line(number)
    assert len(sys.stderr.writes) == 4
asyncio.run(main())
import logging
logging.shutdown()
assert len(sys.stderr.writes) == 5
real.write("".join(sys.stderr.writes))
"""
    found = rows(logged(does))
    assert [one.get("n", one["event"]) for one in found] == [0, 1, 2, "before the next ones", *range(3, 600)]


def test_lines_that_wait_are_written_when_the_process_exits() -> None:
    does = f"{WRITES}\n    sys.stderr = real\n    sys.exit(0)\nasyncio.run(main())"
    assert [one["n"] for one in rows(logged(does))] == [0, 1, 2]


def test_a_closed_standard_error_fails_no_request() -> None:
    logged("sys.stderr.close(); LINES.info('request'); log.warning('x')")


def test_a_dependency_is_logged_when_its_state_changes(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    state = Dependency("redis", "each process counts alone", clock=lambda: now)
    with caplog.at_level(logging.INFO, "vaultgraph.dependency"):
        state.worked()
        for second in (1.0, 2.0, 3.0):
            now = second
            state.failed("ConnectionError")
            state.worked()
        now = 9.0
        state.worked()
        state.worked()
    assert [record.getMessage() for record in caplog.records] == [
        "redis: ConnectionError; each process counts alone",
        "redis works again",
    ]
    assert [record.__dict__["state"] for record in caplog.records] == ["down", "up"]


async def test_one_success_is_enough_for_a_dependency_that_is_rarely_used(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    recovered = asyncio.Event()

    class Watching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.__dict__["state"] == "up":
                recovered.set()

    once, unstable = (Dependency(name, "calls fail", clock=lambda: now) for name in ("once", "unstable"))
    log, watching = logging.getLogger("vaultgraph.dependency"), Watching()
    log.addHandler(watching)
    try:
        with caplog.at_level(logging.INFO, log.name):
            once.failed("refused")
            unstable.failed("refused")
            now = 4.99
            unstable.worked()  # would count before `once`, which starts to wait later
            unstable.failed("refused")
            once.worked()
            assert not once.is_up
            await asyncio.wait_for(recovered.wait(), 60)
    finally:
        log.removeHandler(watching)
    assert once.is_up
    assert not unstable.is_up
