"""Logging of a process: every logger writes through one handler, which redacts and renders with structlog.

Modules use the standard library's loggers; `extra` adds fields. The two lines that are written often, one per request
and one per vault call, use `LINES`, which skips the standard library: that would cost 50 Python calls a line. They are
written together, a tenth of a second after the first of them at the latest.
"""

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

import orjson

from app.telemetry.lean_structlog import structlog
from app.telemetry.redact import REDACTOR, RedactingFilter
from app.telemetry.request_id import REQUEST_ID

Event = MutableMapping[str, Any]
Render = Callable[[Any, str, Event], str]

_LEVELS: Final[Mapping[str, int]] = logging.getLevelNamesMapping()
_EXTRA: Final[Any] = structlog.stdlib.ExtraAdder()
_OWN: Final = "vaultgraph"
_LIBRARIES_FROM: Final = logging.WARNING


_FLUSH_AFTER_S: Final = 0.1
_MOST_WAITING: Final = 256


class _Lines:
    """Writers of frequent lines: `info("event", field=value)`. None while their level is not logged.

    `json("event", members)` writes at INFO what is rendered and redacted already; None unless the format is JSON.
    """

    __slots__ = ("debug", "info", "json")

    def __init__(self) -> None:
        self.info: Callable[..., Any] | None = None
        self.debug: Callable[..., Any] | None = None
        self.json: Callable[[str, str], None] | None = None


LINES: Final = _Lines()
"""Writes nothing before `configure_logging`."""


def configure_logging(level: str = "warning", form: str = "console") -> None:
    """Of a whole process: log to standard error from this level on. May be called again, with other values.
    `form` is `json`; any other is the console's.

    Libraries log from WARNING on, and their own handlers are removed. Warnings and uncaught exceptions are logged too.
    """
    render: Render = _render_json if form == "json" else _console()
    handler = _Handler()
    handler.addFilter(RedactingFilter())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_of_record],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root, own, least = logging.getLogger(), logging.getLogger(_OWN), _LEVELS[level.upper()]
    for one in logging.Logger.manager.loggerDict.values():
        if isinstance(one, logging.Logger):
            one.handlers.clear()
            one.propagate = True
    root.handlers[:] = [handler]
    root.setLevel(max(least, _LIBRARIES_FROM))
    own.setLevel(least)
    lines = structlog.wrap_logger(
        _OUTPUT,
        processors=[_of_process, render],
        wrapper_class=structlog.make_filtering_bound_logger(least),
    ).bind()
    LINES.info = lines.info if least <= logging.INFO else None
    LINES.debug = lines.debug if least <= logging.DEBUG else None
    LINES.json = _write_json if form == "json" and least <= logging.INFO else None
    logging.captureWarnings(True)
    _log_uncaught(own)


def format_of_server(form: str, mode: str) -> str:
    """The format of a server's log. `auto` is JSON in production, except on a terminal: a console's line costs ten
    times as much.
    """
    if form != "auto":
        return form
    return "console" if mode == "development" or sys.stderr.isatty() else "json"


def _log_uncaught(log: logging.Logger) -> None:
    def uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None or issubclass(kind, KeyboardInterrupt):
            return
        log.critical("uncaught exception", exc_info=(kind, error, trace))

    sys.excepthook = uncaught
    threading.excepthook = lambda args: uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: uncaught(args.exc_type, args.exc_value, args.exc_traceback)


class _StandardError:
    """Whole lines to whatever `sys.stderr` is at the time. A closed one is no error.

    Frequent lines wait for each other: a write of the system for each of them would cost as much as making it. They are
    written before any other line, at exit, and at once where no event loop runs.
    """

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._flushing_in: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def info(self, line: str) -> None:
        waiting = self._waiting
        waiting.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if loop is not self._flushing_in:
            self._flushing_in = loop
            loop.call_later(_FLUSH_AFTER_S, self.flush)
        elif len(waiting) >= _MOST_WAITING:
            self.flush()

    debug = info

    def flush(self, *lines: str) -> None:
        """Write the lines that wait, then these."""
        with self._lock:
            self._flushing_in = None
            ready = self._waiting[:]
            del self._waiting[: len(ready)]  # another thread may have added one
            ready += lines
            try:
                if ready:
                    sys.stderr.write("\n".join(ready) + "\n")
            except (OSError, ValueError):
                pass


_OUTPUT: Final = _StandardError()


class _Handler(logging.Handler):
    """The only handler of the process."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _OUTPUT.flush(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler: a faulty call of a logger must not fail its caller
            self.handleError(record)

    def flush(self) -> None:
        _OUTPUT.flush()


class _Clock:
    """The time as text; the second, which most lines share, is rendered once."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def text(self) -> str:
        second, rest_ns = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._text}.{rest_ns // 1000:06}Z"


_CLOCK: Final = _Clock()


def _write_json(event: str, members: str) -> None:
    _OUTPUT.info(f'{{"time":"{_CLOCK.text()}","level":"info","logger":"{_OWN}","event":"{event}",{members}}}')


def _of_record(_: Any, level: str, event: Event) -> Event:
    """The fields of a standard library's record, which the handler's filter has redacted."""
    record: logging.LogRecord = event["_record"]
    found = {
        "time": datetime.fromtimestamp(record.created, UTC),
        "level": level,
        "logger": record.name,
        "event": event["event"],
    }
    if (request_id := REQUEST_ID.get()) is not None:
        found["request_id"] = request_id
    found |= _EXTRA(None, level, {"_record": record})
    if record.exc_text:
        found["exception"] = record.exc_text
    if record.stack_info:
        found["stack"] = record.stack_info
    return {**found, "_from_structlog": False}


def _of_process(_: Any, level: str, event: Event) -> Event:
    return {"time": datetime.now(UTC), "level": level, "logger": _OWN, "event": event["event"], **event}


def _render_json(_: Any, __: str, event: Event) -> str:
    time = event.pop("time").isoformat(timespec="microseconds")
    try:
        line = orjson.dumps(event, str, orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # lone surrogates, integers beyond 64 bits
        line = json.dumps(event, default=str)
    # The time has the 12 digits that make the redactor look closely, which takes longer than all else.
    return f'{{"time":"{time[:-6]}Z",{REDACTOR.text(line)[1:]}'


def _console() -> Render:
    shown = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), timestamp_key="time", sort_keys=False, pad_event_to=0
    )

    def render(logger: Any, name: str, event: Event) -> str:
        fields = {name: value for name, value in event.items() if value is not None}
        fields["time"] = fields["time"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return REDACTOR.text(shown(logger, name, fields))

    return render
