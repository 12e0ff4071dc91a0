"""The sandbox as one ASGI app: four vaults under their names, and the control API under ``/__sandbox``."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.sandbox.base import Emulator, SandboxClock
from app.sandbox.calls import CallLog
from app.sandbox.control import SendsWebhooks, control_app
from app.sandbox.fault_middleware import GuardedEmulator
from app.sandbox.faults import FaultRegistry
from app.sandbox.state_files import StateFiles

CONTROL: Final = "__sandbox"
_DELIVER_EVERY_S: Final = 0.1
MakeEmulators = Callable[[SandboxClock], Iterable[Emulator]]


def the_four(clock: SandboxClock) -> Iterable[Emulator]:
    """The table of emulators; imported only when a sandbox is built."""
    from app.sandbox.aloha import AlohaEmulator
    from app.sandbox.caselle import CaselleEmulator
    from app.sandbox.jpmorgan import JpMorganEmulator
    from app.sandbox.loanpro import LoanProEmulator

    return LoanProEmulator(clock), AlohaEmulator(clock), JpMorganEmulator(clock), CaselleEmulator(clock)


class Sandbox:
    """ASGI app that owns the clock, emulators, faults, calls and state files. `app.sandbox.run` must serve it: some
    faults need its server to kill connections.

    With `data_dir`, emulator state is stored in ``data_dir/sandbox``; raises OSError if that fails.
    """

    def __init__(self, data_dir: Path | None = None, make_emulators: MakeEmulators = the_four) -> None:
        self.clock = SandboxClock()
        self.emulators = {emulator.name: emulator for emulator in make_emulators(self.clock)}
        self.calls = CallLog()
        self.faults = FaultRegistry()
        self._files = StateFiles(None if data_dir is None else data_dir / "sandbox", self.emulators.values())
        self._files.load()
        self._apps: dict[str, ASGIApp] = {
            name: GuardedEmulator(name, emulator.token_paths, _saving(emulator), self.calls, self.faults)
            for name, emulator in self.emulators.items()
        }
        self._apps[CONTROL] = control_app(self)

    def reset(self) -> None:
        """Restore data, switches, faults, clock and calls; requests held by a fault end now."""
        self.faults.remove()
        self.faults.release_held()
        self.clock.reset()
        for emulator in self.emulators.values():
            emulator.reset()
        self.calls.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        _, name, rest = [*scope["path"].split("/", 2), "", ""][:3]
        app = self._apps.get(name)
        if app is not None:
            # Emulators see the vault's own paths, whatever their mount point.
            raw = scope.get("raw_path", b"").partition(f"/{name}".encode())[2]
            await app({**scope, "path": f"/{rest}", "raw_path": raw or b"/"}, receive, send)
            return
        if scope["path"] == "/healthz":
            answer = JSONResponse({"status": "ok"})
        else:
            answer = JSONResponse({"error": f"No vault at this path; valid names are {' '.join(self._apps)}."}, 404)
        await answer(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        stop = asyncio.Event()
        saving = asyncio.create_task(self._files.keep_saving(stop))
        sending = asyncio.create_task(self._keep_delivering())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.faults.stop()
        sending.cancel()
        stop.set()
        await asyncio.gather(saving, sending, return_exceptions=True)
        await send({"type": "lifespan.shutdown.complete"})

    async def _keep_delivering(self) -> None:
        while True:
            for emulator in self.emulators.values():
                if isinstance(emulator, SendsWebhooks):
                    await emulator.deliver_due()
            await asyncio.sleep(_DELIVER_EVERY_S)


def _saving(emulator: Emulator) -> ASGIApp:
    """The vault's API; whatever may have changed its state marks it for saving."""
    app = emulator.asgi()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        finally:
            if scope["method"] != "GET":
                emulator.touch()

    return serve
