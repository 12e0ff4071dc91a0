"""The smallest emulator with everything that the sandbox's core uses: reads, a write, a token route, a switch."""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app.sandbox.base import Emulator, SandboxClock, Switch


class TinyEmulator(Emulator):
    name = "loanpro"
    switches = {"GREETING": Switch(("hello", "good day"), "How a thing is greeted.")}
    token_paths = ("/oauth2/token",)

    def demo_state(self) -> dict[str, Any]:
        return {"things": {"1": {"last4": "1111"}}, "three_ds": {}}

    def asgi(self) -> ASGIApp:
        return Starlette(
            routes=[
                Route("/things", self._list, methods=["GET"]),
                Route("/things", self._add, methods=["POST"]),
                Route("/things/{ref}", self._remove, methods=["DELETE"]),
                Route("/oauth2/token", self._token, methods=["POST"]),
            ]
        )

    async def _list(self, _request: Request) -> Response:
        return JSONResponse({"greeting": self.switch("GREETING"), "things": self.state["things"]})

    async def _add(self, request: Request) -> Response:
        thing = await request.json()
        self.state["things"][thing["ref"]] = {"last4": thing["last4"]}
        self.touch()
        return JSONResponse({"ref": thing["ref"]}, 201)

    async def _remove(self, request: Request) -> Response:
        self.state["things"].pop(request.path_params["ref"], None)
        self.touch()
        return Response(status_code=204)

    async def _token(self, _request: Request) -> Response:
        return JSONResponse({"expires_at": self.clock.now().isoformat()})

    def credentials(self, base_url: str) -> dict[str, Any]:
        return {"base_url": f"{base_url}/loanpro", "headers": {"Authorization": "Bearer tiny"}}

    def held(self, customer_ref: str) -> list[dict[str, Any]] | None:
        if customer_ref != "37":
            return None
        return [
            {"ref": ref, "kind": "card", "last4": thing["last4"], "active": True, "is_default": False}
            for ref, thing in self.state["things"].items()
        ]

    def mint_token(self, fields: dict[str, Any]) -> dict[str, Any]:
        if fields.get("exp_month") == 13:
            raise ValueError(f"exp_month: there is no such month for {fields['number']}")
        number = fields["number"]
        return {"token": "tok_1", "last4": number[-4:], "bin": number[:6], "brand": "visa"}

    def set_three_ds(self, payment_method_id: str, status: str) -> bool:
        if status not in ("SUCCESS", "DENIED"):
            raise ValueError("status: SUCCESS or DENIED")
        if payment_method_id not in self.state["things"]:
            return False
        self.state["three_ds"][payment_method_id] = status
        self.touch()
        return True


class OtherTinyEmulator(TinyEmulator):
    """A second vault, without browser tokens, switches and 3-D Secure."""

    name = "aloha"
    switches = {}
    mint_token = Emulator.mint_token
    set_three_ds = None  # type: ignore[assignment]

    async def _list(self, _request: Request) -> Response:
        return JSONResponse(self.state["things"])


def tiny_emulators(clock: SandboxClock) -> tuple[Emulator, ...]:
    return TinyEmulator(clock), OtherTinyEmulator(clock)
