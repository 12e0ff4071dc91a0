"""Counts the function calls of a gateway's threads, by room.

Counted is what `cProfile` counts, but in all threads: the start of a Python function, each resumption of a generator
or coroutine, and each call of a built-in function. A room's figure includes the built-ins that its functions call.
Python 3.11 reports them through `sys.setprofile`, later versions through `sys.monitoring`. Comprehensions are calls up
to 3.11, and later versions inline them: compare figures of one version only.
"""

import sqlite3
import sys
import threading
from collections import Counter as Tally
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import BuiltinFunctionType, CodeType, FrameType, MethodDescriptorType
from typing import Any, Final

import uvloop

# The first prefix of a module's name decides. What no prefix covers is "other".
ROOMS: Final[Mapping[str, tuple[str, ...]]] = {
    "HTTP to vaults": ("app.http", "aiohttp", "yarl", "multidict", "aiohappyeyeballs"),
    "adapters": ("app.providers",),
    "wallet and vault rules": ("app.wallet", "app.vault"),
    "execution": ("app.execution", "strawberry", "graphql"),
    "api": ("app.api",),
    "resolvers": ("resolvers", "aiodataloader"),
    "asyncio": ("asyncio",),
    "server": ("app.server", "uvicorn", "starlette", "app.main"),
    "store": ("app.store", "sqlite3", "psycopg"),
}
OTHER: Final = "other"
_BUILTINS: Final = frozenset({BuiltinFunctionType, MethodDescriptorType})  # not classes and Cython: as cProfile does
_TIMERS_WAIT_S: Final = 0.02
_WRITES: Final = frozenset({"INSERT", "UPDATE", "DELETE"})
_ENDS: Final = frozenset({"COMMIT", "ROLLBACK"})
_OWN: Final = __name__.rpartition(".")[0]


@dataclass
class Count:
    """Figures of one request. `statements` includes BEGIN and COMMIT; `transactions` counts BEGIN, and writes outside
    of it, which are transactions of their own. `hops`: results handed from another thread to the event loop.
    """

    python: Tally[Any] = field(default_factory=Tally)
    builtin: Tally[Any] = field(default_factory=Tally)
    statements: int = 0
    transactions: int = 0
    hops: int = 0

    @property
    def calls(self) -> int:
        return self.python.total() + self.builtin.total()


class Counter:
    """Threads that run at `install`, such as the vaults' and the one that sends requests, are not counted."""

    def __init__(self) -> None:
        self.count = Count()
        self.has_timers_held = False
        self._rooms: dict[Any, str] = {}
        self._names: dict[Any, str] = {}

    def install(self) -> None:
        _trace_statements(self)
        if sys.version_info >= (3, 12):
            self._monitor()
        else:
            threading.setprofile(self._profile)

    def uninstall(self) -> None:
        """Threads that start from now on are not counted."""
        if sys.version_info >= (3, 12):
            monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
            monitoring.free_tool_id(monitoring.PROFILER_ID)
        else:
            threading.setprofile(None)

    def hold_timers(self) -> None:
        self.has_timers_held = True

    def begin(self) -> None:
        self.count = Count()

    def end(self) -> Count:
        self.has_timers_held = False
        return self.count

    def rooms(self, count: Count) -> dict[str, int]:
        found = dict.fromkeys([*ROOMS, OTHER], 0)
        for code, calls in (count.python + count.builtin).items():
            found[self._rooms[code]] += calls
        return found

    def functions(self, count: Count) -> list[tuple[int, int, str, str]]:
        """Calls of every Python function and its calls of built-ins, with room and name; most calls first."""
        codes = count.python.keys() | count.builtin.keys()
        rows = [(count.python[code], count.builtin[code], self._rooms[code], self._names[code]) for code in codes]
        return sorted(rows, key=lambda row: (-row[0] - row[1], row))

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            self._add(self.count.python, frame)
        elif event == "c_call":
            self._add(self.count.builtin, frame)

    def _add(self, tally: Tally[Any], frame: FrameType) -> None:
        code = frame.f_code
        room = self._rooms.get(code)
        if room is None:
            module = str(frame.f_globals.get("__name__", ""))
            room = "execution" if code.co_filename == "<plan>" else _room(module)
            self._rooms[code] = room
            self._names[code] = f"{module}.{code.co_qualname}"
        if room:
            tally[code] += 1

    def _monitor(self) -> None:
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
        events, tool = monitoring.events, monitoring.PROFILER_ID
        excluded = frozenset(thread.ident for thread in threading.enumerate())

        def called(*_: Any) -> None:
            if threading.get_ident() not in excluded:
                self._add(self.count.python, sys._getframe(1))

        def returned(_: CodeType, __: int, function: object, ___: object) -> None:
            if type(function) in _BUILTINS and threading.get_ident() not in excluded:
                self._add(self.count.builtin, sys._getframe(1))

        monitoring.use_tool_id(tool, "bench.calls")
        for event in (events.PY_START, events.PY_RESUME, events.PY_THROW):
            monitoring.register_callback(tool, event, called)
        for event in (events.C_RETURN, events.C_RAISE):
            monitoring.register_callback(tool, event, returned)
        monitoring.set_events(tool, events.PY_START | events.PY_RESUME | events.PY_THROW | events.CALL)


def _room(module: str) -> str:
    """Empty for this package, which is not counted."""
    if module.startswith(_OWN):
        return ""
    for room, prefixes in ROOMS.items():
        if any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes):
            return room
    return OTHER


def _trace_statements(counter: Counter) -> None:
    """Count the statements of every SQLite connection opened from now on, whatever library opens it."""
    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)

        is_open = False

        def on_statement(text: str) -> None:
            nonlocal is_open
            counter.count.statements += 1
            word = text.split(None, 1)[0].upper()
            counter.count.transactions += word == "BEGIN" or (not is_open and word in _WRITES)
            is_open = word == "BEGIN" or (is_open and word not in _ENDS)

        connection.set_trace_callback(on_statement)
        return connection

    sqlite3.connect = traced  # type: ignore[assignment]
    sqlite3.dbapi2.connect = traced  # type: ignore[attr-defined]


class CountingLoop(uvloop.Loop):
    """Counts the hops between threads. Timers wait while a request is counted, so that the gateway's periodic work
    (polls, leases, sweeps) is not counted as the request's.
    """

    counter: Counter

    def call_soon_threadsafe(self, callback: Any, *arguments: Any, context: Any = None) -> Any:
        self.counter.count.hops += 1
        return super().call_soon_threadsafe(callback, *arguments, context=context)

    def call_later(self, delay: float, callback: Any, *arguments: Any, context: Any = None) -> Any:
        return self._timer(super().call_later, delay, partial(callback, *arguments), context)

    def call_at(self, when: float, callback: Any, *arguments: Any, context: Any = None) -> Any:
        return self._timer(super().call_at, when, partial(callback, *arguments), context)

    def _timer(self, schedule: Callable[..., Any], when: float, callback: Callable[[], Any], context: Any) -> Any:
        later = super().call_later

        def fire() -> None:
            if self.counter.has_timers_held:
                later(_TIMERS_WAIT_S, fire)
            elif not handle.cancelled():
                callback()

        handle = schedule(when, fire, context=context)
        return handle
