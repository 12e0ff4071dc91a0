"""The emulators' state as one JSON file each, replaced atomically."""

import asyncio
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from app.sandbox.base import Emulator

SAVE_EVERY_S: Final = 0.2
_VERSION: Final = 1
_log = logging.getLogger(__name__)


class StateFiles:
    """`directory` None stores nothing. Data and switches survive a restart; clock, faults and calls do not."""

    def __init__(self, directory: Path | None, emulators: Iterable[Emulator]) -> None:
        self._directory = directory
        self._emulators = tuple(emulators)
        self._is_failing = False

    def load(self) -> None:
        """Restore each emulator's saved state if it can be read."""
        if self._directory is None:
            return
        self._directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # `parents` would get the usual mode
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for emulator in self._emulators:
            path = self._path(emulator)
            if path.exists():
                saved = _read(path)
                if saved is None:
                    os.replace(path, path.with_suffix(".unreadable"))
                    _log.warning("The sandbox cannot read %s: it was renamed, and the demo data is used.", path.name)
                else:
                    emulator.restore(saved["state"], saved["switches"])

    async def keep_saving(self, stop: asyncio.Event) -> None:
        """Save changes shortly after they occur until `stop` is set, then once more."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), SAVE_EVERY_S)
            await self._save_changed()

    async def _save_changed(self) -> None:
        for emulator in self._emulators:
            if self._directory is None or not emulator.is_dirty:
                continue
            emulator.is_dirty = False
            # Encoded without an await, so that a file never holds half of a change.
            content = orjson.dumps({"version": _VERSION, "state": emulator.state, "switches": emulator.settings})
            try:
                await asyncio.to_thread(_replace, self._path(emulator), content)
                self._is_failing = False
            except OSError as error:
                emulator.is_dirty = True  # retried at the next turn; logged once
                if not self._is_failing:
                    _log.warning("The sandbox cannot save %s: %s", self._path(emulator).name, error.strerror)
                self._is_failing = True

    def _path(self, emulator: Emulator) -> Path:
        assert self._directory is not None
        return self._directory / f"{emulator.name}.json"


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".writing")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    os.replace(beside, path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        saved = orjson.loads(path.read_bytes())
    except ValueError:
        return None
    if not isinstance(saved, dict) or saved.get("version") != _VERSION:
        return None
    if not isinstance(saved.get("state"), dict) or not isinstance(saved.get("switches"), dict):
        return None
    return saved
