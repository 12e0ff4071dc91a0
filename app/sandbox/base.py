"""Base of all emulators: an adjustable clock, switches, and state that survives a restart."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from starlette.types import ASGIApp

Json = dict[str, Any]


class SandboxClock:
    """UTC time that `POST /__sandbox/clock` can set or advance; it keeps running from there."""

    def __init__(self) -> None:
        self._shift = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._shift

    def set(self, instant: datetime) -> None:
        self._shift = instant - datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        self._shift += timedelta(seconds=seconds)

    def reset(self) -> None:
        self._shift = timedelta(0)


@dataclass(frozen=True, slots=True)
class Switch:
    """One documented variant of an emulator's behaviour; the first allowed value is the default."""

    allowed: tuple[str, ...]
    about: str

    @property
    def default(self) -> str:
        return self.allowed[0]


class UnknownSwitch(ValueError):
    """Unknown switch, or a value it does not allow."""


class Emulator(ABC):
    """Emulates one vault over real HTTP.

    `state`, a JSON-serializable dict, holds everything that survives a restart. A request that is no GET marks it for
    saving; call `touch()` after other changes. `asgi()` serves the vault's paths below ``/{name}``; faults and call
    records wrap it.
    """

    name: ClassVar[str]
    switches: ClassVar[Mapping[str, Switch]] = {}
    token_paths: ClassVar[tuple[str, ...]] = ()
    """OAuth token paths, without the provider's prefix."""

    def __init__(self, clock: SandboxClock) -> None:
        self.clock = clock
        self.state: Json = {}
        self.settings: dict[str, str] = {}
        self.is_dirty = False
        self.reset()

    def touch(self) -> None:
        self.is_dirty = True

    def switch(self, name: str) -> str:
        return self.settings.get(name, self.switches[name].default)

    def set_switch(self, name: str, value: str) -> None:
        known = self.switches.get(name)
        if known is None or value not in known.allowed:
            raise UnknownSwitch(name)
        self.settings[name] = value

    def reset(self) -> None:
        """Restore demo data and default switches."""
        self.settings.clear()
        self.state = self.demo_state()
        self.touch()

    def restore(self, state: Json, settings: Mapping[str, str]) -> None:
        """Load saved state; an unknown switch gets its default."""
        self.state = state
        self.settings = {
            name: value
            for name, value in settings.items()
            if name in self.switches and value in self.switches[name].allowed
        }
        self.is_dirty = False

    @abstractmethod
    def demo_state(self) -> Json:
        """A fresh, deterministic state holding the demo customers of `app.sandbox.demo`."""

    @abstractmethod
    def asgi(self) -> ASGIApp:
        """The vault's API, with the vault's paths (without the ``/{name}`` prefix)."""

    @abstractmethod
    def credentials(self, base_url: str) -> Json:
        """The reply of `GET /__sandbox/credentials`: `base_url`, `headers` (auth and tenant, ready to use), more.

        `base_url` is the sandbox's URL, e.g. ``http://127.0.0.1:8001``.
        """

    @abstractmethod
    def held(self, customer_ref: str) -> list[Json] | None:
        """`[{ref, kind: card|bank, last4, active, is_default}]` as stored in the vault; None for an unknown
        customer.
        """

    def mint_token(self, fields: Json) -> Json:
        """Replace the browser's capture: returns `{token, last4, bin, brand}`. Raises ValueError for bad `fields`."""
        raise ValueError(f"{self.name} mints no browser tokens")
